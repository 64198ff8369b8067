//! What the board decides: plain values in, plain values out, no clock and no lock.
//!
//! A lane begins a turn before each of its steps and ends it after the step. What a lane may do alone - probe, take
//! the next slot of the pacing - it claims when its turn begins, so that two lanes never do it at once; what it has
//! not used after all, it gives back when the turn ends.

use std::collections::BTreeSet;
use std::time::Duration;

use meditopia::PauseReason;
use meditopia::internals::clock::Moment;
use meditopia::internals::delivery::Pause;
use meditopia::internals::delivery::pause::FIRST_PROBE;
use meditopia::internals::lanes::Share;

/// How long the lane that probed last waits before it probes again, so that other lanes go first.
const OTHER_LANES_FIRST: Duration = Duration::from_secs(1);

/// What the lanes of a relay have in common.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The users after whose refusals nothing is rejected; 0: without a limit.
    brake_users: usize,
    /// The time between two requests.
    spacing: Option<Duration>,
    /// The lanes that are open.
    lanes: BTreeSet<i16>,
    pause: Option<Pause>,
    pause_begun: Option<Moment>,
    refused_token: Option<Vec<u8>>,
    /// The lane whose turn or request probes the pause.
    probing: Option<i16>,
    probed_last: Option<i16>,
    /// While the API does not accept this relay's address: the one lane that the relay has taken to probe with.
    probe_lane: Option<i16>,
    hold: Option<Pause>,
    /// How many holds have ended: each lane resumes once for each.
    holds_ended: u64,
    any_refused: bool,
    next_slot: Option<Moment>,
}

/// Whether a lane goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It does.
    GoOn,
    /// It is to be given up: the API does not accept this relay's address.
    GiveUp,
}

/// A lane's turn: what is true for its next step.
#[derive(Debug)]
pub struct Turn {
    /// For the step.
    pub share: Share,
    /// Whether the lane goes on.
    pub order: Order,
    /// How many holds have ended so far.
    pub holds_ended: u64,
    claims_probe: bool,
    /// The slot that was taken, and what the next one was before.
    slot: Option<(Moment, Option<Moment>)>,
}

/// What a relay may own just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayOwn {
    /// Its share of the lanes.
    Share,
    /// One lane, to find out whether the API accepts this relay's address by now.
    One,
    /// No other lane before this moment, if it is known.
    NoMore(Option<Moment>),
}

impl Turn {
    /// Whether the step could probe whether the API accepts this relay's address.
    pub(in crate::relay) fn probes_address(&self) -> bool {
        let pause = self.share.pause.as_ref();
        self.share.may_probe && pause.is_some_and(|pause| pause.reason == PauseReason::Ip)
    }
}

impl State {
    pub(super) fn new(brake_users: usize, spacing: Option<Duration>) -> Self {
        Self {
            brake_users,
            spacing,
            ..Self::default()
        }
    }

    /// The pause of the relay.
    pub(super) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// What stops the lanes: a hold goes before a pause.
    pub(super) fn stop(&self) -> Option<&Pause> {
        self.hold.as_ref().or(self.pause.as_ref())
    }

    /// What tells the refused token from others, in a pause because of it.
    pub(super) fn refused_token(&self) -> Option<&[u8]> {
        self.refused_token.as_deref()
    }

    pub(super) fn order(&self, lane: i16) -> Order {
        match self.is_blocked() && self.probe_lane != Some(lane) {
            true => Order::GiveUp,
            false => Order::GoOn,
        }
    }

    pub(super) fn begin(&mut self, lane: i16, now: Moment) -> Turn {
        let order = self.order(lane);
        let is_due = self.probing.is_none()
            && order == Order::GoOn
            && self.may_probe_at(lane).is_some_and(|at| now.reached(at));
        let claims_probe = is_due && self.hold.is_none();
        if claims_probe {
            self.probing = Some(lane);
        }
        let mut slot = None;
        let mut not_before = None;
        if let Some(spacing) = self.spacing {
            not_before = self.next_slot.filter(|at| !now.reached(*at));
            if not_before.is_none() {
                let next = now.after(spacing);
                slot = Some((next, self.next_slot.replace(next)));
            }
        }
        Turn {
            share: Share {
                pause: self.stop().cloned(),
                refused_token: self.refused_token.clone(),
                may_probe: self.hold.is_none() && self.probing == Some(lane),
                not_before,
                any_refused: self.any_refused,
            },
            order,
            holds_ended: self.holds_ended,
            claims_probe,
            slot,
        }
    }

    /// The step is done, after which the lane has the shared pause `pause`, and sends a request or not. Says whether
    /// other lanes have to know.
    pub(super) fn end(
        &mut self,
        lane: i16,
        turn: &Turn,
        pause: Option<&Pause>,
        refused_token: Option<&[u8]>,
        is_sending: bool,
        now: Moment,
    ) -> bool {
        if !is_sending {
            self.give_back(turn);
        }
        let may_probe = turn.share.may_probe;
        if self.probing == Some(lane) {
            if is_sending && may_probe && pause.is_some() {
                self.probed_last = Some(lane);
            } else {
                self.probing = None;
            }
        }
        // The word of a lane that did not probe says nothing about the pause.
        match (&self.pause, pause) {
            (None, Some(begun)) if turn.share.pause.is_none() => {
                self.begin_pause(begun.clone(), refused_token, now);
                true
            }
            (Some(known), _) if may_probe && turn.share.pause.as_ref() == Some(known) => {
                match pause {
                    // Nothing was sent that could have changed it.
                    Some(pause) if pause == known => return false,
                    Some(pause) if pause.reason == known.reason => {
                        self.pause = Some(pause.clone());
                        self.probe_lane = None;
                    }
                    Some(other) => self.begin_pause(other.clone(), refused_token, now),
                    None => self.end_pause(),
                }
                true
            }
            _ => false,
        }
    }

