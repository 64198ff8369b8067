//! A random commit that keeps the contract, drawn from what can be read of a store.

use std::collections::BTreeMap;

use super::kept::Has;
use super::look::Look;
use super::samples::{receipt, rejected, run};
use crate::error::PauseReason;
use crate::store::contract::Change;
use crate::store::{
    InDoubt, LaneState, PauseState, Place, QueueState, Receipt, Rejected, RejectedReason, Rest,
    Run, StoredRun, Suspect, Totals,
};

const USERS: u32 = 5;
const SEGMENTS: u32 = 4;

/// The values of a commit. Runs and rejected events have the names that [`Look`] gives them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    appended: Vec<(Place, Option<i64>, Run)>,
    /// How events leave queues: the changes hold nothing that is borrowed.
    left: Vec<Change<'static>>,
    rejected: Vec<Rejected>,
    forgotten: Vec<(i64, Rejected)>,
    lanes: Vec<(u8, LaneState)>,
    rests: Vec<(u8, Rest)>,
    suspects: Vec<Suspect>,
    cleared: Vec<String>,
    refused: Vec<String>,
    accepted_since: bool,
    pause: Option<Option<PauseState>>,
    lane_count: Option<u8>,
    totals: Option<Totals>,
    taken: Vec<(String, u64)>,
    gone: Vec<String>,
    receipts: Vec<Receipt>,
}

impl Draft {
    /// Draws a commit that may follow what `look` has read.
    pub(super) fn draw(rng: &mut fastrand::Rng, look: &Look, has: Has, has_journal: bool) -> Self {
        let mut draft = Self::default();
        if has.regular_appends {
            draft.appended = new_runs(rng, has);
        }
        draft.draw_leaving(rng, look, has);
        draft.draw_rejected(rng, look);
        draft.draw_state(rng, look, has);
        if rng.u8(..4) == 0 {
            draft.receipts.push(receipt(rng.i64(1..100)));
        }
        if has_journal {
            draft.draw_journal(rng);
        }
        draft
    }

    /// Events leave some queues: for good, or from the regular one to the suspects beside it.
    fn draw_leaving(&mut self, rng: &mut fastrand::Rng, look: &Look, has: Has) {
        for place in has.places() {
            let runs = &look.runs[&place];
            if runs.is_empty() || rng.u8(..3) > 0 {
                continue;
            }
            let chosen = choose_events(rng, runs);
            if place.queue == 0 && rng.bool() {
                let beside = Place { queue: 1, ..place };
                let moved = runs.iter().filter_map(|stored| {
                    let moved = taken_out(stored, chosen.get(&stored.id).copied()?);
                    Some((beside, Some(stored.origin), moved))
                });
                self.appended.extend(moved);
            }
            self.left.extend(leave(place, runs, &chosen));
        }
    }

    fn draw_rejected(&mut self, rng: &mut fastrand::Rng, look: &Look) {
        let reasons = [
            RejectedReason::Refused,
            RejectedReason::Expired,
            RejectedReason::SetAside,
        ];
        for _ in 0..rng.usize(..5).saturating_sub(2) {
            self.rejected.push(Rejected {
                user: user(rng),
                reason: reasons[rng.usize(..3)],
                may_be_delivered: rng.bool(),
                api_code: ["", "A_2001"][rng.usize(..2)].to_owned(),
                last_ms: rng.i64(0..5),
                ..rejected(rng.usize(..100))
            });
        }
        let forgotten = look.rejected.iter().filter(|_| rng.u8(..6) == 0);
        self.forgotten = forgotten.map(|(id, event)| (*id, event.clone())).collect();
    }

    fn draw_state(&mut self, rng: &mut fastrand::Rng, look: &Look, has: Has) {
        if rng.bool() {
            self.lanes.push((rng.u8(..has.lanes), lane_state(rng)));
        }
        if rng.u8(..3) == 0 {
            let rest = Rest {
                drawn_ms: rng.i64(0..3),
                until_ms: rng.bool().then(|| rng.i64(0..100)),
                server_errors: rng.u32(..3),
                ..Rest::default()
            };
            self.rests.push((rng.u8(..has.lanes), rest));
        }
        if rng.u8(..3) == 0 {
            self.suspects.push(Suspect {
                user: user(rng).into_bytes(),
                lane: rng.u8(..has.lanes),
                waiting: rng.u64(..9),
                accepted: rng.bool(),
            });
        }
        if rng.u8(..4) == 0 {
            self.cleared.push(user(rng));
        }
        let refused = user(rng);
        if rng.u8(..3) == 0 && !look.refused_in_a_row.contains(&refused) {
            self.refused.push(refused);
        }
        self.accepted_since = rng.u8(..6) == 0;
        self.pause = (rng.u8(..4) == 0).then(|| rng.bool().then(|| pause(rng)));
        self.lane_count = (has.lanes > 1 && rng.u8(..8) == 0).then(|| rng.u8(1..17));
        if rng.bool() {
            let mut totals = look.totals;
            for sum in totals.numbers() {
                *sum += u64::from(rng.u8(..8) == 0);
            }
            self.totals = Some(totals);
        }
    }

    fn draw_journal(&mut self, rng: &mut fastrand::Rng) {
        let segment = |rng: &mut fastrand::Rng| format!("{:08}.segment", rng.u32(..SEGMENTS));
        if rng.bool() {
            self.taken.push((segment(rng), rng.u64(..10_000)));
        }
        if rng.u8(..5) == 0 {
            self.gone.push(segment(rng));
        }
    }

