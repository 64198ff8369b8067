//! The store in a real directory, and on a disk in memory that anything may happen to.

mod ablations;
mod acts;
mod damage;
mod erasure;
mod every_operation;
mod finished;
pub(super) mod formats;
mod golden_spool;
mod operator;
mod power_cut;
mod promises;
mod random;
mod readers;
mod recovered;
mod schedule;
mod sim_disk;
mod sim_operations;
mod stopped_reader;
mod syncs_beside;
mod two_senders;
mod world;

use std::sync::Arc;

use super::contract::{Change, FileStore, HostStore, Store};
use super::fold::Fold;
use super::log_store::LogStore;
use super::next_ledger::SpareLedger;
use super::{
    LaneState, Place, Receipt, Rejected, RejectedFilter, RejectedReason, Run, Shares, Totals,
};
use crate::spool::Spool;
use crate::spool::tests::new_spool;

const PLACE: Place = Place { lane: 0, queue: 0 };

fn spool() -> (tempfile::TempDir, Arc<Spool>) {
    let (parent, spool) = new_spool();
    (parent, Arc::new(spool))
}

fn run_of(first: usize, events: usize) -> Run {
    let mut run = Run::default();
    for number in first..first + events {
        let fragment = format!(
            r#"{{"partner_user_id":"user-{number}","event":"audio","received_at":"2026-01-01T00:00:00Z"}}"#
        );
        run.push(fragment.as_bytes(), number as i64);
    }
    run
}

fn rejected(number: usize) -> Rejected {
    Rejected {
        user: format!("user-{number}"),
        event: run_of(number, 1).body,
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: "A_1".to_owned(),
        message: "bad".to_owned(),
        http_status: Some(400),
        attempts: 1,
        first_ms: 1,
        last_ms: 2,
    }
}

/// The state, without what each sender makes up for itself.
fn but_session(store: &LogStore) -> Fold {
    let mut fold = store.fold.clone();
    fold.numbers.session = 0;
    fold
}

#[test]
fn what_was_committed_is_there_when_the_store_is_opened_again() {
    let (_parent, spool) = spool();
    let mut store = LogStore::open(&spool).unwrap();
    let runs: Vec<Run> = (0..10).map(|number| run_of(number * 100, 100)).collect();
    let totals = Totals {
        delivered: 7,
        ..Totals::default()
    };
    let mut changes: Vec<Change<'_>> = runs
        .iter()
        .map(|run| Change::Append {
            place: PLACE,
            origin: None,
            run,
        })
        .collect();
    changes.push(Change::Taken {
        segment: "00000001-1-1-1.segment",
        upto: 4711,
    });
    changes.push(Change::Totals(&totals));
    changes.push(Change::Lanes(1));
    store.commit(&changes).unwrap();
    let read = store.runs(PLACE, 0, 32).unwrap();
    assert_eq!(read.len(), 10);
    let event = rejected(3);
    store
        .commit(&[
            Change::Settle {
                place: PLACE,
                upto: read[2].id,
            },
            Change::Mark {
                place: PLACE,
                run: read[3].id,
                marks: 0b11,
            },
            Change::Leave {
                place: PLACE,
                events: 302,
                bytes: 302,
            },
            Change::Reject(&event),
            Change::Receipt(&Receipt {
                time_ms: 1_000,
                http_status: 204,
                attempts: 1,
                events: 300,
                shares: Shares::of([&runs[0].body[..]].into_iter()),
            }),
            Change::Lane {
                lane: 0,
                state: &LaneState::default(),
            },
        ])
        .unwrap();
    let before = but_session(&store);
    let seq = store.committed();
    store.syncs().sync_until(seq).unwrap();
    drop(store);

    let mut store = LogStore::open(&spool).unwrap();
    assert_eq!(but_session(&store), before);
    let read = store.runs(PLACE, 0, 32).unwrap();
    assert_eq!(read.len(), 7);
    assert_eq!(read[0].marks, 0b11);
    assert_eq!(read[0].run, runs[3]);
    assert_eq!(store.totals().pending, 698);
    assert_eq!(store.totals().delivered, 7);
    let found = store
        .rejected_matching(&RejectedFilter::default(), 10)
        .unwrap();
    assert_eq!(found, vec![(1, event.clone())]);
    store
        .commit(&[Change::Forget {
            rejected: 1,
            event: &found[0].1,
        }])
        .unwrap();
    assert!(store.rejected(&[1]).unwrap().is_empty());

    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    store.commit(&[Change::Lanes(2)]).unwrap();
    let before = but_session(&store);
    drop(store);
    let store = LogStore::open(&spool).unwrap();
    assert_eq!(but_session(&store), before);
    let receipts = super::receipt_files::read_receipts(
        &*store.disk(),
        &super::ReceiptFilter::default(),
        0,
        10,
    );
    assert_eq!(receipts.unwrap().len(), 1);
}

