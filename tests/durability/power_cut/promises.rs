//! What must be found at each moment of a life, whatever the cut has dropped.
//!
//! What processes knew comes from the recording: who was told what, and what the API has. What was
//! safe on the disk comes from what the library itself would find there if only its processes died
//! ([`Story::tell`]): at a sync of the store's log all that was in the store then, and at the
//! removal of a segment all that was.

use std::collections::BTreeMap;

use super::disk::{Disk, Fate};
use super::found::Found;
use super::life::{Durability, Life};
use super::recording::{Change, Inode, Recording, Step};

const NEVER: usize = usize::MAX;
/// Events in one request.
const BATCH_MAX: usize = 100;

/// What is known of an event, by the step that made it so.
#[derive(Debug, Clone, Copy)]
struct Event {
    acknowledged: usize,
    /// The API had all of the request that it accepted later, or may have.
    at_api: usize,
    /// The library knew that the API had it.
    answered: usize,
    /// It must survive every cut, though nobody asked for durability = power.
    safe: usize,
    /// That it was delivered must survive every cut.
    settled: usize,
    /// The segment that it was written to.
    segment: Inode,
    user: usize,
}

pub struct Story {
    durability: Durability,
    lanes: usize,
    events: Vec<Event>,
    /// The events of each segment, in the order of their writing.
    segments: BTreeMap<Inode, Vec<usize>>,
    requeued: usize,
    store_log: Option<(Inode, usize)>,
}

/// What a cut has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub trials: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub standing: u64,
    pub rejected: u64,
    /// Acknowledged, and gone with an unsynced tail.
    pub missing: u64,
    /// Pending though the API has them.
    pub repeated: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.trials += more.trials;
        self.acknowledged += more.acknowledged;
        self.delivered += more.delivered;
        self.standing += more.standing;
        self.rejected += more.rejected;
        self.missing += more.missing;
        self.repeated += more.repeated;
    }
}

impl Story {
    pub fn of(life: &Life) -> Self {
        let recording = &life.recording;
        let unknown = Event {
            acknowledged: NEVER,
            at_api: NEVER,
            answered: NEVER,
            safe: NEVER,
            settled: NEVER,
            segment: 0,
            user: 0,
        };
        let mut story = Self {
            durability: life.durability,
            lanes: life.lanes,
            events: vec![unknown; recording.events()],
            segments: BTreeMap::new(),
            requeued: NEVER,
            store_log: None,
        };
        for (step, what) in recording.steps.iter().enumerate() {
            story.read(recording, step, what);
        }
        for request in &recording.requests {
            for number in &request.events {
                let event = &mut story.events[*number];
                match request.answered {
                    Some((step, 204)) => {
                        event.at_api = event.at_api.min(request.sent);
                        event.answered = event.answered.min(step);
                    }
                    // Refused as a whole: the API has nothing of it.
                    Some(_) => {}
                    None => event.at_api = event.at_api.min(request.sent),
                }
            }
        }
        story
    }

    fn read(&mut self, recording: &Recording, step: usize, what: &Step) {
        match what {
            Step::Acknowledged(events) => {
                for event in &mut self.events[events.clone()] {
                    event.acknowledged = step;
                }
            }
            Step::Requeue => self.requeued = step,
            Step::Data {
                file,
                change: Change::Write { data, .. },
                ..
            } if recording.names[*file].ends_with(".log") => {
                for (number, user) in super::api::events(&recording.log[data.clone()]) {
                    let event = &mut self.events[number];
                    (event.segment, event.user) = (*file, user);
                    self.segments.entry(*file).or_default().push(number);
                }
            }
            _ => {}
        }
    }

    /// Whose event it is, if it was written in this life.
    pub fn user_of(&self, number: usize) -> Option<usize> {
        self.events.get(number).map(|event| event.user)
    }

