//! What must be found after a cut at each moment of a workload.
//!
//! The recording shows which events were acknowledged at each moment, and which the API has. What
//! is safe on the disk follows from what the library would find there if only its processes were
//! killed ([`Expectations::learn`]): a sync of the store's log makes safe what was in the store
//! when the sync began, and before a segment is removed, all that is in the store is safe.

use std::collections::BTreeMap;

use super::disk::{CutEffect, Disk};
use super::found::Found;
use super::recording::{Change, Inode, Recording, Step};
use super::workload::{Durability, Workload};

const NEVER: usize = usize::MAX;
/// Events in one request.
const BATCH_MAX: usize = 100;

/// What is known of an event. Each field is the step from which on it holds.
#[derive(Debug, Clone, Copy)]
struct Event {
    acknowledged: usize,
    /// The API has, or may have, a whole request with the event that it accepts.
    at_api: usize,
    /// The library has received the answer that the API has it.
    answered: usize,
    /// It must survive every cut, even without durability = power.
    safe: usize,
    /// The knowledge that it was delivered must survive every cut.
    settled: usize,
    /// The segment that it is in; not a step.
    segment: Inode,
    user: usize,
}

pub struct Expectations {
    durability: Durability,
    lanes: usize,
    events: Vec<Event>,
    /// The events of each segment, in the order in which they were written.
    segments: BTreeMap<Inode, Vec<usize>>,
    requeued: usize,
    store_log: Option<(Inode, usize)>,
}

/// What cuts did to events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub trials: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub pending: u64,
    pub rejected: u64,
    /// Acknowledged, and lost with an unsynced tail.
    pub missing: u64,
    /// Pending although the API has them.
    pub repeated: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.trials += more.trials;
        self.acknowledged += more.acknowledged;
        self.delivered += more.delivered;
        self.pending += more.pending;
        self.rejected += more.rejected;
        self.missing += more.missing;
        self.repeated += more.repeated;
    }
}

impl Expectations {
    pub fn new(workload: &Workload) -> Self {
        let recording = &workload.recording;
        let unknown = Event {
            acknowledged: NEVER,
            at_api: NEVER,
            answered: NEVER,
            safe: NEVER,
            settled: NEVER,
            segment: 0,
            user: 0,
        };
        let mut expectations = Self {
            durability: workload.durability,
            lanes: workload.lanes,
            events: vec![unknown; recording.event_count()],
            segments: BTreeMap::new(),
            requeued: NEVER,
            store_log: None,
        };
        for (step, what) in recording.steps.iter().enumerate() {
            expectations.read_step(recording, step, what);
        }
        for request in &recording.requests {
            for number in &request.events {
                let event = &mut expectations.events[*number];
                match request.answered {
                    Some((step, 204)) => {
                        event.at_api = event.at_api.min(request.sent);
                        event.answered = event.answered.min(step);
                    }
                    // The API refused the whole request and has none of its events.
                    Some(_) => {}
                    None => event.at_api = event.at_api.min(request.sent),
                }
            }
        }
        expectations
    }

    fn read_step(&mut self, recording: &Recording, step: usize, what: &Step) {
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

    /// Whose event it is, if it was written in this workload.
    pub fn user_of(&self, number: usize) -> Option<usize> {
        self.events.get(number).map(|event| event.user)
    }

    /// Learns what `step` makes safe. `found` returns what is found after a kill at a moment up to
    /// now; `disk` is the disk after the step.
    pub fn learn<'f>(
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
                // The name of the log may be synced after its bytes.
                if let Some((log, begun)) = self.store_log
                    && disk.has_durable_name(log)
                {
                    self.note_store_is_safe(step, found(begun));
                    self.note_settled(step, begun, found(begun));
                }
            }
            // What was taken over from a segment is safe in the store before the segment is
            // removed.
            Step::Entries(entries)
                if entries
                    .iter()
                    .any(|entry| entry.node.is_none() && entry.name.ends_with(".log")) =>
            {
                self.note_store_is_safe(step, found(step));
            }
            _ => {}
        }
    }

    fn note_store_is_safe(&mut self, step: usize, found: &Found) {
        let pending = found.pending[..found.in_store].iter();
        let stored = pending
            .map(|event| event.number)
            .chain(found.rejected.iter().copied());
        for number in stored {
            let event = &mut self.events[number];
            event.safe = event.safe.min(step);
        }
    }

    fn note_settled(&mut self, step: usize, begun: usize, found: &Found) {
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
    pub fn check(&self, moment: usize, effect: CutEffect, found: &Found) -> Result<Cost, String> {
        let only_killed = effect == CutEffect::Kept;
        let strict = only_killed || self.durability == Durability::Power;
        let mut pending = vec![false; self.events.len()];
        let mut rejected = vec![false; self.events.len()];
        for event in &found.pending {
            if std::mem::replace(&mut pending[event.number], true) {
                return Err(format!("event {} is pending twice", event.number));
            }
        }
        for number in &found.rejected {
            if pending[*number] || std::mem::replace(&mut rejected[*number], true) {
                return Err(format!("event {number} is rejected and is there once more"));
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
            let in_spool = pending[number] || rejected[number];
            let there = in_spool || known(event.answered);
            cost.pending += u64::from(pending[number]);
            cost.rejected += u64::from(rejected[number]);
            cost.delivered += u64::from(!in_spool && known(event.answered));
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
        self.check_tails(moment, effect, found, &pending)?;
        Ok(cost)
    }

    /// The events of a user are pending in the order of their numbers, and none was delivered after
    /// one that is pending.
    fn check_order(&self, moment: usize, found: &Found, pending: &[bool]) -> Result<(), String> {
        // Requeued events go to the end of the queue.
        if self.requeued < moment {
            return Ok(());
        }
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        for event in &found.pending {
            // An event that the API may have already came in its order, and is only repeated.
            if self.events[event.number].at_api >= moment {
                first.entry(event.user).or_insert(event.number);
            }
            if let Some(before) = last.insert(event.user, event.number)
                && before > event.number
            {
                return Err(format!(
                    "event {} of user {} is pending before {}",
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
                    "event {first} of user {} is pending although {number} was delivered",
                    event.user
                ));
            }
        }
        Ok(())
    }

    /// Only a tail of each segment may be missing. If sectors were written out of order, records
    /// before the tail may be missing, too, but then the library must report damage.
    fn check_tails(
        &self,
        moment: usize,
        effect: CutEffect,
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
                let in_spool = pending[*number] || found.rejected.contains(number);
                if event.acknowledged < moment && !in_spool && event.answered >= moment {
                    hole = hole.or(Some(*number));
                }
                if let Some(hole) = hole
                    && in_journal[*number]
                    && (effect.keeps_order() || found.damage == 0)
                {
                    return Err(format!(
                        "event {hole} is missing, but {number} after it in its segment is there"
                    ));
                }
            }
        }
        Ok(())
    }
}
