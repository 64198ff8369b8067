//! What a flush makes of a pause: how many events it keeps.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::dispatch::Command;
use crate::journal::writer::{RecordDurability, Writer};
use crate::log::Log;
use crate::sender::coordinate::tests::{elect, enqueue};
use crate::sender::tests::panics::{PATIENCE, one_event_for};
use crate::transport::tests::server::Server;

const DELIVERED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn begin(spool: &Spool) -> Goal {
    Goal {
        on_pause: OnPause::Probe,
        since: Instant::now(),
        enqueued_upto: spool.boot_time(),
        mark: None,
        store: None,
    }
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
