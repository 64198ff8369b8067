//! Random lives that a store and the model live in step: after each step everything that can be read of
//! them is the same.
//!
//! The two give different ids to runs and rejected events. So both are spoken of by names: the first run
//! that is seen is 1, the next one 2.

use std::fmt::Debug;

use super::draft::{Draft, new_runs, user};
use super::kept::{Has, InMemory, Kept, Opened};
use super::look::Look;
use super::samples::{NEVER_GIVEN, refused, rejected};
use crate::store::contract::Change;
use crate::store::{Place, Rejected, RejectedFilter, RejectedReason, StoredRun};

const STEPS: usize = 60;

/// Ids in the order in which they were given.
#[derive(Debug, Clone, Default)]
struct Names(Vec<i64>);

impl Names {
    /// Names ids that were not seen before, which have to be behind all others.
    fn learn(&mut self, ids: impl Iterator<Item = i64>) {
        let mut new: Vec<i64> = ids.filter(|id| !self.0.contains(id)).collect();
        new.sort_unstable();
        new.dedup();
        let last = self.0.last().copied().unwrap_or(0);
        assert!(new.iter().all(|id| *id > last), "{new:?} behind {last}");
        self.0.extend(new);
    }

    fn name(&self, id: i64) -> i64 {
        let at = self.0.iter().position(|known| *known == id);
        at.map_or(0, |at| at as i64 + 1)
    }

    /// The id of what is called so. What was never seen is behind everything.
    fn id(&self, name: i64) -> i64 {
        match usize::try_from(name - 1) {
            Err(_) => 0,
            Ok(at) => self.0.get(at).copied().unwrap_or(NEVER_GIVEN),
        }
    }
}

/// One of the two stores.
struct Side<'a> {
    kept: &'a dyn Kept,
    store: Opened,
    runs: Names,
    rejected: Names,
    /// The names as they were before the joint commit that is being made.
    before: Option<(Names, Names)>,
    committed: u64,
}

impl<'a> Side<'a> {
    fn new(kept: &'a dyn Kept) -> Self {
        Self {
            kept,
            store: kept.open(),
            runs: Names::default(),
            rejected: Names::default(),
            before: None,
            committed: 0,
        }
    }

    fn reopen(&mut self) {
        // It has to be closed before it is opened; meanwhile, another store stands here.
        self.store = InMemory::of_lanes().open();
        self.store = self.kept.open();
        // What a joint commit was to do has not happened: its ids may be given again.
        if let Some((runs, rejected)) = self.before.take() {
            (self.runs, self.rejected) = (runs, rejected);
        }
    }

    /// The same change, with the ids of this store.
    fn translated<'b>(&self, change: Change<'b>) -> Change<'b> {
        match change {
            Change::Append { place, origin, run } => Change::Append {
                place,
                origin: origin.map(|origin| self.runs.id(origin)),
                run,
            },
            Change::Settle { place, upto } => Change::Settle {
                place,
                upto: self.runs.id(upto),
            },
            Change::Mark { place, run, marks } => Change::Mark {
                place,
                run: self.runs.id(run),
                marks,
            },
            Change::Forget { rejected, event } => Change::Forget {
                rejected: self.rejected.id(rejected),
                event,
            },
            other => other,
        }
    }

    fn commit(&mut self, changes: &[Change<'_>]) -> bool {
        let changes: Vec<_> = changes.iter().map(|c| self.translated(*c)).collect();
        self.store.commit(&changes).is_ok()
    }

    fn named_run(&self, mut run: StoredRun) -> StoredRun {
        run.id = self.runs.name(run.id);
        run.origin = self.runs.name(run.origin);
        run
    }

    fn named_rejected(&self, found: Vec<(i64, Rejected)>) -> Vec<(i64, Rejected)> {
        let found = found.into_iter();
        found
            .map(|(id, event)| (self.rejected.name(id), event))
            .collect()
    }

    /// All that can be read, in names.
    fn look(&mut self) -> Look {
        let mut look = Look::at(self.kept, &mut self.store);
        self.runs
            .learn(look.runs.values().flatten().map(|run| run.id));
        self.rejected.learn(look.rejected.keys().copied());
        let committed = self.store.committed();
        assert!(committed >= self.committed, "{committed} commits");
        self.committed = committed;
        for runs in look.runs.values_mut() {
            *runs = runs.drain(..).map(|run| self.named_run(run)).collect();
        }
        look.rejected = self
            .named_rejected(look.rejected.into_iter().collect())
            .into_iter()
            .collect();
        look.last_run = self.runs.name(look.last_run);
        look.first_origin = self.first_origin();
        look
    }

    fn first_origin(&mut self) -> Option<i64> {
        let origin = self.store.first_origin().unwrap();
        origin.map(|origin| self.runs.name(origin))
    }

    fn runs(&mut self, place: Place, after: i64, limit: usize) -> Vec<StoredRun> {
        let after = self.runs.id(after);
        let read = self.store.runs(place, after, limit).unwrap();
        read.into_iter().map(|run| self.named_run(run)).collect()
    }

    fn rejected_matching(&self, filter: &RejectedFilter, limit: usize) -> Vec<(i64, Rejected)> {
        let mut filter = filter.clone();
        filter.after_id = self.rejected.id(filter.after_id);
        self.named_rejected(self.store.rejected_matching(&filter, limit).unwrap())
    }

    fn rejected(&self, names: &[i64]) -> Vec<(i64, Rejected)> {
        let ids: Vec<i64> = names.iter().map(|name| self.rejected.id(*name)).collect();
        self.named_rejected(self.store.rejected(&ids).unwrap())
    }
}

