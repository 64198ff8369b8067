//! Bytes that change behind everybody's back, and files that are gone: what no record speaks of does not
//! matter, and all else is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sim_disk::SimDisk;
use super::world::{LANES, Safety, World};
use crate::error::{Error, PauseReason, Result};
use crate::journal::round::Offsets;
use crate::store::contract::{HostStore, Store};
use crate::store::disk::{Disk, Folder};
use crate::store::guards::shrink;
use crate::store::ledger;
use crate::store::log_store::LogStore;
use crate::store::receipt_files::read_receipts;
use crate::store::{LaneState, Place, ReceiptFilter, Rejected, RejectedFilter, StoredRun, Totals};

/// All that delivery and an operator get out of a store.
#[derive(Debug, PartialEq)]
struct Told {
    runs: Vec<StoredRun>,
    rejected: Vec<(i64, Rejected)>,
    offsets: BTreeMap<String, u64>,
    lanes: Vec<LaneState>,
    totals: Totals,
}

fn told(disk: &SimDisk, boot: u32) -> Result<Told> {
    let mut store = LogStore::open_on(Arc::new(disk.clone()), boot)?;
    let mut runs = Vec::new();
    for lane in 0..LANES {
        for queue in 0..2 {
            runs.extend(store.runs(Place { lane, queue }, 0, usize::MAX)?);
        }
    }
    store.first_origin()?;
    // A receipt is no event; it only must not do harm.
    let _ = read_receipts(disk, &ReceiptFilter::default(), 0, usize::MAX);
    let offsets: Offsets = store.offsets();
    Ok(Told {
        runs,
        rejected: store.rejected_matching(&RejectedFilter::default(), usize::MAX)?,
        offsets: offsets.into_iter().collect(),
        lanes: (0..LANES).map(|lane| store.lane(lane)).collect(),
        totals: store.totals(),
    })
}

/// A store with files of every kind, and up to where its ledger is durable.
fn small_store() -> (SimDisk, usize) {
    shrink(13);
    let mut world = World::new(11, Safety::Process);
    world.open().unwrap();
    for _ in 0..5 {
        world.enqueue();
        world.take_over().unwrap();
        world.deliver(0).unwrap();
        world.reject().unwrap();
    }
    world.suspect().unwrap();
    world.rotate().unwrap();
    for _ in 0..4 {
        world.take_over().unwrap();
        world.deliver(1).unwrap();
        world.reject().unwrap();
    }
    let end = world.store().ledger.end as usize;
    world.sync_point().unwrap();
    world.drop_store();
    (world.disk.copy(), end)
}

fn is_damage(e: &Error) -> bool {
    e.pause_reason() == Some(PauseReason::StoreDamaged)
}

#[test]
fn a_changed_byte_is_noticed_or_does_not_matter() {
    let (disk, durable) = small_store();
    let before = told(&disk.copy(), 1).unwrap();
    assert_eq!(told(&disk.copy(), 2).unwrap(), before);
    assert!(!before.runs.is_empty() && !before.rejected.is_empty());
    let mut noticed = 0;
    for (folder, name) in disk.files() {
        let length = disk.content(folder, &name).unwrap().len();
        let last = ledger::numbers(&disk.copy(), Folder::Ledger)
            .unwrap()
            .pop()
            .map(ledger::file_name);
        let is_ledger = folder == Folder::Ledger && Some(&name) == last.as_ref();
        for at in 0..length {
            for boot in [1, 2] {
                let copy = disk.copy();
                copy.tamper(folder, &name, |bytes| bytes[at] ^= 1 << (at % 8));
                match told(&copy, boot) {
                    Ok(told) if told == before => {}
                    Err(e) if is_damage(&e) => noticed += 1,
                    // After a boot, what was not durable is taken for cut.
                    _ if is_ledger && boot == 2 && at >= durable => {}
                    other => panic!(
                        "byte {at} of {}/{name}, boot {boot}: {other:?}",
                        folder.name()
                    ),
                }
            }
        }
    }
    assert!(noticed > 1_000, "{noticed}");
}

#[test]
fn a_file_that_is_gone_or_cut_short_is_noticed_or_does_not_matter() {
    let (disk, _) = small_store();
    let before = told(&disk.copy(), 1).unwrap();
    for (folder, name) in disk.files() {
        for boot in [1, 2] {
            let gone = disk.copy();
            gone.remove(folder, &name).unwrap();
            let cut = disk.copy();
            cut.tamper(folder, &name, |bytes| bytes.truncate(bytes.len() / 2));
            let mut broken = vec![gone];
            // A ledger that is cut in the boot that wrote it may be cut at a record.
            if folder != Folder::Ledger || boot == 2 {
                broken.push(cut);
            }
            for copy in broken {
                match told(&copy, boot) {
                    Ok(told) if told == before => {}
                    Err(e) if is_damage(&e) => {}
                    // The spool is as it was before the ledger's last file: not possible, so told apart.
                    other => panic!("{}/{name}, boot {boot}: {other:?}", folder.name()),
                }
            }
        }
    }
}

#[test]
fn a_strangers_file_in_any_folder_does_not_matter() {
    let (disk, _) = small_store();
    let before = told(&disk.copy(), 1).unwrap();
    for folder in Folder::ALL {
        for name in [
            "x",
            "..",
            "0000000000000000",
            "00.0.0000000000000999",
            "next.1",
            "spare.1",
        ] {
            let copy = disk.copy();
            copy.put(folder, name, b"nothing of ours");
            assert_eq!(told(&copy, 1).unwrap(), before, "{}/{name}", folder.name());
            assert_eq!(told(&copy, 2).unwrap(), before, "{}/{name}", folder.name());
        }
    }
}
