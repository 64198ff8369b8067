//! A store with everything around it: a pretend journal, an API that remembers what it has accepted, and
//! an operator. It acts at random, and knows what must be true whatever happens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::sim_disk::SimDisk;
use crate::error::{Error, PauseReason};
use crate::store::contract::{Change, HostStore, Store};
use crate::store::log_store::LogStore;
use crate::store::{Place, Rejected, RejectedFilter, Run, StoredRun};

pub(super) const LANES: u8 = 2;
const USERS: u64 = 6;
/// Bytes of a segment for each event.
const EVENT_BYTES: u64 = 10;

/// Why a step has not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// An operation failed: the store has to be opened again.
    Failed(Error),
    /// A promise is broken.
    Violation(String),
}

impl From<Error> for Trouble {
    fn from(e: Error) -> Self {
        match e.pause_reason() {
            Some(PauseReason::StoreDamaged) => Self::Violation(e.message().to_owned()),
            _ => Self::Failed(e),
        }
    }
}

pub(super) type Outcome<T = ()> = Result<T, Trouble>;

pub(super) fn violation<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Trouble::Violation(what.into()))
}

/// When an event on disk has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    Process,
    Power,
}

/// What the driver does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    None,
    /// Segments go before the sync point is durable.
    RemovesEarly,
    /// Something is committed between the snapshot and its name.
    CommitsMeanwhile,
    /// A request leaves before its record is durable.
    SendsEarly,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) events: Vec<u64>,
    pub(super) is_removed: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) store: Option<LogStore>,
    pub(super) rng: fastrand::Rng,
    pub(super) boot: u32,
    pub(super) process: u32,
    pub(super) safety: Safety,
    pub(super) mistake: Mistake,
    pub(super) journal: Vec<Segment>,
    pub(super) next_event: u64,
    /// What the API has accepted, and by which commit each event was settled.
    pub(super) accepted: HashSet<u64>,
    pub(super) settled_by: HashMap<u64, u64>,
    pub(super) discarded: HashSet<u64>,
    pub(super) requeued: HashSet<u64>,
    /// Every batch that was ever to be sent.
    pub(super) batches: HashSet<Vec<u8>>,
    pub(super) run_ids: HashMap<i64, Vec<Vec<u8>>>,
    pub(super) rejected_ids: HashMap<i64, Vec<u8>>,
    /// The last commit that is known to be durable.
    pub(super) durable: u64,
    pub(super) is_joint: bool,
}

pub(super) fn user_of(event: u64) -> u64 {
    event.wrapping_mul(0x9E37_79B9) % 97 % USERS
}

