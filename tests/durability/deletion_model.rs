//! A model of a writer and the sender that removes its segments, checked at every order of their
//! steps.
//!
//! The model has a file system in memory with links, descriptors and locks. Its writer does what
//! `journal::writer` does, its sender what `journal::removal::remove_segment` and the take-over do, one
//! system call a step. `shuttle` runs all orders of the steps. Four tests leave out one rule of the
//! protocol each, and show that the model fails then. `deletion.rs` runs the real code in such
//! orders.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use shuttle::scheduler::DfsScheduler;
use shuttle::{Config, Runner};

/// The rules of the protocol. A test can leave one out.
#[derive(Clone, Copy)]
struct Rules {
    /// A writer that has locked its segment checks that the segment still has a link.
    checks_link: bool,
    /// The sender removes only segments that it has locked.
    locks: bool,
    /// The sender reads the size of a segment while it holds the lock.
    measures_under_lock: bool,
    /// The sender holds the lock until it has removed the link.
    holds_lock: bool,
}

const ALL: Rules = Rules {
    checks_link: true,
    locks: true,
    measures_under_lock: true,
    holds_lock: true,
};

/// The size of the model: each writer makes `segments` segments with two records each.
#[derive(Clone, Copy)]
struct Size {
    writers: u32,
    segments: u32,
    /// How many rounds the sender makes beside the writers.
    rounds: usize,
}

const SMALL: Size = Size {
    writers: 1,
    segments: 1,
    rounds: 1,
};
const LARGE: Size = Size {
    writers: 2,
    segments: 2,
    rounds: 3,
};

#[test]
fn the_removal_model_loses_no_record_and_takes_none_over_twice_in_any_order_of_steps() {
    let orders = every_order(SMALL, ALL);
    let fault = "orders of removal and a writer's steps, in the model";
    let outcome = Outcome {
        trials: orders,
        ..Outcome::default()
    };
    add_row(fault, outcome, 0);
}

#[test]
fn the_removal_model_loses_no_record_in_random_orders_of_two_writers_and_a_sender() {
    shuttle::check_random(|| run(LARGE, ALL), trial_count(20_000, 2_000_000) as usize);
}

#[test]
#[should_panic(expected = "lost")]
fn the_removal_model_fails_for_a_writer_that_does_not_check_its_link() {
    every_order(
        SMALL,
        Rules {
            checks_link: false,
            ..ALL
        },
    );
}

#[test]
#[should_panic(expected = "lost")]
fn the_removal_model_fails_for_a_removal_without_the_lock() {
    every_order(
        SMALL,
        Rules {
            locks: false,
            ..ALL
        },
    );
}

#[test]
#[should_panic(expected = "lost")]
fn the_removal_model_fails_for_a_size_read_before_the_lock() {
    every_order(
        SMALL,
        Rules {
            measures_under_lock: false,
            ..ALL
        },
    );
}

#[test]
#[should_panic(expected = "lost")]
fn the_removal_model_fails_for_a_lock_given_up_before_the_unlink() {
    every_order(
        SMALL,
        Rules {
            holds_lock: false,
            ..ALL
        },
    );
}

/// Runs the model in every order, and returns how many orders there are.
fn every_order(size: Size, rules: Rules) -> u64 {
    let scheduler = DfsScheduler::new(None, false);
    Runner::new(scheduler, Config::default()).run(move || run(size, rules)) as u64
}

fn run(size: Size, rules: Rules) {
    let disk = Arc::new(Disk::default());
    let writers: Vec<_> = (0..size.writers)
        .map(|number| {
            let disk = disk.clone();
            shuttle::thread::spawn(move || write(&disk, rules, number, size.segments))
        })
        .collect();
    let sender = {
        let disk = disk.clone();
        shuttle::thread::spawn(move || {
            let mut store = Store::default();
            for _ in 0..size.rounds {
                round(&disk, rules, &mut store);
            }
            store
        })
    };
    let acknowledged = writers
        .into_iter()
        .flat_map(|writer| writer.join().unwrap());
    let mut acknowledged: Vec<u32> = acknowledged.collect();
    let mut store = sender.join().unwrap();
    round(&disk, rules, &mut store);
    acknowledged.sort_unstable();
    store.records.sort_unstable();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|record| !store.records.contains(record))
        .collect();
    assert!(lost.is_empty(), "{lost:?} are lost");
    assert_eq!(store.records, acknowledged, "taken over twice");
    assert!(disk.list().is_empty(), "a segment without a writer is left");
}

