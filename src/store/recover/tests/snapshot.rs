//! A ledger of which a part of its snapshot cannot be read, while the parts around it can.

use super::owed::change;
use super::{Repair, Spooled};
use crate::store::Suspect;
use crate::store::contract::{Change, FileStore, Store};
use crate::store::frame::RECORD_MAGIC;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;

const USERS: usize = 2_500;

/// A store whose last ledger begins with three parts, of which the middle one is damaged. The ledger before it
/// is still there.
fn with_damaged_part() -> Spooled {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    for number in 0..USERS {
        let suspect = Suspect {
            user: format!("odd-{number:0250}").into_bytes(),
            lane: 1,
            waiting: 0,
            accepted: false,
        };
        store.commit(&[Change::Suspect(&suspect)]).unwrap();
    }
    let refused = Change::RefusedInARow { user: "odd-1" };
    store.commit(&[refused]).unwrap();
    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    let number = store.ledger.header.number + 1;
    store.use_next_ledger(next);
    drop(store);
    let ledger = spooled.ledger();
    let ledger = ledger.with_file_name(crate::store::ledger::file_name(number));
    change(&ledger, |bytes| {
        let windows = bytes.windows(RECORD_MAGIC.len()).enumerate();
        let records = windows.filter(|(_, window)| *window == RECORD_MAGIC);
        let records: Vec<usize> = records.map(|(at, _)| at).collect();
        assert_eq!(records.len(), 3);
        bytes[records[1] + 100] ^= 1;
    });
    spooled
}

#[test]
fn a_snapshot_that_lacks_a_part_in_its_middle_is_completed_by_the_file_before() {
    let spooled = with_damaged_part();
    spooled.recover(Repair::Replace);
    let store = LogStore::open(&spooled.spool).unwrap();
    let users = store.suspects();
    let kept = users.iter().filter(|user| user.user.starts_with(b"odd"));
    assert_eq!(kept.count(), USERS);
}

#[test]
fn users_who_stand_in_both_files_are_refused_in_a_row_once() {
    let spooled = with_damaged_part();
    spooled.recover(Repair::Replace);
    let store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(store.refused_in_a_row(), ["odd-1"]);
}
