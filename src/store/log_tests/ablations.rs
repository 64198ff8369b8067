//! Each guard of the store turned off, and seen to be missed.

use std::sync::Arc;

use super::promises::Since;
use super::random::{ALL, NONE, Perils, life};
use super::world::{Mistake, Safety, Trouble, World};
use crate::store::contract::{Change, FileStore, Store};
use crate::store::disk::Folder;
use crate::store::frame::{Position, begin_record, finish_record};
use crate::store::guards::{Guard, shrink, take_down};
use crate::store::log_store::LogStore;
use crate::store::{entry::Entry, ledger};

const CUTS: Perils = Perils { cuts: true, ..NONE };

/// Lives through seeds until a promise is broken.
fn broken_without(guard: Guard, perils: Perils) -> Option<String> {
    take_down(Some(guard));
    let broken = first_broken(perils, Mistake::None);
    take_down(None);
    broken
}

fn first_broken(perils: Perils, mistake: Mistake) -> Option<String> {
    let safeties = [Safety::Process, Safety::Power];
    let lives = (0..600_u64).flat_map(|seed| safeties.map(|safety| (seed, safety)));
    lives
        .into_iter()
        .find_map(|(seed, safety)| life(seed, safety, perils, mistake).err())
}

#[test]
fn without_the_sync_of_a_ledgers_name_a_cut_loses_events() {
    assert_ne!(broken_without(Guard::NameIsSynced, CUTS), None);
}

#[test]
fn without_verification_after_a_boot_a_cut_loses_events() {
    assert_ne!(broken_without(Guard::Verification, CUTS), None);
}

#[test]
fn a_gap_that_is_never_judged_stops_delivery_where_nothing_is_damaged() {
    let broken = broken_without(Guard::GapIsJudged, CUTS).unwrap();
    assert!(broken.contains("cannot be read"), "{broken}");
}

#[test]
fn segments_that_go_before_the_sync_point_is_durable_lose_events() {
    let broken = first_broken(NONE, Mistake::RemovesEarly).unwrap();
    assert!(broken.contains("is lost"), "{broken}");
}

#[test]
fn a_commit_between_a_snapshot_and_its_name_is_lost() {
    assert_ne!(first_broken(NONE, Mistake::CommitsMeanwhile), None);
}

#[test]
fn a_request_that_leaves_before_its_record_is_durable_is_repeated_as_another_one() {
    assert_ne!(first_broken(ALL, Mistake::SendsEarly), None);
}

#[test]
fn a_record_that_is_written_before_its_data_loses_events() {
    let broken = (0..300_u64).find(|seed| {
        shrink(11);
        let mut world = World::new(*seed, Safety::Process);
        world.disk.with(|sim| sim.is_data_late = true);
        world.open().unwrap();
        for _ in 0..6 {
            world.enqueue();
            let _ = world.take_over();
        }
        world.enqueue();
        let _ = world.take_over();
        world.kill();
        let checked = world.open().and_then(|()| world.check(Since::Nothing));
        matches!(checked, Err(Trouble::Violation(_)))
    });
    assert_ne!(broken, None);
}

/// A store whose first durable record is damaged before the host boots.
fn with_a_damaged_record() -> World {
    shrink(0);
    let mut world = World::new(1, Safety::Process);
    world.open().unwrap();
    world.enqueue();
    world.take_over().unwrap();
    let end = world.store().ledger.end as usize;
    for _ in 0..3 {
        world.enqueue();
        world.take_over().unwrap();
    }
    world.sync_point().unwrap();
    world.drop_store();
    let name = ledger::file_name(1);
    world
        .disk
        .tamper(Folder::Ledger, &name, |bytes| bytes[end + 40] ^= 1);
    world.boot += 1;
    world
}

#[test]
fn a_gap_in_what_was_durable_is_damage_after_a_boot_and_passes_unseen_where_all_gaps_are_trusted() {
    let opened = with_a_damaged_record().open();
    assert!(matches!(opened, Err(Trouble::Violation(what)) if what.contains("cannot be read")));

    let mut world = with_a_damaged_record();
    take_down(Some(Guard::GapIsDamage));
    let opened = world.open();
    take_down(None);
    assert!(opened.is_ok(), "{opened:?}");
}

/// Whether a record of another file, on blocks that were used again, is taken for one of the ledger's.
fn believes_a_record_of_another_file() -> bool {
    let mut world = World::new(1, Safety::Process);
    world.open().unwrap();
    let (end, seq) = (world.store().ledger.end, world.store().committed());
    world.drop_store();
    let mut record = Vec::new();
    begin_record(&mut record);
    Entry::Lanes(77).encode(&mut record);
    let elsewhere = Position {
        nonce: 4711,
        offset: end,
    };
    finish_record(&mut record, seq + 1, seq, elsewhere);
    let name = ledger::file_name(1);
    world
        .disk
        .tamper(Folder::Ledger, &name, |bytes| bytes.extend(record));
    let disk = Arc::new(world.own_disk());
    LogStore::open_on(disk, 2).unwrap().lanes() == 77
}

#[test]
fn a_checksum_that_is_not_bound_to_its_file_believes_blocks_that_were_used_again() {
    assert!(!believes_a_record_of_another_file());
    take_down(Some(Guard::Nonce));
    let believes = believes_a_record_of_another_file();
    take_down(None);
    assert!(believes);
}

#[test]
fn a_commit_after_a_failed_one_is_refused() {
    let mut world = World::new(1, Safety::Process);
    world.open().unwrap();
    let event = super::rejected(5);
    let forget = Change::Forget {
        rejected: 5,
        event: &event,
    };
    assert!(world.store().commit(&[forget]).is_err());
    assert!(world.store().commit(&[Change::Lanes(3)]).is_err());
    let spare = crate::store::next_ledger::SpareLedger::take(&world.own_disk()).unwrap();
    assert!(world.store().begin_next_ledger(spare).is_err());
}