/// What `OpenSegment::create` and `Writer::append` do, and the end of each segment by a rotation or a
/// death. Returns the acknowledged records.
fn write(disk: &Disk, rules: Rules, writer: u32, segments: u32) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    for segment in 0..segments {
        let file = loop {
            let file = disk.create();
            if disk.lock(file, Holder::Writer(writer))
                && (!rules.checks_link || disk.has_link(file))
            {
                break file;
            }
            disk.unlock(file, Holder::Writer(writer));
        };
        for record in 0..2 {
            let record = writer * 100 + segment * 10 + record;
            disk.append(file, record);
            acknowledged.push(record);
        }
        // A rotation and a death both close the segment.
        disk.unlock(file, Holder::Writer(writer));
    }
    acknowledged
}

/// The store: the records, and how far each segment was taken over. Both change together.
#[derive(Default)]
struct Store {
    records: Vec<u32>,
    taken: std::collections::HashMap<usize, usize>,
}

/// One round of the sender: it takes over, and then removes the segments that no writer holds.
fn round(disk: &Disk, rules: Rules, store: &mut Store) {
    let files = disk.list();
    for &file in &files {
        let taken = store.taken.entry(file).or_default();
        let fresh = disk.read(file, *taken);
        *taken += fresh.len();
        store.records.extend(fresh);
    }
    for file in files {
        let taken = store.taken[&file];
        let early = if rules.measures_under_lock {
            None
        } else {
            Some(disk.size(file))
        };
        if rules.locks && !disk.lock(file, Holder::Sender) {
            continue;
        }
        let size = early.unwrap_or_else(|| disk.size(file));
        if !rules.holds_lock {
            disk.unlock(file, Holder::Sender);
        }
        if size == taken {
            disk.unlink(file);
        }
        disk.unlock(file, Holder::Sender);
    }
}

/// A directory of files. Each file has at most one link and one lock, and every method is one step.
#[derive(Default)]
struct Disk {
    files: Mutex<Vec<Segment>>,
}

struct Segment {
    records: Vec<u32>,
    linked: bool,
    locked: Option<Holder>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Writer(u32),
    Sender,
}

impl Disk {
    /// Gives other threads a turn, and then does `act` in one step.
    fn step<T>(&self, act: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        // shuttle has no time: a sleep is a point at which it may switch threads.
        shuttle::thread::sleep(Duration::ZERO);
        act(&mut self.files.lock().unwrap())
    }

    fn create(&self) -> usize {
        self.step(|files| {
            files.push(Segment {
                records: Vec::new(),
                linked: true,
                locked: None,
            });
            files.len() - 1
        })
    }

    fn lock(&self, file: usize, holder: Holder) -> bool {
        self.step(|files| match files[file].locked {
            Some(other) => other == holder,
            None => {
                files[file].locked = Some(holder);
                true
            }
        })
    }

    fn unlock(&self, file: usize, holder: Holder) {
        self.step(|files| {
            if files[file].locked == Some(holder) {
                files[file].locked = None;
            }
        });
    }

    fn has_link(&self, file: usize) -> bool {
        self.step(|files| files[file].linked)
    }

    fn append(&self, file: usize, record: u32) {
        self.step(|files| files[file].records.push(record));
    }

    fn list(&self) -> Vec<usize> {
        self.step(|files| {
            (0..files.len())
                .filter(|&file| files[file].linked)
                .collect()
        })
    }

    fn read(&self, file: usize, from: usize) -> Vec<u32> {
        self.step(|files| files[file].records[from..].to_vec())
    }

    fn size(&self, file: usize) -> usize {
        self.step(|files| files[file].records.len())
    }

    fn unlink(&self, file: usize) {
        self.step(|files| files[file].linked = false);
    }
}
