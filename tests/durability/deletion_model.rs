//! The protocol between a writer and the sender that removes its segments, as a model, at every interleaving.
//!
//! A file system in memory with links, descriptors and locks; a writer that does what `journal::writer` does and
//! a sender that does what `journal::removal::remove_segment` and the take-over do, one system call a step.
//! `shuttle` walks all orders of the steps. That the model can fail, four tests show that leave out one
//! rule of the protocol each. `tests/deletion.rs` forces the orders on the real code.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use shuttle::scheduler::DfsScheduler;
use shuttle::{Config, Runner};

/// The rules that hold the protocol together; a test leaves one out.
#[derive(Clone, Copy)]
struct Rules {
    /// A writer that has its lock checks that its segment still has a link.
    checks_link: bool,
    /// The sender removes only what it could lock.
    locks: bool,
    /// It reads the size under that lock, and not before.
    measures_under_lock: bool,
    /// And holds the lock until the link is gone.
    holds_lock: bool,
}

const ALL: Rules = Rules {
    checks_link: true,
    locks: true,
    measures_under_lock: true,
    holds_lock: true,
};

/// What takes part: each writer makes so many segments with two records each.
#[derive(Clone, Copy)]
struct Cast {
    writers: u32,
    segments: u32,
    /// How often the sender looks while they write.
    looks: usize,
}

const SMALL: Cast = Cast {
    writers: 1,
    segments: 1,
    looks: 1,
};
const LARGE: Cast = Cast {
    writers: 2,
    segments: 2,
    looks: 3,
};

#[test]
fn no_order_of_steps_loses_a_record_or_takes_one_twice() {
    let orders = every_order(SMALL, ALL);
    let fault = "orders of removal and a writer's steps, in the model";
    let outcome = Outcome {
        trials: orders,
        ..Outcome::default()
    };
    add_row(fault, outcome, 0);
}

#[test]
fn no_random_order_of_two_writers_and_a_sender_loses_a_record() {
    shuttle::check_random(|| play(LARGE, ALL), trial_count(20_000, 2_000_000) as usize);
}

#[test]
#[should_panic(expected = "lost")]
fn the_model_fails_for_a_writer_that_does_not_check_its_link() {
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
fn the_model_fails_for_a_removal_without_the_lock() {
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
fn the_model_fails_for_a_size_read_before_the_lock() {
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
fn the_model_fails_for_a_lock_given_up_before_the_unlink() {
    every_order(
        SMALL,
        Rules {
            holds_lock: false,
            ..ALL
        },
    );
}

/// Plays it in every order; says how many there are.
fn every_order(cast: Cast, rules: Rules) -> u64 {
    let scheduler = DfsScheduler::new(None, false);
    Runner::new(scheduler, Config::default()).run(move || play(cast, rules)) as u64
}

fn play(cast: Cast, rules: Rules) {
    let disk = Arc::new(Disk::default());
    let writers: Vec<_> = (0..cast.writers)
        .map(|number| {
            let disk = disk.clone();
            shuttle::thread::spawn(move || write(&disk, rules, number, cast.segments))
        })
        .collect();
    let sender = {
        let disk = disk.clone();
        shuttle::thread::spawn(move || {
            let mut store = Store::default();
            for _ in 0..cast.looks {
                look(&disk, rules, &mut store);
            }
            store
        })
    };
    let acknowledged = writers
        .into_iter()
        .flat_map(|writer| writer.join().unwrap());
    let mut acknowledged: Vec<u32> = acknowledged.collect();
    let mut store = sender.join().unwrap();
    look(&disk, rules, &mut store);
    acknowledged.sort_unstable();
    store.records.sort_unstable();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|record| !store.records.contains(record))
        .collect();
    assert!(lost.is_empty(), "{lost:?} are lost");
    assert_eq!(store.records, acknowledged, "taken over twice");
    assert!(disk.list().is_empty(), "a segment of the dead is left");
}

/// What `Writer::append` and `Segment::create` do, and the rotation and death at the end; says what is acknowledged.
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
        // Its end is its close, whether it rotates or dies.
        disk.unlock(file, Holder::Writer(writer));
    }
    acknowledged
}

/// What the store knows: records, and how far each segment is taken, changed together.
#[derive(Default)]
struct Store {
    records: Vec<u32>,
    taken: std::collections::HashMap<usize, usize>,
}

/// What one look of the sender does: take over, then remove what is abandoned.
fn look(disk: &Disk, rules: Rules, store: &mut Store) {
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

/// A directory of files, each with at most one link and one lock. Every method is one step.
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
    /// Lets another thread go first, and then does it at once.
    fn step<T>(&self, act: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        // shuttle knows no time: this is one moment at which it may change threads.
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
