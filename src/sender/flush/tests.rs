//! What a flush makes of a pause: whether its own token may end it, and how many events it keeps.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::config::TokenSource;
use crate::dispatch::Command;
use crate::journal::writer::{RecordDurability, Writer};
use crate::log::Log;
use crate::sender::coordinate::tests::{elect, enqueue};
use crate::sender::election::Election;
use crate::sender::tests::panics::{PATIENCE, one_event_for, open_spool, sender_of};
use crate::store::Change;
use crate::transport::tests::server::Server;

const DELIVERED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn begin(spool: &Spool) -> Goal {
    Goal {
        on_pause: OnPause::Probe,
        since: Instant::now(),
        enqueued_upto: spool.boot_time(),
        mark: None,
        store: None,
        token_looks: 0,
    }
}

#[test]
fn a_flush_whose_token_stands_in_a_file_waits_for_a_sender_without_a_token_to_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(DELIVERED);
    let log = Arc::new(Log::new(None));
    let with_event = one_event_for(&server, &dir, &log).shared.spool.clone();
    let without = sender_of(with_event, &server, &TokenSource::Absent, &log);
    let file = dir.path().join("token");
    fs::write(&file, "token").unwrap();
    // Its coordinator has had no time yet, and so nothing has read the file.
    let flushing = sender_of(
        open_spool(&server, &dir),
        &server,
        &TokenSource::File(file),
        &log,
    );
    let spool = &flushing.shared.spool;
    let wanted = without.want().unwrap();
    let begun = Instant::now();
    while Heartbeat::read(spool).unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "no sender");
        std::thread::yield_now();
    }
    let mut goal = begin(spool);
    wake::send(spool, wake::Wake::TryAgain);
    let is_taken = || {
        let heartbeat = Heartbeat::read(spool).unwrap().unwrap();
        heartbeat.taken_upto() >= goal.enqueued_upto
    };
    while !is_taken() {
        assert!(begun.elapsed() < PATIENCE, "nothing is taken over");
        std::thread::yield_now();
    }

    let looked = flushing.look(&mut goal, begun + PATIENCE).unwrap();
    assert!(matches!(looked, Progress::Waiting), "it ends as paused");

    let flushes = flushing.want().unwrap();
    let deadline = Instant::now() + PATIENCE;
    flushing.flush(OnPause::Probe, deadline).unwrap();
    assert_eq!(server.requests().len(), 1);
    drop((wanted, flushes));
    assert!(without.wait_ended(deadline) && flushing.wait_ended(deadline));
}

#[test]
fn a_flush_counts_the_events_that_a_pause_keeps_while_the_sender_is_free_to_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(DELIVERED);
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let spool = &sender.shared.spool;
    let writer = Writer::new(spool.clone(), RecordDurability::Process, 0);
    enqueue(&writer);
    enqueue(&writer);
    sender.command(&Command::Hold).unwrap();
    let _elected = elect(&sender);
    sender
        .shared
        .step(|state| {
            // As on a disk that is nearly full: a pause is told before all is taken over.
            state.take_over_is_limited = true;
            Ok(())
        })
        .unwrap();

    // Whatever reads the journal now, while the session is locked, finds none.
    let (journal, elsewhere) = (spool.dir().join("journal"), spool.dir().join("elsewhere"));
    fs::rename(&journal, &elsewhere).unwrap();
    let looked = sender.look(&mut begin(spool), Instant::now() + PATIENCE);
    fs::rename(&elsewhere, &journal).unwrap();

    let Progress::Paused(standing) = looked.unwrap() else {
        panic!("it is held");
    };
    let error = sender.in_a_long_step(|| standing.error(spool));
    assert!(error.message().contains("; 3 events are kept; "), "{error}");
}

#[test]
fn a_flush_waits_5_seconds_for_another_process_to_probe_a_pause_and_then_ends_as_paused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(DELIVERED);
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let (shared, spool) = (&sender.shared, &sender.shared.spool);
    let election = Election::try_win(spool).unwrap().unwrap();
    let now_ms = clock::wall_ms();
    // It was probed long ago, and is probed in a long time unless somebody asks for it.
    let pause = PauseState {
        reason: PauseReason::Misrouted,
        since_ms: now_ms - 3_600_000,
        probe_ms: Some(now_ms + 600_000),
        probe_wait_ms: 900_000,
        http_status: Some(200),
        api_code: None,
        message: "a login page".to_owned(),
        fingerprint: None,
    };
    let mut state = shared.open_state(&election, None).unwrap();
    let store = &mut state.dispatcher.store;
    store.commit(&[Change::Pause(Some(&pause))]).unwrap();
    drop(state);
    // The elected process says that it lives, and hears of nothing.
    let heartbeat = Heartbeat::default();
    heartbeat.write(spool).unwrap();
    let begun_before = |earlier| Goal {
        since: Instant::now().checked_sub(earlier).unwrap(),
        enqueued_upto: heartbeat.taken_upto(),
        ..begin(spool)
    };

    let deadline = Instant::now() + PATIENCE;
    let looked = sender.look(&mut begun_before(Duration::ZERO), deadline);
    assert!(matches!(looked.unwrap(), Progress::Waiting), "it is asked");
    let looked = sender.look(&mut begun_before(PROBED_WITHIN), deadline);
    let Progress::Paused(standing) = looked.unwrap() else {
        panic!("it waits for a probe that nobody sends");
    };
    assert_eq!(standing.pause, pause);
    drop(election);
}