    /// The changes, in one of the orders in which they may stand.
    pub(super) fn changes(&self, rng: &mut fastrand::Rng) -> Vec<Change<'_>> {
        let mut changes = self.left.clone();
        for (place, origin, run) in &self.appended {
            let (place, origin) = (*place, *origin);
            changes.push(Change::Append { place, origin, run });
        }
        changes.extend(self.rejected.iter().map(Change::Reject));
        for (rejected, event) in &self.forgotten {
            let rejected = *rejected;
            changes.push(Change::Forget { rejected, event });
        }
        for (lane, state) in &self.lanes {
            changes.push(Change::Lane { lane: *lane, state });
        }
        for (lane, rest) in &self.rests {
            changes.push(Change::Rest { lane: *lane, rest });
        }
        changes.extend(self.suspects.iter().map(Change::Suspect));
        let cleared = self.cleared.iter().map(String::as_bytes);
        changes.extend(cleared.map(|user| Change::Cleared { user }));
        let refused = self.refused.iter();
        changes.extend(refused.map(|user| Change::RefusedInARow { user }));
        changes.extend(self.accepted_since.then_some(Change::AcceptedSince));
        let pause = self.pause.as_ref();
        changes.extend(pause.map(|pause| Change::Pause(pause.as_ref())));
        changes.extend(self.lane_count.map(Change::Lanes));
        changes.extend(self.totals.as_ref().map(Change::Totals));
        for (segment, upto) in &self.taken {
            let upto = *upto;
            changes.push(Change::Taken { segment, upto });
        }
        let gone = self.gone.iter();
        changes.extend(gone.map(|segment| Change::Gone { segment }));
        changes.extend(self.receipts.iter().map(Change::Receipt));
        rng.shuffle(&mut changes);
        changes
    }
}

/// Runs for the regular queues.
pub(super) fn new_runs(rng: &mut fastrand::Rng, has: Has) -> Vec<(Place, Option<i64>, Run)> {
    let runs = 0..rng.usize(..4);
    runs.map(|_| {
        let place = Place {
            lane: rng.u8(..has.lanes),
            queue: 0,
        };
        let run = run(rng.usize(1..1_000), rng.usize(1..6));
        (place, None, run)
    })
    .collect()
}

pub(super) fn user(rng: &mut fastrand::Rng) -> String {
    format!("user-{}", rng.u32(..USERS))
}

fn lane_state(rng: &mut fastrand::Rng) -> LaneState {
    let in_doubt = rng.bool().then(|| InDoubt {
        queue: rng.u8(..2),
        events: rng.u32(1..101),
        attempts: rng.u32(1..4),
        first_ms: rng.i64(0..100),
        last_ms: rng.i64(0..100),
        status: rng.bool().then(|| rng.u16(100..600)),
    });
    let mut queue = || QueueState {
        group: rng.u32(..3),
        doubtful: rng.u32(..3),
        belief: (0..rng.usize(..3)).map(|_| rng.f64()).collect(),
    };
    let queues = [queue(), queue()];
    LaneState { in_doubt, queues }
}

fn pause(rng: &mut fastrand::Rng) -> PauseState {
    PauseState {
        reason: PauseReason::ALL[rng.usize(..PauseReason::ALL.len())],
        since_ms: rng.i64(0..100),
        probe_ms: rng.bool().then(|| rng.i64(0..100)),
        probe_wait_ms: rng.i64(0..100),
        http_status: rng.bool().then_some(401),
        api_code: rng.bool().then(|| "A_1000".to_owned()),
        message: "paused".to_owned(),
        fingerprint: rng.bool().then(|| vec![rng.u8(..)]),
    }
}

/// Some of the events that wait, as bits for each run: the first ones, or any.
fn choose_events(rng: &mut fastrand::Rng, runs: &[StoredRun]) -> BTreeMap<i64, u128> {
    let all: Vec<(i64, usize)> = runs
        .iter()
        .flat_map(|run| run.waiting().map(|(at, ..)| (run.id, at)))
        .collect();
    let chosen = match rng.bool() {
        true => all[..rng.usize(1..=all.len())].to_vec(),
        false => {
            let count = rng.usize(1..=all.len().min(4));
            rng.choose_multiple(all.iter().copied(), count)
        }
    };
    let mut bits: BTreeMap<i64, u128> = BTreeMap::new();
    for (run, at) in chosen {
        *bits.entry(run).or_default() |= 1 << at;
    }
    bits
}

/// A run of the events of another one that `bits` names.
fn taken_out(stored: &StoredRun, bits: u128) -> Run {
    let mut run = Run::default();
    for (at, fragment, enqueued_ms) in stored.waiting() {
        if bits >> at & 1 == 1 {
            run.push(fragment, enqueued_ms);
        }
    }
    run
}

/// The changes by which the chosen events leave a queue.
fn leave(place: Place, runs: &[StoredRun], chosen: &BTreeMap<i64, u128>) -> Vec<Change<'static>> {
    let mut changes = Vec::new();
    let (mut upto, mut is_prefix) = (None, true);
    let (mut events, mut bytes) = (0, 0);
    for run in runs {
        let bits = chosen.get(&run.id).copied().unwrap_or(0);
        let mut after = run.clone();
        after.marks |= bits;
        events += u64::from(bits.count_ones());
        let lengths = run.waiting().filter(|(at, ..)| bits >> at & 1 == 1);
        bytes += lengths
            .map(|(_, fragment, _)| fragment.len() as u64)
            .sum::<u64>();
        is_prefix &= after.waiting_count() == 0;
        if is_prefix {
            upto = Some(run.id);
        } else if bits > 0 {
            changes.push(Change::Mark {
                place,
                run: run.id,
                marks: after.marks,
            });
        }
    }
    changes.extend(upto.map(|upto| Change::Settle { place, upto }));
    changes.push(Change::Leave {
        place,
        events,
        bytes,
    });
    changes
}
