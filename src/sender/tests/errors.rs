//! What keeps the sender from sending reaches a flush, also while the sender still is elected.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::panics::{PATIENCE, one_event_for};
use crate::dispatch::OnPause;
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::log::Log;
use crate::process::pid;
use crate::sender::Sender;
use crate::sender::election::{Elected, Election, pid_namespace};
use crate::spool::Heartbeat;
use crate::store;
use crate::transport::tests::server::Server;

/// How long a flush is given that is to go on waiting.
const A_WHILE: Duration = Duration::from_millis(200);

/// Flushes while the sender meets the same error all the time, as on a broken disk.
fn flush_while_failing(sender: &Sender, time: Duration) -> Result<()> {
    let failed = Error::new(ErrorKind::Io, "ledger/0000000000000001: the disk is broken");
    std::thread::scope(|threads| {
        let flush = threads.spawn(|| sender.flush(OnPause::Probe, Instant::now() + time));
        while !flush.is_finished() {
            sender.shared.note_error(&failed);
            std::thread::sleep(Duration::from_millis(1));
        }
        flush.join().unwrap()
    })
}

#[test]
fn a_flush_says_the_error_of_a_sender_that_is_elected_itself_and_waits_for_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = &one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let shared = &sender.shared;
    let heartbeat = Heartbeat {
        pid: pid().cast_unsigned(),
        pid_namespace: pid_namespace(),
        ..Heartbeat::default()
    };
    heartbeat.write(&shared.spool).unwrap();

    let own = Election::try_win_for(&shared.spool, &shared.own_election).unwrap();
    assert!(own.is_some() && Elected::look(&shared.spool) == Ok(Elected::Somebody));
    let error = flush_while_failing(sender, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");

    // Another copy of the library in this process: the same pid, and yet another sender.
    drop(own);
    let anothers = Election::try_win(&shared.spool).unwrap();
    assert!(anothers.is_some() && !shared.own_election.is_held());
    let error = flush_while_failing(sender, A_WHILE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");

    drop(anothers);
    let error = flush_while_failing(sender, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn the_error_that_closed_the_store_is_not_hidden_by_a_thread_that_finds_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let failed = Error::new(ErrorKind::Io, "ledger/0000000000000001: the disk is broken");
    sender.shared.note_error(&failed);
    sender.shared.note_error(&sender.shared.was_closed());
    assert_eq!(sender.shared.session().last_error(), Some(&failed));
}

#[test]
fn a_damaged_store_lasts_until_its_ledger_is_another_file_or_has_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let shared = &sender.shared;
    let damaged = Error::new(ErrorKind::Store, "damaged").paused_for(PauseReason::StoreDamaged);
    let is_damaged = || sender.found_damage(Instant::now() + PATIENCE).is_some();
    let (name, _) = store::ledger_in_use(&shared.spool).unwrap();
    let ledger = shared.spool.dir().join("ledger").join(name);
    let found_again = || {
        shared.session().forget_damage();
        shared.note_error(&damaged);
        assert!(is_damaged());
    };

    found_again();
    // Other files of the folder come and go.
    let _ = fs::remove_file(ledger.with_file_name("spare"));
    fs::write(ledger.with_file_name("next.17"), "begun").unwrap();
    assert!(is_damaged());
    // The same file with other bytes.
    fs::write(&ledger, "repaired").unwrap();
    assert!(!is_damaged());

    found_again();
    let copy = ledger.with_file_name("copy");
    fs::copy(&ledger, &copy).unwrap();
    fs::rename(copy, &ledger).unwrap();
    assert!(!is_damaged());

    found_again();
    let next = ledger.with_file_name(format!("{:016}", 2));
    fs::copy(&ledger, &next).unwrap();
    assert!(!is_damaged());

    found_again();
    fs::remove_file(next).unwrap();
    assert!(!is_damaged());
}