pub(super) fn fragment(event: u64) -> Vec<u8> {
    let user = user_of(event);
    format!(r#"{{"partner_user_id":"u{user}","event":"audio","n":"{event:06}"}}"#).into_bytes()
}

pub(super) fn event_of(fragment: &[u8]) -> u64 {
    let digits = &fragment[fragment.len() - 8..fragment.len() - 2];
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

pub(super) fn run_of(events: &[u64]) -> Run {
    let mut run = Run::default();
    for event in events {
        run.push(&fragment(*event), *event as i64);
    }
    run
}

/// The events of a run that have not left it, with their places.
pub(super) fn waiting(run: &StoredRun) -> Vec<(usize, u64)> {
    let events = run.run.events().enumerate();
    events
        .filter(|(at, _)| run.marks >> at & 1 == 0)
        .map(|(at, (fragment, _))| (at, event_of(fragment)))
        .collect()
}

/// The changes with which events leave the queue: `gone` names them by run and place.
pub(super) fn leave(
    place: Place,
    runs: &[StoredRun],
    gone: &[(i64, usize)],
) -> Vec<Change<'static>> {
    let mut changes = Vec::new();
    let (mut upto, mut is_prefix, mut bytes) = (None, true, 0);
    let mut marked = Vec::new();
    for run in runs {
        let mut marks = run.marks;
        for (_, at) in gone.iter().filter(|(id, _)| *id == run.id) {
            marks |= 1 << at;
            bytes += u64::from(run.run.slots[*at].length);
        }
        is_prefix &= marks.count_ones() as usize == run.run.slots.len();
        if is_prefix {
            upto = Some(run.id);
        } else if marks != run.marks {
            marked.push(Change::Mark {
                place,
                run: run.id,
                marks,
            });
        }
    }
    changes.extend(upto.map(|upto| Change::Settle { place, upto }));
    changes.extend(marked);
    changes.push(Change::Leave {
        place,
        events: gone.len() as u64,
        bytes,
    });
    changes
}

impl World {
    pub(super) fn new(seed: u64, safety: Safety) -> Self {
        fastrand::seed(seed);
        Self {
            disk: SimDisk::new(),
            store: None,
            rng: fastrand::Rng::with_seed(seed),
            boot: 1,
            process: 1,
            safety,
            mistake: Mistake::None,
            journal: Vec::new(),
            next_event: 1,
            accepted: HashSet::new(),
            settled_by: HashMap::new(),
            discarded: HashSet::new(),
            requeued: HashSet::new(),
            batches: HashSet::new(),
            run_ids: HashMap::new(),
            rejected_ids: HashMap::new(),
            durable: 0,
            is_joint: false,
        }
    }

    /// Opens the store, if it is not open.
    pub(super) fn open(&mut self) -> Outcome {
        if self.store.is_none() {
            let disk = Arc::new(self.disk.process(self.process));
            self.store = Some(LogStore::open_on(disk, self.boot)?);
        }
        Ok(())
    }

    pub(super) fn store(&mut self) -> &mut LogStore {
        self.store.as_mut().unwrap()
    }

    /// This process's disk.
    pub(super) fn own_disk(&self) -> SimDisk {
        self.disk.process(self.process)
    }

    /// The store is closed in whatever state it is; the process goes on if it lives.
    pub(super) fn drop_store(&mut self) {
        if let Some(store) = self.store.take() {
            self.durable = self.durable.max(store.syncs().durable());
        }
        self.disk.clear_faults();
        if self.own_disk().is_dead() {
            self.process += 1;
        }
    }

    /// The process is killed.
    pub(super) fn kill(&mut self) {
        self.own_disk().kill();
        self.drop_store();
    }

    /// The power is cut, and the host boots.
    pub(super) fn cut(&mut self) {
        self.drop_store();
        self.disk.cut(&mut self.rng);
        self.process += 1;
        self.boot += 1;
    }

    /// The application enqueues some events.
    pub(super) fn enqueue(&mut self) {
        let begins = self
            .journal
            .last()
            .is_none_or(|last| last.events.len() > 30);
        if begins {
            self.journal.push(Segment {
                name: format!("{:08}.segment", self.journal.len()),
                events: Vec::new(),
                is_removed: false,
            });
        }
        let count = self.rng.u64(1..20);
        let events = self.next_event..self.next_event + count;
        self.next_event += count;
        self.journal.last_mut().unwrap().events.extend(events);
    }

    /// Whether all of a segment is taken over.
    pub(super) fn is_taken(&mut self, segment: usize) -> bool {
        self.taken(segment) == self.journal[segment].events.len()
    }

    pub(super) fn taken(&mut self, segment: usize) -> usize {
        let offsets = self.store().offsets();
        let upto = offsets
            .get(&self.journal[segment].name)
            .copied()
            .unwrap_or(0);
        (upto / EVENT_BYTES) as usize
    }

    /// Events of the journal that are not taken over.
    pub(super) fn in_journal(&mut self) -> Vec<u64> {
        let mut events = Vec::new();
        for at in 0..self.journal.len() {
            let taken = self.taken(at);
            if !self.journal[at].is_removed {
                events.extend(self.journal[at].events.iter().skip(taken));
            }
        }
        events
    }

    pub(super) fn commit(&mut self, changes: &[Change<'_>]) -> Outcome {
        self.store().commit(changes)?;
        Ok(())
    }

    /// Returns once what was committed is as safe as the user wants it.
    pub(super) fn make_safe(&mut self) -> Outcome {
        if self.safety == Safety::Power {
            let seq = self.store().committed();
            self.sync_until(seq)?;
        }
        Ok(())
    }

    pub(super) fn sync_until(&mut self, seq: u64) -> Outcome {
        self.store().syncs().sync_until(seq)?;
        self.durable = self.durable.max(seq);
        Ok(())
    }

    pub(super) fn take_over(&mut self) -> Outcome {
        let next =
            (0..self.journal.len()).find(|at| !self.journal[*at].is_removed && !self.is_taken(*at));
        let Some(at) = next else {
            return Ok(());
        };
        let taken = self.taken(at);
        let count = self.rng.usize(1..=16);
        let events: Vec<u64> = self.journal[at]
            .events
            .iter()
            .skip(taken)
            .take(count)
            .copied()
            .collect();
        let upto = (taken + events.len()) as u64 * EVENT_BYTES;
        let name = self.journal[at].name.clone();
        let by_lane: Vec<(u8, Vec<u64>)> = (0..LANES)
            .map(|lane| {
                let of_lane = |event: &&u64| user_of(**event) % u64::from(LANES) == u64::from(lane);
                (lane, events.iter().filter(of_lane).copied().collect())
            })
            .collect();
        let mut runs = Vec::new();
        for (lane, events) in by_lane {
            let most = self.rng.usize(2..=8);
            runs.extend(events.chunks(most).map(|events| (lane, run_of(events))));
        }
        let mut changes: Vec<Change<'_>> = runs
            .iter()
            .map(|(lane, run)| Change::Append {
                place: Place {
                    lane: *lane,
                    queue: 0,
                },
                origin: None,
                run,
            })
            .collect();
        changes.push(Change::Taken {
            segment: &name,
            upto,
        });
        self.commit(&changes)
    }

    /// All runs of a queue.
    pub(super) fn all_runs(&mut self, place: Place) -> Outcome<Vec<StoredRun>> {
        let mut runs: Vec<StoredRun> = Vec::new();
        loop {
            let after = runs.last().map_or(0, |run| run.id);
            let more = self.store().runs(place, after, 32)?;
            if more.is_empty() {
                return Ok(runs);
            }
            runs.extend(more);
        }
    }

    /// All rejected events.
    pub(super) fn all_rejected(&mut self) -> Outcome<Vec<(i64, Rejected)>> {
        Ok(self
            .store()
            .rejected_matching(&RejectedFilter::default(), usize::MAX)?)
    }
}