/// The model, the other store, and what was read of both last.
struct Pair<'a> {
    sides: [Side<'a>; 2],
    look: Look,
    rng: fastrand::Rng,
    is_joint: bool,
    has: Has,
    has_journal: bool,
    /// What to say of a life that ends with a failed check.
    seed: u64,
    last: String,
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at {}", self.seed, self.last);
        }
    }
}

impl<'a> Pair<'a> {
    /// Has both sides answer the same.
    fn both<T: PartialEq + Debug>(&mut self, ask: impl Fn(&mut Side<'a>) -> T) -> T {
        let [model, other] = &mut self.sides;
        let (expected, answer) = (ask(model), ask(other));
        assert_eq!(answer, expected, "the store is left, the model right");
        answer
    }

    /// Reads everything of both.
    fn compare(&mut self) {
        let [model, other] = &mut self.sides;
        self.look = model.look();
        other.look().assert_same(&self.look);
    }

    fn note(&mut self, what: impl Debug) {
        self.last = format!("{what:?}");
    }

    fn step(&mut self) {
        match self.rng.u8(..20) {
            0..=9 => self.commit(),
            10 => self.commit_in_vain(),
            11..=12 => self.begin_or_end_joint(),
            13 => self.reopen(),
            14 if !self.has.regular_appends && !self.is_joint => self.append(),
            14..=16 => self.read_runs(),
            17..=18 => self.read_rejected(),
            _ => {
                self.note("sync");
                self.both(|side| {
                    let store = &side.store;
                    store.syncs().sync_until(store.committed()).is_ok()
                });
            }
        }
        self.compare();
    }

    fn commit(&mut self) {
        let draft = Draft::draw(&mut self.rng, &self.look, self.has, self.has_journal);
        let changes = draft.changes(&mut self.rng);
        self.note(&changes);
        assert!(self.both(|side| side.commit(&changes)), "it was refused");
    }

    /// One change is refused, and so is the whole commit; a joint one to its beginning.
    fn commit_in_vain(&mut self) {
        let draft = Draft::draw(&mut self.rng, &self.look, self.has, self.has_journal);
        let mut changes = draft.changes(&mut self.rng);
        let unknown = rejected(1);
        let at = self.rng.usize(..=changes.len());
        changes.insert(at, refused(&unknown));
        self.note(("in vain", &changes));
        assert!(!self.both(|side| side.commit(&changes)), "it was taken");
        self.reopen();
    }

    fn begin_or_end_joint(&mut self) {
        self.note(("joint", self.is_joint));
        match self.is_joint {
            false => self.both(|side| {
                side.before = Some((side.runs.clone(), side.rejected.clone()));
                side.store.begin_joint_commit();
            }),
            true => self.both(|side| {
                side.before = None;
                side.store.end_joint_commit().unwrap();
            }),
        }
        self.is_joint = !self.is_joint;
    }

    fn reopen(&mut self) {
        self.last.push_str(", reopened");
        self.both(Side::reopen);
        self.is_joint = false;
        // What is asked for first, before everything is read.
        if self.rng.bool() {
            self.both(Side::first_origin);
        }
        self.read_runs();
    }

    /// Somebody else appends to the regular queues.
    fn append(&mut self) {
        let runs = new_runs(&mut self.rng, self.has);
        let runs: Vec<_> = runs.iter().map(|(place, _, run)| (*place, run)).collect();
        self.note(("appended", &runs));
        self.both(|side| side.kept.append(&mut *side.store, &runs));
    }

    fn read_runs(&mut self) {
        let place = Place {
            lane: self.rng.u8(..self.has.lanes),
            queue: self.rng.u8(..2),
        };
        let after = match self.rng.bool() {
            true => 0,
            false => self.rng.i64(0..self.look.last_run + 2),
        };
        let limit = self.rng.usize(..6);
        self.note((place, after, limit));
        self.both(|side| side.runs(place, after, limit));
    }

    fn read_rejected(&mut self) {
        let rng = &mut self.rng;
        let filter = RejectedFilter {
            user: rng.bool().then(|| user(rng)),
            api_code: (rng.u8(..3) == 0).then(String::new),
            reason: (rng.u8(..3) == 0).then_some(RejectedReason::Expired),
            may_be_delivered: (rng.u8(..3) == 0).then(|| rng.bool()),
            from_ms: (rng.u8(..3) == 0).then(|| rng.i64(0..5)),
            until_ms: (rng.u8(..3) == 0).then(|| rng.i64(0..5)),
            after_id: rng.i64(0..9),
        };
        let limit = rng.usize(..6);
        let names: Vec<i64> = (0..4).map(|_| rng.i64(-1..30)).collect();
        self.note((&filter, limit, &names));
        self.both(|side| side.rejected_matching(&filter, limit));
        self.both(|side| side.rejected(&names));
    }
}

fn live(seed: u64, kept: &dyn Kept) {
    // The model has what the other store has.
    let model = InMemory::with(kept.has());
    let mut sides = [Side::new(&model), Side::new(kept)];
    let has_journal = sides.iter_mut().all(|side| side.store.host().is_some());
    let look = sides[0].look();
    let mut pair = Pair {
        sides,
        look,
        rng: fastrand::Rng::with_seed(seed),
        is_joint: false,
        has: kept.has(),
        has_journal,
        seed,
        last: "the beginning".to_owned(),
    };
    for _ in 0..STEPS {
        pair.step();
    }
    if pair.is_joint {
        pair.begin_or_end_joint();
    }
    pair.compare();
    let [model, other] = &pair.sides;
    assert_eq!(other.kept.receipts(), model.kept.receipts());
}

pub fn does_in_step_what_the_model_does(kept: &dyn Kept) {
    let asked = std::env::var("MEDITOPIA_STORE_SEEDS").ok();
    let seeds = asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(kept.has().lives);
    for seed in 0..seeds {
        live(seed, &*kept.another());
    }
}
