//! Commands that a sender left behind, and errors on their way to another process.

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::log::Log;
use crate::sender::Sender;
use crate::sender::tests::panics::{PATIENCE, one_event_for};
use crate::store::PauseState;
use crate::store::Reader;
use crate::transport::tests::server::Server;

const DELIVERED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

struct Opened {
    _dir: tempfile::TempDir,
    _server: Server,
    sender: Sender,
}

fn open() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(DELIVERED);
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    Opened {
        _dir: dir,
        _server: server,
        sender,
    }
}

fn elect(spool: &Arc<Spool>) -> Election {
    Election::try_win(spool).unwrap().unwrap()
}

fn pause(spool: &Spool) -> Option<PauseState> {
    Reader::open(spool).unwrap().unwrap().pause().cloned()
}

/// What a sender leaves behind that dies after it has claimed `command`.
fn claim_and_die(sender: &Sender, command: &Command) {
    let shared = &sender.shared;
    let waiting = Waiting::leave(&shared.spool, command).unwrap();
    let dir = shared.spool.commands().require().unwrap();
    claim(&dir, &waiting.name, &shared.log, &elect(&shared.spool)).unwrap();
}

#[test]
fn a_resume_is_not_undone_by_a_hold_that_a_dead_sender_had_claimed() {
    let opened = open();
    let (sender, spool) = (&opened.sender, &opened.sender.shared.spool);
    claim_and_die(sender, &Command::Hold);
    sender.command(&Command::Resume).unwrap();
    assert_eq!(pause(spool), None);

    let wanted = sender.want().unwrap();
    sender.flush(Instant::now() + PATIENCE).unwrap();
    assert_eq!(pause(spool), None);
    assert!(
        waiting(&spool.commands().require().unwrap())
            .unwrap()
            .is_empty()
    );
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
}

#[test]
fn commands_are_carried_out_in_the_order_of_their_time_whoever_does() {
    let opened = open();
    let (sender, spool) = (&opened.sender, &opened.sender.shared.spool);
    claim_and_die(sender, &Command::Resume);
    sender.command(&Command::Hold).unwrap();
    assert!(pause(spool).is_some());

    claim_and_die(sender, &Command::Hold);
    Waiting::leave(spool, &Command::Resume).unwrap();
    let wanted = sender.want().unwrap();
    sender.flush(Instant::now() + PATIENCE).unwrap();
    assert_eq!(pause(spool), None);
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
}

#[test]
fn the_error_of_a_command_keeps_its_kind_and_its_reason_on_the_way_to_another_process() {
    let opened = open();
    let shared = &opened.sender.shared;
    let waiting = Waiting::leave(&shared.spool, &Command::Hold).unwrap();
    let damaged = Error::new(ErrorKind::Store, "the ledger is damaged");
    let damaged = damaged.paused_for(PauseReason::StoreDamaged);
    let election = elect(&shared.spool);
    let done = carry_out_waiting(&shared.spool, &shared.log, &election, |_| {
        Err(damaged.clone())
    });
    assert_eq!(done, Err(damaged.clone()));
    assert_eq!(waiting.take_answer().unwrap(), Some(Err(damaged)));
    for kind in ErrorKind::ALL {
        let answered = AnsweredError::from_error(&Error::new(kind, "why"));
        assert_eq!(answered.into_error().kind(), kind);
    }
}

#[test]
fn a_command_that_nobody_has_claimed_is_taken_back_at_the_deadline() {
    let opened = open();
    let shared = &opened.sender.shared;
    let _elected = elect(&shared.spool);
    let refused = shared.command(&Command::Hold, Instant::now());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(
        waiting(&shared.spool.commands().require().unwrap())
            .unwrap()
            .is_empty()
    );
}