    /// The step has failed, and what came of it is read anew.
    pub(super) fn abandon(&mut self, lane: i16, turn: &Turn, now: Moment) {
        self.give_back(turn);
        self.stop_probing(lane, turn.claims_probe, now);
    }

    /// The lane is not this relay's any more, or is opened again.
    pub(super) fn leave(&mut self, lane: i16, now: Moment) {
        self.lanes.remove(&lane);
        self.probe_lane.take_if(|probe| *probe == lane);
        self.stop_probing(lane, false, now);
    }

    fn stop_probing(&mut self, lane: i16, has_not_sent: bool, now: Moment) {
        if self.probing.take_if(|probing| *probing == lane).is_none() || has_not_sent {
            return;
        }
        // The answer to its probe will never be known, and one request at a time is enough.
        if let Some(pause) = &mut self.pause {
            pause.probe_at = pause.probe_at.map(|_| now.after(FIRST_PROBE));
        }
    }

    fn give_back(&mut self, turn: &Turn) {
        if let Some((taken, before)) = turn.slot
            && self.next_slot == Some(taken)
        {
            self.next_slot = before;
        }
    }

    /// The lane is open.
    pub(super) fn join(&mut self, lane: i16) {
        self.lanes.insert(lane);
        if self.is_blocked() {
            self.probe_lane.get_or_insert(lane);
        }
    }

    pub(super) fn begin_pause(&mut self, pause: Pause, token: Option<&[u8]>, now: Moment) {
        self.refused_token = token
            .filter(|_| pause.reason == PauseReason::Auth)
            .map(<[u8]>::to_vec);
        self.pause = Some(pause);
        self.pause_begun = Some(now);
        self.probing = None;
        self.probe_lane = None;
    }

    /// No lane waits for the pause any more: a probe, an operator or a new token has ended it.
    pub(super) fn end_pause(&mut self) {
        self.pause = None;
        self.pause_begun = None;
        self.refused_token = None;
        self.probing = None;
        self.probe_lane = None;
    }

    pub(super) fn holds_ended(&self) -> u64 {
        self.holds_ended
    }

    pub(super) fn set_hold(&mut self, hold: Option<Pause>) -> bool {
        let changes = self.hold.is_some() != hold.is_some();
        if changes && hold.is_none() {
            self.holds_ended += 1;
            self.end_pause();
        }
        self.hold = hold;
        changes
    }

    /// So many users are counted as refused in the whole fleet; the count was asked for at `asked`. Says whether
    /// lanes have to know.
    pub(super) fn count_refused(&mut self, users: usize, asked: Moment, now: Moment) -> bool {
        self.any_refused = users > 0;
        let limit = self.brake_users;
        let is_braked = self
            .pause
            .as_ref()
            .is_some_and(|pause| pause.reason == PauseReason::MassRejection);
        // A count from before the pause does not know of the refusals that have led to it.
        let is_newer = self.pause_begun.is_some_and(|begun| asked.reached(begun));
        if is_braked && users < limit && is_newer {
            self.end_pause();
            return true;
        }
        if limit > 0 && self.pause.is_none() && users >= 2 * limit {
            let message = format!(
                "events of {users} different users were refused in a row, counted over all relays"
            );
            let pause = Pause::new(PauseReason::MassRejection, message, now);
            self.begin_pause(pause, None, now);
            return true;
        }
        false
    }

    /// Whether the API does not accept this relay's address.
    pub(super) fn is_blocked(&self) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.reason == PauseReason::Ip)
    }

    pub(super) fn may_own(&self, now: Moment) -> MayOwn {
        let Some(pause) = self.pause.as_ref().filter(|_| self.is_blocked()) else {
            return MayOwn::Share;
        };
        if self.probe_lane.is_some() || self.hold.is_some() {
            return MayOwn::NoMore(None);
        }
        match pause.probe_at {
            Some(at) if now.reached(at) => MayOwn::One,
            probe_at => MayOwn::NoMore(probe_at),
        }
    }

    /// When the lane may ask for the probe, while nobody probes.
    fn may_probe_at(&self, lane: i16) -> Option<Moment> {
        let probe_at = self.pause.as_ref()?.probe_at?;
        match self.lanes.len() > 1 && self.probed_last == Some(lane) {
            true => Some(probe_at.after(OTHER_LANES_FIRST)),
            false => Some(probe_at),
        }
    }

    /// When a lane that stands still because of the pause has to ask again by itself.
    pub(super) fn asks_again_at(&self, lane: i16) -> Option<Moment> {
        match (&self.hold, self.probing) {
            (None, None) => self.may_probe_at(lane),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
