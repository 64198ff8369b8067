//! Random lives of a store: kills, failing operations and power cuts, and every promise after each.

use super::promises::Since;
use super::sim_disk::Fault;
use super::world::{Mistake, Outcome, Safety, Trouble, World, violation};
use crate::store::guards::shrink;

/// What befalls a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Perils {
    pub(super) kills: bool,
    pub(super) errors: bool,
    pub(super) failing_syncs: bool,
    pub(super) cuts: bool,
}

pub(super) const ALL: Perils = Perils {
    kills: true,
    errors: true,
    failing_syncs: true,
    cuts: true,
};

const STEPS: usize = 80;

impl World {
    fn peril(&mut self, perils: Perils) {
        let after = self.rng.u64(..40);
        let bytes = self.rng.usize(..200);
        let codes = [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EFBIG];
        let code = codes[self.rng.usize(..codes.len())];
        // Who sees a sync fail has to note it, which needs a disk that works otherwise.
        let (syncs_fail, peril) = (
            self.disk.with(|sim| sim.failing_syncs > 0),
            self.rng.u8(..12),
        );
        match peril {
            0..=3 if syncs_fail => {}
            0 if perils.kills => self.own_disk().fault_after(after, Fault::Kill(bytes)),
            1 if perils.errors => self.own_disk().fault_after(after, Fault::Error(code)),
            2 if perils.errors => self
                .own_disk()
                .fault_after(after, Fault::Short(bytes, code)),
            3 if perils.errors && self.rng.u8(..4) == 0 => {
                self.own_disk()
                    .fault_after(after, Fault::ErrorForEver(code));
            }
            4 if perils.failing_syncs => {
                let times = self.rng.u64(1..3);
                self.disk.clear_faults();
                self.disk.with(|sim| sim.failing_syncs = times);
            }
            _ => {}
        }
    }

    /// Opens the store, however often it fails because of a fault, and checks the promises.
    pub(super) fn open_and_check(&mut self, since: Since) -> Outcome {
        for _ in 0..100 {
            let opened = self.open();
            match opened.and_then(|()| self.check(since)) {
                Ok(()) => return Ok(()),
                Err(Trouble::Violation(what)) => return violation(what),
                Err(Trouble::Failed(_)) => self.drop_store(),
            }
        }
        violation("the store cannot be opened")
    }

    fn live(&mut self, perils: Perils) -> Outcome {
        self.open_and_check(Since::Nothing)?;
        for _ in 0..STEPS {
            self.peril(perils);
            let acted = match &self.store {
                None => self.open(),
                Some(_) => self.act(),
            };
            if let Err(trouble) = acted {
                if perils == NONE {
                    return Err(trouble);
                }
                self.recover_from(trouble)?;
            }
            if self.own_disk().is_dead() {
                self.drop_store();
            }
            let event = self.rng.u8(..16);
            if event == 0 && perils.cuts {
                self.cut();
                self.disk.clear_faults();
                // The first opening may be killed too.
                if self.rng.u8(..3) == 0 {
                    let after = self.rng.u64(..60);
                    self.own_disk().fault_after(after, Fault::Kill(100));
                    match self.open() {
                        Err(Trouble::Violation(what)) => return violation(what),
                        Ok(()) | Err(Trouble::Failed(_)) => self.drop_store(),
                    }
                    if self.rng.bool() {
                        self.cut();
                    }
                }
                self.open_and_check(Since::Cut)?;
            } else if event == 1 && perils.kills {
                self.kill();
                self.open_and_check(Since::Nothing)?;
            } else if event < 4 && self.store.is_some() {
                self.disk.clear_faults();
                match self.check(Since::Nothing) {
                    Err(Trouble::Failed(_)) => self.drop_store(),
                    checked => checked?,
                }
            }
        }
        self.drop_store();
        self.open_and_check(Since::Nothing)
    }
}

pub(super) const NONE: Perils = Perils {
    kills: false,
    errors: false,
    failing_syncs: false,
    cuts: false,
};

/// Lives through a seed; what went wrong, if anything.
pub(super) fn life(
    seed: u64,
    safety: Safety,
    perils: Perils,
    mistake: Mistake,
) -> Result<(), String> {
    // Ledgers of 2 KiB, queue files of 4 KiB, and blocks given back by 512 bytes.
    shrink(11);
    let mut world = World::new(seed, safety);
    world.mistake = mistake;
    match world.live(perils) {
        Ok(()) => Ok(()),
        Err(Trouble::Violation(what)) => Err(format!("seed {seed}, {safety:?}: {what}")),
        Err(Trouble::Failed(e)) => Err(format!("seed {seed}, {safety:?}: {e:?}")),
    }
}

/// Lives through many seeds.
pub(super) fn lives(seeds: std::ops::Range<u64>, perils: Perils) {
    let mut broken = Vec::new();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        for safety in [Safety::Process, Safety::Power] {
            broken.extend(life(seed, safety, perils, Mistake::None).err());
        }
    }
    let first: Vec<&String> = broken.iter().take(8).collect();
    assert!(broken.is_empty(), "{} of {count}: {first:#?}", broken.len());
}

fn asked(variable: &str, default: u64) -> u64 {
    let asked = std::env::var(variable).ok();
    asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(default)
}

fn count(default: u64) -> u64 {
    asked("MEDITOPIA_STORE_SEEDS", default)
}

#[test]
fn a_store_that_nothing_befalls_keeps_every_promise() {
    lives(0..count(200), NONE);
}

#[test]
fn a_killed_sender_loses_nothing_and_repeats_only_what_is_in_doubt() {
    lives(
        0..count(300),
        Perils {
            kills: true,
            ..NONE
        },
    );
}

#[test]
fn a_failing_disk_costs_no_event() {
    lives(
        0..count(300),
        Perils {
            errors: true,
            ..NONE
        },
    );
}

#[test]
fn a_failed_sync_costs_no_event() {
    lives(
        0..count(300),
        Perils {
            failing_syncs: true,
            cuts: true,
            ..NONE
        },
    );
}

#[test]
fn a_power_cut_costs_no_event() {
    lives(0..count(500), Perils { cuts: true, ..NONE });
}

#[test]
fn whatever_befalls_a_store_it_keeps_every_promise() {
    lives(1_000..1_000 + count(500), ALL);
}

#[test]
#[ignore = "`make soak` runs it; MEDITOPIA_STORE_SEEDS says how many lives, MEDITOPIA_STORE_FROM which is the first"]
fn many_lives_of_a_store_keep_every_promise() {
    let from = asked("MEDITOPIA_STORE_FROM", 10_000);
    lives(from..from + count(20_000), ALL);
}
