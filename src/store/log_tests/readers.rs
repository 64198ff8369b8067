//! Readers beside a sender that appends, settles, rotates its files and removes them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{PLACE, rejected, run_of, spool};
use crate::store::contract::{Change, FileStore, Store};
use crate::store::guards::shrink;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::reader::{ListPosition, Reader};
use crate::store::{Place, Receipt, ReceiptFilter, RejectedFilter, Shares, Totals};

const ROUNDS: usize = 400;

/// Takes over a run, settles an earlier one, rejects and forgets events, and tidies up.
pub(super) fn send(store: &mut LogStore, round: usize) {
    let run = run_of(round * 10, 10);
    let event = rejected(round);
    let totals = Totals {
        requests: round as u64 + 1,
        ..store.totals()
    };
    let receipt = Receipt {
        time_ms: round as i64 + 1,
        http_status: 204,
        attempts: 1,
        events: 10,
        shares: Shares::of(run.events().map(|(fragment, _)| fragment)),
    };
    let mut changes = vec![
        Change::Append {
            place: PLACE,
            origin: None,
            run: &run,
        },
        Change::Reject(&event),
        Change::Receipt(&receipt),
        Change::Totals(&totals),
    ];
    let waiting = store.runs(PLACE, 0, 8).unwrap();
    if waiting.len() == 8 {
        changes.push(Change::Settle {
            place: PLACE,
            upto: waiting[0].id,
        });
        changes.push(Change::Leave {
            place: PLACE,
            events: 10,
            bytes: waiting[0]
                .run
                .slots
                .iter()
                .map(|slot| u64::from(slot.length))
                .sum(),
        });
    }
    store.commit(&changes).unwrap();
    let first = store
        .rejected_matching(&RejectedFilter::default(), 6)
        .unwrap();
    if let [(id, event), .., _] = &first[..]
        && first.len() == 6
    {
        let forget = Change::Forget {
            rejected: *id,
            event,
        };
        store.commit(&[forget]).unwrap();
    }
    if store.wants_next_ledger() {
        let spare = SpareLedger::take(&*store.disk()).unwrap();
        let next = store.begin_next_ledger(spare).unwrap();
        next.publish().unwrap();
        store.use_next_ledger(next);
    }
    if round % 16 == 15 {
        let point = store.note_sync_point();
        store.syncs().sync_until(point.seq()).unwrap();
        let seq = store.commit_sync_point().unwrap();
        store.syncs().sync_until(seq).unwrap();
        point.remove(&*store.disk()).unwrap();
        store.forget_removed(&point).unwrap();
    }
}

/// Looks once: everything that it sees is of one moment.
pub(super) fn look(reader: &mut Reader, requests_before: u64) -> u64 {
    reader.refresh().unwrap();
    let (mut position, mut events) = (ListPosition::from_run(0), 0);
    loop {
        let runs = reader.next_runs(&mut position, 3).unwrap();
        if runs.is_empty() {
            break;
        }
        events += runs
            .iter()
            .map(|(_, run)| run.waiting_count())
            .sum::<usize>();
    }
    // The list may have been read at several moments, and a run is in it at most once.
    assert!(events <= 10 * (ROUNDS + 1), "{events} events are listed");
    let rejected = reader.rejected(&RejectedFilter::default(), 100).unwrap();
    assert!(rejected.len() <= 7, "{} are rejected", rejected.len());
    assert!(rejected.is_sorted_by_key(|(id, _)| *id));
    let receipts = reader.receipts(&ReceiptFilter::default(), 10_000).unwrap();
    let requests = reader.totals().requests;
    assert!(
        receipts.len() as u64 >= requests,
        "{} receipts of {requests}",
        receipts.len()
    );
    reader.first_origin().unwrap();
    assert!(
        requests >= requests_before,
        "{requests} requests, and {requests_before} before"
    );
    requests
}

