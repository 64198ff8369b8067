//! What must be found after a cut at each moment of a workload.
//!
//! The recording shows which events were acknowledged at each moment, and which the API has. What
//! is safe on the disk follows from what the library would find there if only its processes were
//! killed ([`Expectations::learn`]): each record of the ledger claims up to which record everything
//! is durable, and what a segment held that was removed or punched must be safe elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::Request;
use super::disk::{CutEffect, Disk};
use super::found::Found;
use super::recording::{Change, Entry, Inode, Recording, Role, Step};
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
    /// The segment that it is in, and where its record ends there; not steps.
    segment: Inode,
    end: u64,
    user: usize,
}

pub struct Expectations {
    durability: Durability,
    lanes: usize,
    events: Vec<Event>,
    /// The events of each segment, in the order in which they were written.
    segments: BTreeMap<Inode, Vec<usize>>,
    requeued: usize,
    /// The records of each ledger.
    records: BTreeMap<Inode, Vec<LedgerRecord>>,
    /// Up to which step each ledger is synced.
    synced_upto: BTreeMap<Inode, usize>,
    /// The highest record up to which everything is durable.
    durable: u64,
}

/// A record of the ledger, and the step that wrote it.
#[derive(Debug, Clone, Copy)]
struct LedgerRecord {
    step: usize,
    seq: u64,
    /// The last record that was durable when it was written.
    durable: u64,
}

impl LedgerRecord {
    fn parse(step: usize, bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        bytes.starts_with(b"LREC").then_some(())?;
        Some(Self {
            step,
            seq: word(8)?,
            durable: word(16)?,
        })
    }
}

/// The segments that lose their names in one step.
pub fn removed_segments(recording: &Recording, entries: &[Entry]) -> Vec<Inode> {
    if entries.iter().any(|entry| entry.node.is_some()) {
        return Vec::new();
    }
    let names = entries.iter().map(|entry| &entry.name);
    let inode_of = |name: &Arc<str>| {
        let mut nodes = 0..recording.paths.len();
        nodes.find(|node| {
            recording.role(*node) == Role::Segment
                && recording.paths[*node].ends_with(&format!("/{name}"))
        })
    };
    names.filter_map(inode_of).collect()
}

/// Whether the API has none of the request's events: it refused the request, or it refused its repetition where
/// the process died before the answer came.
fn is_refused(request: &Request, later: &[Request]) -> bool {
    let mut same = later.iter().filter(|other| other.events == request.events);
    let answer = same.find_map(|other| other.answered);
    answer.is_some_and(|(_, status)| status != 204)
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
            end: 0,
            user: 0,
        };
        let mut expectations = Self {
            durability: workload.durability,
            lanes: workload.lanes,
            events: vec![unknown; recording.event_count()],
            segments: BTreeMap::new(),
            requeued: NEVER,
            records: BTreeMap::new(),
            synced_upto: BTreeMap::new(),
            durable: 0,
        };
        for (step, what) in recording.steps.iter().enumerate() {
            expectations.read_step(recording, step, what);
        }
        for (index, request) in recording.requests.iter().enumerate() {
            let later = &recording.requests[index..];
            if is_refused(request, later) {
                continue;
            }
            for number in &request.events {
                let event = &mut expectations.events[*number];
                event.at_api = event.at_api.min(request.sent);
                if let Some((step, _)) = request.answered {
                    event.answered = event.answered.min(step);
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
                change: Change::Write { at, data },
                ..
            } => match recording.role(*file) {
                Role::Segment => {
                    let end = at + data.len() as u64;
                    for (number, user) in super::api::events(&recording.log[data.clone()]) {
                        let event = &mut self.events[number];
                        (event.segment, event.end, event.user) = (*file, end, user);
                        self.segments.entry(*file).or_default().push(number);
                    }
                }
                Role::Ledger => {
                    let record = LedgerRecord::parse(step, &recording.log[data.clone()]);
                    self.records.entry(*file).or_default().extend(record);
                }
                _ => {}
            },
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
                match recording.role(*node) {
                    Role::Ledger => {
                        let known = self.synced_upto.entry(*node).or_default();
                        *known = (*known).max(*begun);
                    }
                    Role::LedgerFolder => {}
                    _ => return,
                }
                let claimed = self.claimed_durable(disk);
                if claimed > self.durable
                    && let Some(record) = self.record(claimed)
                {
                    self.durable = claimed;
                    let found = found(record.step + 1);
                    self.note_store_is_safe(step, found);
                    self.note_settled(step, record.step, found);
                }
            }
            Step::Data {
                file,
                change: Change::Zero { at, length },
                size,
            } if recording.role(*file) == Role::Segment && at + length <= *size => {
                self.note_segment_is_safe_elsewhere(step, *file, at + length);
            }
            Step::Entries(entries) => {
                for segment in removed_segments(recording, entries) {
                    self.note_segment_is_safe_elsewhere(step, segment, NEVER as u64);
                }
            }
            _ => {}
        }
    }

    /// The highest record that the synced ledgers say to be durable, with everything before it.
    fn claimed_durable(&self, disk: &Disk<'_>) -> u64 {
        let of_ledger = |(ledger, records): (&Inode, &Vec<LedgerRecord>)| {
            let name = disk.durable_name(*ledger)?;
            let upto = self.synced_upto.get(ledger)?;
            let synced = records.iter().take_while(|record| record.step < *upto);
            (name != "spare").then_some(synced.last()?.durable)
        };
        let all = self.records.iter().filter_map(of_ledger);
        all.max().unwrap_or(0)
    }

    fn record(&self, seq: u64) -> Option<LedgerRecord> {
        let mut all = self.records.values().flatten();
        all.find(|record| record.seq == seq).copied()
    }

    /// The bytes of a segment before `upto` are gone: what was in them must be somewhere else.
    fn note_segment_is_safe_elsewhere(&mut self, step: usize, segment: Inode, upto: u64) {
        for number in self.segments.get(&segment).into_iter().flatten() {
            let event = &mut self.events[*number];
            if event.end <= upto {
                event.safe = event.safe.min(step);
            }
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
