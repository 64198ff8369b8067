//! One story of a store, with something going wrong at each of its operations in turn.

use super::promises::Since;
use super::sim_disk::Fault;
use super::world::{Outcome, Safety, World};
use crate::store::guards::shrink;

type Act = fn(&mut World) -> Outcome;

const STORY: [Act; 15] = [
    World::open,
    World::take_over,
    World::take_over,
    |world| world.deliver(0),
    |world| world.deliver(1),
    World::reject,
    World::rotate,
    World::suspect,
    World::sync_point,
    World::take_over,
    World::requeue,
    |world| world.deliver(0),
    World::expire,
    World::sync_point,
    World::discard,
];

fn world(safety: Safety) -> World {
    // Files are continued, begun and removed within a few steps.
    shrink(13);
    let mut world = World::new(7, safety);
    for _ in 0..6 {
        world.enqueue();
    }
    world
}

impl World {
    /// Goes through the story, whatever happens on the way, and checks every promise behind it.
    fn tell(&mut self, cuts_at_trouble: bool) -> Outcome {
        let mut may_cut = cuts_at_trouble;
        for act in STORY {
            let acted = match &self.store {
                None => self.open(),
                Some(_) => act(self),
            };
            if let Err(trouble) = acted {
                self.recover_from(trouble)?;
                if may_cut {
                    self.cut();
                    self.open_and_check(Since::Cut)?;
                    may_cut = false;
                }
            }
            if self.own_disk().is_dead() {
                self.drop_store();
            }
        }
        self.drop_store();
        self.open_and_check(Since::Nothing)?;
        // And what is durable by now survives.
        self.cut();
        self.open_and_check(Since::Cut)
    }
}

/// How many operations the story has.
fn operations() -> u64 {
    let mut world = world(Safety::Power);
    for act in STORY {
        act(&mut world).unwrap();
    }
    world.own_disk().operations()
}

fn every_operation(fault: impl Fn(u64) -> Fault) {
    for at in 0..operations() {
        for safety in [Safety::Process, Safety::Power] {
            for cuts in [false, true] {
                let mut world = world(safety);
                world.own_disk().fault_after(at, fault(at));
                if let Err(e) = world.tell(cuts) {
                    panic!(
                        "{:?} at operation {at}, {safety:?}, cut: {cuts}: {e:?}",
                        fault(at)
                    );
                }
            }
        }
    }
}

#[test]
fn a_sender_may_be_killed_at_every_operation() {
    every_operation(|at| Fault::Kill((at * 37 % 120) as usize));
}

#[test]
fn every_operation_may_fail_in_every_way() {
    for code in [
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EIO,
        libc::EFBIG,
        libc::EMFILE,
    ] {
        every_operation(|_| Fault::Error(code));
    }
}

#[test]
fn a_disk_may_become_full_at_every_operation_and_stay_so_for_a_while() {
    every_operation(|_| Fault::ErrorForEver(libc::ENOSPC));
}

#[test]
fn a_write_may_be_cut_short_at_every_byte() {
    // A record of this story has some 60 to 180 bytes; a run more.
    for bytes in (0..64).chain((64..400).step_by(9)) {
        for (fault, cuts) in [
            (Fault::Short(bytes, libc::ENOSPC), false),
            (Fault::Kill(bytes), false),
            (Fault::Kill(bytes), true),
        ] {
            for at in (bytes as u64 % 5..operations()).step_by(5) {
                let mut world = world(Safety::Power);
                world.own_disk().fault_after(at, fault);
                if let Err(e) = world.tell(cuts) {
                    panic!("{fault:?} at operation {at}: {e:?}");
                }
            }
        }
    }
}

#[test]
fn every_sync_may_fail_once_or_for_ever() {
    for safety in [Safety::Process, Safety::Power] {
        for good in 0..40 {
            for failing in [1, 2, 3, u64::MAX] {
                let mut world = world(safety);
                world.disk.with(|sim| {
                    sim.good_syncs = good;
                    sim.failing_syncs = failing;
                });
                if let Err(e) = world.tell(good % 2 == 0) {
                    panic!("{failing} syncs after {good}, {safety:?}: {e:?}");
                }
            }
        }
    }
}

#[test]
fn an_application_may_close_the_descriptors_of_the_store_at_every_operation() {
    every_operation(|_| Fault::CloseAll);
    for nth in 0..3 {
        every_operation(|_| Fault::Close(nth));
    }
}