#[test]
fn a_reader_finds_the_first_origin_behind_runs_that_come_from_later_ones() {
    let (_parent, spool) = spool();
    let mut store = LogStore::open(&spool).unwrap();
    let suspects = Place { queue: 1, ..PLACE };
    let run = run_of(1, 1);
    let append = |place, origin| Change::Append {
        place,
        origin,
        run: &run,
    };
    store.commit(&[append(PLACE, None); 3]).unwrap();
    let regular = store.runs(PLACE, 0, 3).unwrap();
    for origin in [1, 2, 0].map(|at| regular[at].id) {
        store.commit(&[append(suspects, Some(origin))]).unwrap();
    }
    let upto = regular[2].id;
    let bytes = 3 * u64::from(run.slots[0].length);
    store
        .commit(&[
            Change::Settle { place: PLACE, upto },
            Change::Leave {
                place: PLACE,
                events: 3,
                bytes,
            },
        ])
        .unwrap();
    let mut reader = Reader::open(&spool).unwrap().unwrap();
    assert_eq!(reader.first_origin().unwrap(), Some(regular[0].id));

    // The same reader, which reads on from where it was, beside one that knows nothing.
    let mut rng = fastrand::Rng::with_seed(1);
    let mut waiting: VecDeque<i64> = store
        .runs(suspects, 0, 9)
        .unwrap()
        .iter()
        .map(|run| run.origin)
        .collect();
    for _ in 0..200 {
        if rng.bool() || waiting.len() < 2 {
            let origin = rng.i64(1..=upto);
            store.commit(&[append(suspects, Some(origin))]).unwrap();
            waiting.push_back(origin);
        } else {
            let first = store.runs(suspects, 0, 1).unwrap()[0].id;
            let settle = Change::Settle {
                place: suspects,
                upto: first,
            };
            let leave = Change::Leave {
                place: suspects,
                events: 1,
                bytes: bytes / 3,
            };
            store.commit(&[settle, leave]).unwrap();
            waiting.pop_front();
        }
        reader.refresh().unwrap();
        let earliest = waiting.iter().min().copied();
        assert_eq!(reader.first_origin().unwrap(), earliest);
        let mut fresh = Reader::open(&spool).unwrap().unwrap();
        assert_eq!(fresh.first_origin().unwrap(), earliest);
    }
}

#[test]
fn the_order_of_a_long_queue_of_suspects_is_read_in_parts_and_nothing_counts_as_settled_before() {
    let (_parent, spool) = spool();
    let mut store = LogStore::open(&spool).unwrap();
    let run = run_of(1, 1);
    let append = |queue, origin| Change::Append {
        place: Place { queue, ..PLACE },
        origin,
        run: &run,
    };
    store.commit(&[append(0, None); 2]).unwrap();
    let regular = store.runs(PLACE, 0, 2).unwrap();
    let (first, second) = (regular[0].id, regular[1].id);
    for _ in 0..5 {
        let many = vec![append(1, Some(second)); 5_000];
        store.commit(&many).unwrap();
    }
    // The last one of all is the earliest.
    store.commit(&[append(1, Some(first))]).unwrap();
    let settle = Change::Settle {
        place: PLACE,
        upto: second,
    };
    let leave = Change::Leave {
        place: PLACE,
        events: 2,
        bytes: 2 * u64::from(run.slots[0].length),
    };
    store.commit(&[settle, leave]).unwrap();
    let mut reader = Reader::open(&spool).unwrap().unwrap();
    let mut ask = [
        Box::new(|| store.first_origin().unwrap()) as Box<dyn FnMut() -> Option<i64>>,
        Box::new(|| reader.first_origin().unwrap()),
    ];
    for ask in &mut ask {
        let answers: Vec<_> = (0..4).map(|_| ask().unwrap()).collect();
        assert_eq!(answers, [0, 0, first, first]);
    }
}

#[test]
fn a_reader_beside_a_sender_that_changes_its_files_sees_no_damage_and_never_an_earlier_state() {
    let (_parent, spool) = spool();
    let mut store = LogStore::open(&spool).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for fresh in [false, true] {
            let (spool, ended) = (&spool, &ended);
            scope.spawn(move || {
                let mut reader = Reader::open(spool).unwrap().unwrap();
                let mut requests = 0;
                while !ended.load(Ordering::Relaxed) {
                    if fresh {
                        reader = Reader::open(spool).unwrap().unwrap();
                    }
                    requests = look(&mut reader, requests);
                }
                assert_eq!(look(&mut reader, requests), ROUNDS as u64);
            });
        }
        // Ledgers of 4 KiB, and files of queues and rejected events of 8.
        shrink(10);
        for round in 0..ROUNDS {
            send(&mut store, round);
        }
        shrink(0);
        ended.store(true, Ordering::Relaxed);
    });
    assert!(
        store.ledger.header.number > 10,
        "the ledger has changed often"
    );
}
