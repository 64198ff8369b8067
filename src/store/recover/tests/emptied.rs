//! Files in use of which nothing was left when the ledger was begun: a file of rejected events that are all
//! forgotten, and one of a queue whose runs are all settled. Both are appended to, and a lost record may
//! have been the only one that said so.

use std::fs;

use super::owed::change;
use super::{EVENTS, OTHER, Repair, Spooled, append, rejected, run_of};
use crate::store::contract::{Change, FileStore, Store};
use crate::store::guards::shrink;
use crate::store::ledger;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;

const LOST: usize = 90;
const LATER: usize = 91;

/// What follows the record that gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Records that speak of other things.
    Nothing,
    /// A later file of rejected events.
    LaterFile,
}

/// Forgets all rejected events, settles a queue, and begins the next ledger. The record that adds an event
/// to both is lost then. Returns the id of the rejected one.
fn lose_what_was_added(spooled: &Spooled, then: Then) -> i64 {
    let mut store = LogStore::open(&spooled.spool).unwrap();
    for (id, event) in &spooled.contents.rejected {
        let rejected = *id;
        store.commit(&[Change::Forget { rejected, event }]).unwrap();
    }
    let runs = store.runs(OTHER, 0, 100).unwrap();
    let settle = Change::Settle {
        place: OTHER,
        upto: runs.last().unwrap().id,
    };
    let position = store.fold.queue(OTHER).position;
    let leave = Change::Leave {
        place: OTHER,
        events: position.events,
        bytes: position.bytes,
    };
    store.commit(&[settle, leave]).unwrap();
    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    let file = store.fold.rejected[0].number;
    assert_eq!(store.fold.rejected[0].remaining(), 0);

    let begin = store.ledger.end as usize;
    let (run, event) = (run_of("odd", LOST * EVENTS), rejected(LOST));
    store
        .commit(&[append(OTHER, &run), Change::Reject(&event)])
        .unwrap();
    let (gap, id) = (
        begin..store.ledger.end as usize,
        store.fold.numbers.rejected,
    );
    assert_eq!(store.fold.rejected.last().unwrap().number, file);
    if then == Then::LaterFile {
        shrink(14);
        store.commit(&[Change::Reject(&rejected(LATER))]).unwrap();
        shrink(0);
        assert_ne!(store.fold.rejected.last().unwrap().number, file);
    }
    store.commit(&[Change::AcceptedSince]).unwrap();
    let number = store.ledger.header.number;
    drop(store);
    let name = ledger::file_name(number);
    change(&spooled.ledger().with_file_name(name), |bytes| {
        bytes[gap].fill(0);
    });
    id
}

#[test]
fn what_a_lost_record_added_to_files_with_nothing_left_in_them_is_kept() {
    for then in [Then::Nothing, Then::LaterFile] {
        let spooled = Spooled::new();
        let id = lose_what_was_added(&spooled, then);
        let done = spooled.recover(Repair::Replace);
        assert_eq!((done.lost_pending, done.lost_rejected), (Some(0), 0));
        let found = spooled.read();
        assert_eq!(found.rejected.get(&id), Some(&rejected(LOST)), "{then:?}");
        let later = found.rejected.values().filter(|event| {
            // No other one comes back.
            **event == rejected(LATER)
        });
        assert_eq!(later.count(), found.rejected.len() - 1, "{then:?}");
        assert_eq!(found.waiting[&OTHER].len(), EVENTS, "{then:?}");
        assert_eq!(spooled.recover(Repair::Look).damage, None, "{then:?}");
    }
}

#[test]
fn what_cannot_be_read_there_is_counted_as_lost() {
    let spooled = Spooled::new();
    lose_what_was_added(&spooled, Then::Nothing);
    change(&spooled.names("rejected")[0], |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let done = spooled.recover(Repair::Replace);
    assert!(done.lost_rejected > 0, "{done:?}");
}

#[test]
fn a_file_with_nothing_left_in_it_may_be_gone_where_the_ledger_is_damaged() {
    let spooled = Spooled::new();
    lose_what_was_added(&spooled, Then::LaterFile);
    let first = spooled.names("rejected").remove(0);
    fs::remove_file(first).unwrap();
    let done = spooled.recover(Repair::Replace);
    assert_eq!((done.rejected, done.lost_rejected), (1, 0), "{done:?}");
    assert_eq!(spooled.recover(Repair::Look).damage, None);
}