    /// Learns what `step` makes safe. `found` gives what a death at a moment up to now leaves, and
    /// `disk` stands behind the step.
    pub fn tell<'f>(
        &mut self,
        recording: &Recording,
        step: usize,
        disk: &Disk<'_>,
        found: impl Fn(usize) -> &'f Found,
    ) {
        match &recording.steps[step] {
            Step::Synced { node, begun } => {
                if &*recording.names[*node] == "store.db-wal" {
                    self.store_log = Some((*node, *begun));
                }
                // Its name may be synced after its bytes.
                if let Some((log, begun)) = self.store_log
                    && disk.has_durable_name(log)
                {
                    self.store_is_safe(step, found(begun));
                    self.is_settled(step, begun, found(begun));
                }
            }
            // Before a segment goes, what was taken over from it is safe in the store.
            Step::Entries(entries)
                if entries
                    .iter()
                    .any(|entry| entry.node.is_none() && entry.name.ends_with(".log")) =>
            {
                self.store_is_safe(step, found(step));
            }
            _ => {}
        }
    }

    fn store_is_safe(&mut self, step: usize, found: &Found) {
        let pending = found.pending[..found.in_store].iter();
        let stored = pending
            .map(|event| event.number)
            .chain(found.rejected.iter().copied());
        for number in stored {
            let event = &mut self.events[number];
            event.safe = event.safe.min(step);
        }
    }

    fn is_settled(&mut self, step: usize, begun: usize, found: &Found) {
        let mut pending = vec![false; self.events.len()];
        for event in &found.pending {
            pending[event.number] = true;
        }
        for (event, pending) in self.events.iter_mut().zip(pending) {
            if event.answered < begun && !pending {
                event.settled = event.settled.min(step);
            }
        }
    }

    /// Checks what was found after a cut at `moment`.
    pub fn check(&self, moment: usize, fate: Fate, found: &Found) -> Result<Cost, String> {
        let died_only = fate == Fate::Kept;
        let strict = died_only || self.durability == Durability::Power;
        let mut pending = vec![false; self.events.len()];
        let mut rejected = vec![false; self.events.len()];
        for event in &found.pending {
            if std::mem::replace(&mut pending[event.number], true) {
                return Err(format!("event {} is pending twice", event.number));
            }
        }
        for number in &found.rejected {
            if pending[*number] || std::mem::replace(&mut rejected[*number], true) {
                return Err(format!("event {number} is rejected, and once more"));
            }
        }
        self.check_order(moment, found, &pending)?;
        if found.batches_in_doubt > self.lanes || found.in_doubt.len() > self.lanes * BATCH_MAX {
            return Err(format!("more than a batch a lane is in doubt: {found:?}"));
        }

        let mut cost = Cost {
            trials: 1,
            ..Cost::default()
        };
        for (number, event) in self.events.iter().enumerate() {
            let known = |step: usize| step < moment;
            let stands = pending[number] || rejected[number];
            let there = stands || known(event.answered);
            cost.standing += u64::from(pending[number]);
            cost.rejected += u64::from(rejected[number]);
            cost.delivered += u64::from(!stands && known(event.answered));
            if known(event.acknowledged) {
                cost.acknowledged += 1;
                if !there {
                    cost.missing += 1;
                    if strict {
                        return Err(format!("event {number} was acknowledged and is lost"));
                    }
                }
            }
            if !there && known(event.safe) {
                return Err(format!("event {number} was safe in the store and is lost"));
            }
            if pending[number] && known(event.settled) {
                return Err(format!(
                    "event {number} was delivered for good and is pending"
                ));
            }
            if pending[number] && known(event.at_api) {
                cost.repeated += 1;
                if strict && !found.in_doubt.contains(&number) {
                    return Err(format!(
                        "the API has event {number}, and it is not in doubt"
                    ));
                }
            }
        }
        self.check_tails(moment, fate, found, &pending)?;
        Ok(cost)
    }

    /// The events of a user go in the order of their numbers, and none behind a later one.
    fn check_order(&self, moment: usize, found: &Found, pending: &[bool]) -> Result<(), String> {
        // What is requeued goes to the end.
        if self.requeued < moment {
            return Ok(());
        }
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        for event in &found.pending {
            // What the API may have already came in its order, and is only repeated.
            if self.events[event.number].at_api >= moment {
                first.entry(event.user).or_insert(event.number);
            }
            if let Some(before) = last.insert(event.user, event.number)
                && before > event.number
            {
                return Err(format!(
                    "event {} of user {} goes before {}",
                    before, event.user, event.number
                ));
            }
        }
        for (number, event) in self.events.iter().enumerate() {
            if let Some(first) = first.get(&event.user)
                && *first < number
                && event.answered < moment
                && !pending[number]
            {
                return Err(format!(
                    "event {first} of user {} goes though {number} was delivered",
                    event.user
                ));
            }
        }
        Ok(())
    }

    /// In each segment only a tail may be missing; where sectors came out of order, a hole is damage
    /// that the library knows of.
    fn check_tails(
        &self,
        moment: usize,
        fate: Fate,
        found: &Found,
        pending: &[bool],
    ) -> Result<(), String> {
        let mut in_journal = vec![false; self.events.len()];
        for event in &found.pending[found.in_store..] {
            in_journal[event.number] = true;
        }
        for numbers in self.segments.values() {
            let mut hole = None;
            for number in numbers {
                let event = &self.events[*number];
                let stands = pending[*number] || found.rejected.contains(number);
                if event.acknowledged < moment && !stands && event.answered >= moment {
                    hole = hole.or(Some(*number));
                }
                if let Some(hole) = hole
                    && in_journal[*number]
                    && (fate.keeps_order() || found.damage == 0)
                {
                    return Err(format!(
                        "event {hole} is missing, but {number} behind it in its segment stands"
                    ));
                }
            }
        }
        Ok(())
    }
}
