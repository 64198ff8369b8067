//! What the coordinator publishes while it takes the journal over.

use super::*;
use crate::journal::round::Offsets;
use crate::journal::segment;
use crate::journal::writer::{RecordDurability, Writer};
use crate::log::Log;
use crate::process::pid;
use crate::sender::Sender;
use crate::sender::tests::panics::{EVENT, PATIENCE, one_event_for};
use crate::spool::Heartbeat;
use crate::transport::tests::server::Server;

pub(in crate::sender) fn enqueue(writer: &Writer) {
    let append = |record: &mut Vec<u8>, _| {
        segment::push_fragment(record, |out| {
            out.extend_from_slice(EVENT);
            Ok::<_, Error>(())
        })?;
        Ok::<_, Error>(1)
    };
    writer.append(append).unwrap();
}

/// Has `sender` elected, although its threads do not run.
pub(in crate::sender) fn elect(sender: &Sender) -> ElectedSender {
    ElectedSender::begin(&sender.shared).unwrap().unwrap()
}

/// A sender that does not run, and a writer of its spool that has enqueued an event.
struct Fixture {
    sender: Sender,
    writer: Writer,
    _server: Server,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
        let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
        let writer = Writer::new(sender.shared.spool.clone(), RecordDurability::Process, 0);
        enqueue(&writer);
        Self {
            sender,
            writer,
            _server: server,
            _dir: dir,
        }
    }
}

#[test]
fn a_long_round_says_that_its_sender_is_alive_and_that_nothing_of_it_is_taken_over_yet() {
    let fixture = Fixture::new();
    let (shared, spool) = (&fixture.sender.shared, &fixture.sender.shared.spool);
    let mut elected = ElectedSender::begin(shared).unwrap().unwrap();
    let before = Heartbeat {
        boot_count: spool.boot_count(),
        taken_upto_boot_ns: 17,
        pending_bytes: 18,
        taken_bytes: 19,
        ..Heartbeat::default()
    };
    before.write(spool).unwrap();

    // No heartbeat of this sender yet, as after a long time without one.
    let taken_bytes = elected.take_over(shared).unwrap();
    let during = Heartbeat::read(spool).unwrap().unwrap();
    assert!(during.pid == pid().cast_unsigned() && during.seen_ms > 0);
    let progress = (
        during.taken_upto(),
        during.pending_bytes,
        during.taken_bytes,
    );
    assert_eq!(progress, (before.taken_upto(), 18, 19));
    elected
        .publisher
        .publish(shared, taken_bytes, false)
        .unwrap();
    let after = Heartbeat::read(spool).unwrap().unwrap();
    assert!(after.taken_upto() > before.taken_upto() && after.taken_bytes == taken_bytes);
    assert_eq!(after.pending_bytes, 2 * EVENT.len() as u64);

    // A short one leaves it to the end of the look.
    elected.publisher.has_told_at(Instant::now() + PATIENCE);
    enqueue(&fixture.writer);
    elected.take_over(shared).unwrap();
    assert_eq!(Heartbeat::read(spool).unwrap(), Some(after));
}

#[test]
fn the_removal_of_segments_says_between_its_steps_that_the_sender_is_alive() {
    let fixture = Fixture::new();
    let (shared, spool) = (&fixture.sender.shared, &fixture.sender.shared.spool);
    let elected = ElectedSender::begin(shared).unwrap().unwrap();

    let mut round = TakeOver::begin(spool, &Offsets::new(), 1, usize::MAX).unwrap();
    while let Some(chunk) = round.read(spool).unwrap() {
        shared
            .step(|state| state.take_over(&chunk, &mut round.lines))
            .unwrap();
    }
    let taken = shared.session().state().unwrap().offsets.clone();
    // Its writer has ended.
    drop(fixture.writer);
    let mut told = 0;
    let bytes = reclaim::remove_abandoned(shared, &elected.election, &mut round, &taken, || {
        told += 1;
        Ok(())
    });
    assert!(bytes.unwrap() > 0);
    assert_eq!(told, 1);
}
