//! A thread that syncs beside one that commits, or that publishes the next ledger: they meet at every
//! operation, and what either of them is told is durable survives a cut.

use std::sync::{Arc, Mutex};

use super::schedule::Turn;
use super::sim_disk::{SimDisk, act_as};
use super::world::{event_of, run_of};
use crate::mutex::lock;
use crate::store::Place;
use crate::store::contract::{Change, FileStore, Store};
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;

const PLACE: Place = Place { lane: 0, queue: 0 };
const WRITER: u32 = 11;
const SYNCER: u32 = 12;

/// A store with one run that is not synced.
fn store() -> (SimDisk, LogStore) {
    let disk = SimDisk::new();
    let mut store = LogStore::open_on(Arc::new(disk.process(1)), 1).unwrap();
    append(&mut store, 1);
    (disk, store)
}

fn append(store: &mut LogStore, event: u64) {
    let run = run_of(&[event]);
    let change = Change::Append {
        place: PLACE,
        origin: None,
        run: &run,
    };
    store.commit(&[change]).unwrap();
}

/// Has `act` and a sync meet: the writer stops after `first` operations, the other one after `second`.
fn meet(
    (disk, mut store): (SimDisk, LogStore),
    (first, second): (u64, u64),
    act: impl FnOnce(&mut LogStore) + Send,
) -> (SimDisk, LogStore) {
    let turn = |process, operations| Turn {
        process,
        operations,
        closes: None,
    };
    let end = u64::MAX / 2;
    disk.schedule(&[turn(WRITER, first), turn(SYNCER, second), turn(WRITER, end)]);
    let (syncs, seq) = (store.syncs(), store.committed());
    std::thread::scope(|scope| {
        let (ours, theirs) = (&disk, &disk);
        let store = &mut store;
        scope.spawn(move || {
            act_as(WRITER);
            act(store);
            ours.leave(WRITER);
        });
        scope.spawn(move || {
            act_as(SYNCER);
            syncs.sync_until(seq).unwrap();
            theirs.leave(SYNCER);
        });
    });
    disk.schedule(&[]);
    (disk, store)
}

fn events_after_a_cut(disk: &SimDisk, seed: u64) -> Vec<u64> {
    let disk = disk.copy();
    disk.cut(&mut fastrand::Rng::with_seed(seed));
    let mut store = LogStore::open_on(Arc::new(disk.process(2)), 2).unwrap();
    let runs = store.runs(PLACE, 0, 10).unwrap();
    runs.iter().map(|run| event_of(&run.run.body)).collect()
}

#[test]
fn a_sync_that_meets_a_commit_takes_nothing_for_durable_that_is_not() {
    for first in 1..12 {
        for second in [1, 2, 3, 20] {
            let (disk, store) = meet(store(), (first, second), |store| append(store, 2));
            store.syncs().sync_until(store.committed()).unwrap();
            for seed in 0..20 {
                assert_eq!(events_after_a_cut(&disk, seed), [1, 2], "{first}, {second}");
            }
        }
    }
}

#[test]
fn a_ledger_is_not_published_before_the_sync_of_another_thread_has_ended() {
    for first in 1..30 {
        for second in [1, 2, 3] {
            let published = Mutex::new(None);
            let (disk, store) = store();
            let copied = disk.clone();
            meet((disk, store), (first, second), |store| {
                let spare = SpareLedger::take(&*store.disk()).unwrap();
                let next = store.begin_next_ledger(spare).unwrap();
                next.publish().unwrap();
                *lock(&published) = Some(copied.copy());
                store.use_next_ledger(next);
            });
            let published = lock(&published).take().unwrap();
            for seed in 0..20 {
                assert_eq!(
                    events_after_a_cut(&published, seed),
                    [1],
                    "{first}, {second}"
                );
            }
        }
    }
}
