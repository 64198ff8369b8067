//! A recovery that is killed leaves the damaged store, which can be recovered, or the new one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::dying_disk::DyingDisk;
use super::{Contents, Repair, Spooled, lane_of};
use crate::store::disk::Disk;
use crate::store::recover::recover_on;
use crate::store::spool_disk::SpoolDisk;

/// Kills a recovery at each of its changes; `damage` is done to the whole store before.
fn kill_at_each_step(spooled: &Spooled, damage: impl Fn()) {
    spooled.restore();
    damage();
    let undisturbed = spooled.recover(Repair::Replace);
    assert!(undisturbed.kept.is_some());
    let expected = spooled.read();
    let mut steps = 0;
    loop {
        spooled.restore();
        damage();
        let disk: Arc<dyn Disk> = Arc::new(SpoolDisk::new(&spooled.spool));
        let dying = Arc::new(DyingDisk::new(disk, steps));
        let as_disk: Arc<dyn Disk> = dying.clone();
        let done = recover_on(&as_disk, &spooled.spool, Repair::Replace, lane_of);
        if !dying.is_dead() {
            done.unwrap();
            break;
        }
        assert!(done.is_err(), "step {steps}");
        let again = spooled.recover(Repair::Replace);
        let counts = |of: &super::Salvage| (of.pending, of.runs, of.rejected);
        let lost = |of: &super::Salvage| (of.lost_pending, of.lost_rejected);
        assert_eq!(counts(&again), counts(&undisturbed), "step {steps}");
        if again.kept.is_some() {
            assert_eq!(lost(&again), lost(&undisturbed), "step {steps}");
        }
        assert_eq!(spooled.read(), expected, "step {steps}");
        assert_no_file_is_left_over(spooled, steps);
        steps += 1;
    }
    assert!(steps > 5, "{steps}");
}

/// What neither store speaks of is under `damaged/`.
fn assert_no_file_is_left_over(spooled: &Spooled, step: i64) {
    let names = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(spooled.spool.dir().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let (queues, rejected) = (names("queues"), names("rejected"));
    assert!(
        queues.len() <= 4 && rejected.len() == 1,
        "step {step}: {queues:?} {rejected:?}"
    );
}

fn zero(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let upto = (at + 64).min(bytes.len());
    bytes[at..upto].fill(0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_recovery_of_a_queue_may_be_killed_at_any_step() {
    let spooled = Spooled::new();
    for path in spooled.names("queues") {
        // In the middle of its last run.
        let at = spooled.files[&path].len() - 100;
        kill_at_each_step(&spooled, || zero(&path, at));
    }
}

#[test]
fn a_recovery_of_the_rejected_events_may_be_killed_at_any_step() {
    let spooled = Spooled::new();
    for path in spooled.names("rejected") {
        kill_at_each_step(&spooled, || zero(&path, 300));
    }
}

#[test]
fn a_recovery_of_the_ledger_may_be_killed_at_any_step() {
    let spooled = Spooled::new();
    let path = spooled.ledger();
    for at in [0, 64, spooled.files[&path].len() / 2] {
        kill_at_each_step(&spooled, || zero(&path, at));
    }
    kill_at_each_step(&spooled, || fs::remove_file(&path).unwrap());
}

#[test]
fn a_recovery_of_everything_may_be_killed_at_any_step() {
    let spooled = Spooled::new();
    let (ledger, queues, rejected) = (
        spooled.ledger(),
        spooled.names("queues"),
        spooled.names("rejected"),
    );
    kill_at_each_step(&spooled, || {
        zero(&ledger, 64);
        queues.iter().for_each(|path| zero(path, 0));
        zero(&rejected[0], 0);
    });
    assert_ne!(spooled.contents, Contents::default());
}