#[test]
fn rejected_events_are_found_by_their_ids_in_whichever_file_they_stand() {
    let (_parent, spool) = spool();
    let mut store = LogStore::open(&spool).unwrap();
    super::guards::shrink(14);
    for number in 1..=9 {
        store.commit(&[Change::Reject(&rejected(number))]).unwrap();
    }
    super::guards::shrink(0);
    assert!(store.fold.rejected.len() > 2);
    let event = rejected(4);
    store
        .commit(&[Change::Forget {
            rejected: 4,
            event: &event,
        }])
        .unwrap();
    let found = store.rejected(&[9, 4, 2, 3, 77, -1, i64::MAX]).unwrap();
    let expected: Vec<_> = [2, 3, 9].map(|id| (id, rejected(id as usize))).into();
    assert_eq!(found, expected);
}

#[test]
fn a_record_that_may_not_be_skipped_has_the_store_left_to_a_newer_version() {
    for (tag, may_be_skipped) in [(100, true), (127, true), (128, false), (255, false)] {
        let (_parent, spool) = spool();
        let mut store = LogStore::open(&spool).unwrap();
        let run = run_of(0, 3);
        let append = Change::Append {
            place: PLACE,
            origin: None,
            run: &run,
        };
        store.commit(&[append]).unwrap();
        store.record.extend([tag, 2, 7, 7]);
        store.append_record().unwrap();
        let disk = store.disk();
        drop(store);
        let ledger = super::ledger::file_name(1);
        let path = spool.dir().join("ledger").join(&ledger);
        let before = std::fs::read(&path).unwrap();
        let reader = super::Reader::open(&spool).map(|reader| reader.unwrap().totals().pending);
        let sender = LogStore::open_on(disk, spool.boot_count());
        if may_be_skipped {
            assert_eq!(reader.unwrap(), 3);
            assert_eq!(sender.unwrap().runs(PLACE, 0, 9).unwrap().len(), 1);
            continue;
        }
        for refused in [reader.unwrap_err(), sender.unwrap_err()] {
            // A pause would be this version's own, and an operator asked to recover.
            let told = (refused.kind(), refused.pause_reason());
            assert_eq!(told, (crate::error::ErrorKind::Store, None), "{refused}");
            assert!(refused.message().contains("newer"), "{refused}");
        }
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

#[test]
fn receipts_of_a_clock_that_was_a_year_ahead_are_found_and_go_in_time() {
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    const NOW_MS: i64 = 1_700_000_000_000;
    let (_parent, spool) = spool();
    let disk: Arc<dyn super::disk::Disk> = Arc::new(super::spool_disk::SpoolDisk::new(&spool));
    let run = run_of(0, 3);
    for (boot, times) in [(0, [0, YEAR_MS]), (1, [1_000, 2_000])] {
        let mut store = LogStore::open_on(disk.clone(), spool.boot_count() + boot).unwrap();
        for after in times {
            let receipt = Receipt {
                time_ms: NOW_MS + after,
                http_status: 204,
                attempts: 1,
                events: 3,
                shares: Shares::of(run.events().map(|(fragment, _)| fragment)),
            };
            let append = Change::Append {
                place: PLACE,
                origin: None,
                run: &run,
            };
            store.commit(&[append, Change::Receipt(&receipt)]).unwrap();
            assert!(
                !store
                    .forget_receipts(NOW_MS - YEAR_MS, NOW_MS + after)
                    .unwrap()
            );
        }
    }
    let mut store = LogStore::open_on(disk.clone(), spool.boot_count() + 1).unwrap();
    let of_times = |store: &LogStore, from: i64, until: i64| {
        let filter = super::ReceiptFilter {
            from_ms: Some(NOW_MS + from),
            until_ms: Some(NOW_MS + until),
            ..super::ReceiptFilter::default()
        };
        let from_id = store.fold.numbers.receipts_from;
        let found = super::receipt_files::read_receipts(&*disk, &filter, from_id, 9).unwrap();
        assert!(found.is_sorted_by(|(a, _), (b, _)| a < b));
        found.len()
    };
    assert_eq!(of_times(&store, 0, 2 * YEAR_MS), 4);
    assert_eq!(of_times(&store, 500, 5_000), 2);
    let spare = SpareLedger::take(&*disk).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    while store
        .forget_receipts(NOW_MS + 5_000, NOW_MS + 6_000)
        .unwrap()
    {}
    assert_eq!(of_times(&store, 0, 2 * YEAR_MS), 0);
    assert_eq!(store.runs(PLACE, 0, 9).unwrap().len(), 4);
}
