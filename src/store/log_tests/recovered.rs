//! Power cuts during and after a recovery: the damaged store is left, or the new one with all that it holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sim_disk::{Fault, SimDisk};
use super::{PLACE, rejected, run_of, spool};
use crate::spool::Spool;
use crate::store::contract::{Change, Store};
use crate::store::disk::{Disk, Folder};
use crate::store::log_store::LogStore;
use crate::store::recover::{Repair, recover_on};
use crate::store::{Place, RejectedFilter};

fn lane_of(_: &[u8], _: usize) -> usize {
    0
}

/// A durable store of which a run, a rejected event and a record are damaged.
fn damaged_store(spool: &Spool) -> SimDisk {
    let disk = SimDisk::new();
    let mut store = LogStore::open_on(Arc::new(disk.clone()), spool.boot_count()).unwrap();
    for number in 0..6 {
        let run = run_of(number * 10, 10);
        let event = rejected(number);
        let place = Place {
            queue: (number % 2) as u8,
            ..PLACE
        };
        let append = Change::Append {
            place,
            origin: None,
            run: &run,
        };
        store.commit(&[append, Change::Reject(&event)]).unwrap();
    }
    let end = store.ledger.end as usize;
    store.commit(&[Change::AcceptedSince]).unwrap();
    let seq = store.committed();
    store.syncs().sync_until(seq).unwrap();
    store.commit(&[Change::Lanes(1)]).unwrap();
    drop(store);
    for (folder, name) in disk.files() {
        let at = match folder {
            Folder::Ledger if name.parse::<u64>().is_ok() => end + 4,
            Folder::Queues | Folder::Rejected => 400,
            _ => continue,
        };
        disk.tamper(folder, &name, |bytes| bytes[at] ^= 1);
    }
    disk
}

/// The users of the events that wait and of those that are rejected; `None` while the store is damaged.
fn held(disk: &SimDisk, boot: u32) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let mut store = LogStore::open_on(Arc::new(disk.clone()), boot).ok()?;
    let mut waiting = BTreeSet::new();
    for queue in 0..2 {
        for run in store.runs(Place { queue, ..PLACE }, 0, 100).ok()? {
            waiting.extend(run.waiting().map(|(_, event, _)| text(event)));
        }
    }
    let found = store
        .rejected_matching(&RejectedFilter::default(), 100)
        .ok()?;
    let rejected = found.iter().map(|(_, event)| text(&event.event)).collect();
    Some((waiting, rejected))
}

fn text(event: &[u8]) -> String {
    String::from_utf8_lossy(event).into_owned()
}

#[test]
fn a_power_cut_at_any_step_of_a_recovery_or_behind_it_costs_nothing_more() {
    let (_parent, spool) = spool();
    let damaged = damaged_store(&spool);
    let boot = spool.boot_count();
    let recover = |disk: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        recover_on(&disk, &spool, Repair::Replace, lane_of)
    };
    let undisturbed = damaged.copy();
    recover(&undisturbed).unwrap();
    let expected = held(&undisturbed, boot).unwrap();
    assert!(
        expected.0.len() > 30 && expected.1.len() > 3,
        "{expected:?}"
    );
    let mut steps = 0;
    loop {
        let mut is_over = false;
        for seed in 0..12 {
            let disk = damaged.copy();
            disk.fault_after(steps, Fault::Kill(9));
            is_over = recover(&disk).is_ok();
            disk.clear_faults();
            disk.cut(&mut fastrand::Rng::with_seed(seed));
            let disk = disk.process(1);
            match held(&disk, boot + 1) {
                Some(found) => assert_eq!(found, expected, "step {steps}, seed {seed}"),
                None => {
                    assert!(!is_over, "step {steps}, seed {seed}: it is damaged again");
                    recover(&disk).unwrap();
                    let found = held(&disk, boot + 1);
                    assert_eq!(found.as_ref(), Some(&expected), "step {steps}, seed {seed}");
                }
            }
        }
        if is_over {
            break;
        }
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
}
