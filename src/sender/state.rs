//! All that a sender knows, and the steps it can take; one step is one commit.
//!
//! The decisions are [`crate::delivery`]'s and the memory is the store's. Between them this keeps
//! the heads of the queues and turns each decision into the changes of a commit. It does no network
//! I/O and starts no thread: the caller holds it behind a lock and sends outside of it.
//!
//! When a commit fails the state in memory is ahead of the store. The caller then drops it and
//! opens it again: what the store does not know has not happened.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::window::{Settled, Window};
use super::{token, translate};
use crate::clock::{Clock, Moment, SystemClock};
use crate::config::BearerToken;
use crate::delivery::{
    Effect, Engine, Exchange, Head, PauseChange, Policy, Queue, Refusal, Restored, Step, Verdict,
    judge,
};
use crate::error::{PauseReason, Result};
use crate::event;
use crate::journal::reader::Offsets;
use crate::log::{Level, Log};
use crate::store::{
    Change, CommitSafety, PauseState, Place, Rejected, RejectedReason, Store, Suspect, Totals,
};

/// What a sender is told about its work.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) policy: Policy,
    pub(crate) safety: CommitSafety,
    pub(crate) event_ttl: Option<Duration>,
}

/// A request whose answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    queue: Queue,
    events: usize,
}

/// What a lane has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the body.
    Send,
    /// Nothing before this moment, unless something changes.
    Wait(Moment),
    /// Nothing until something changes.
    Idle,
}

pub(super) struct State {
    pub(super) store: Box<dyn Store>,
    pub(super) engine: Engine,
    pub(super) orders: Orders,
    pub(super) totals: Totals,
    pub(super) offsets: Offsets,
    /// Everything enqueued up to this time (boot count, nanoseconds since boot) is taken over.
    pub(super) taken_upto: (u32, u64),
    /// Runs up to this row are to be sent without waiting for more: a flush was asked for.
    pub(super) urgent_upto: i64,
    notes: Vec<Note>,
    log: Arc<Log>,
    lanes: Vec<Lane>,
    suspects: HashMap<Vec<u8>, Suspect>,
    committed_pause: Option<PauseState>,
    /// Fingerprint of the token that the API refused last.
    pub(super) refused_token: Option<Vec<u8>>,
    /// Why the last request came to nothing, if it did: for who waited in vain.
    pub(super) last_failure: Option<String>,
    rng: fastrand::Rng,
}

struct Lane {
    windows: [Window; 2],
    in_flight: Option<Due>,
    /// Runs were read that may hold events of suspects.
    unsifted: bool,
}

impl State {
    /// Reads what the last sender left.
    pub(super) fn open(
        mut store: Box<dyn Store>,
        mut orders: Orders,
        log: Arc<Log>,
    ) -> Result<Self> {
        let mut notes = Vec::new();
        let totals = store.totals()?;
        let stored_lanes = usize::from(store.lanes()?);
        let wanted = orders.policy.lanes;
        if stored_lanes == 0 || (totals.pending == 0 && stored_lanes != wanted) {
            store.commit(&[Change::Lanes(wanted as u8)], CommitSafety::Process)?;
        } else if stored_lanes != wanted {
            notes.push(Note::new(Level::Warn, format_args!(
                "lanes = {wanted} applies once the {} pending events have gone over {stored_lanes} lanes",
                totals.pending
            )));
            orders.policy.lanes = stored_lanes;
        }
        let mut lanes = Vec::with_capacity(orders.policy.lanes);
        let mut restored = Restored::default();
        for lane in 0..orders.policy.lanes as u8 {
            let stored = store.lane(lane)?;
            let windows = [0, 1].map(|queue| {
                let skip = stored.queues[usize::from(queue)].skip;
                Window::new(Place { lane, queue }, skip as usize)
            });
            restored.lanes.push(translate::lane_to_delivery(&stored));
            lanes.push(Lane {
                windows,
                in_flight: None,
                unsifted: false,
            });
        }
        let committed_pause = store.pause()?;
        restored.pause = committed_pause.as_ref().map(translate::pause_to_delivery);
        let engine = Engine::new(orders.policy.clone(), restored, SystemClock.now());
        let suspects = store
            .suspects()?
            .into_iter()
            .map(|suspect| (suspect.user.clone(), suspect))
            .collect();
        Ok(Self {
            offsets: store.offsets()?,
            store,
            engine,
            orders,
            totals,
            taken_upto: (0, 0),
            urgent_upto: 0,
            notes,
            log,
            lanes,
            suspects,
            last_failure: None,
            refused_token: committed_pause
                .as_ref()
                .and_then(|pause| pause.fingerprint.clone()),
            committed_pause,
            rng: fastrand::Rng::new(),
        })
    }

    /// How many lanes events are spread over.
    pub(super) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// New runs stand at the end of this queue.
    pub(super) fn appended(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(usize::from(place.lane)) {
            lane.windows[usize::from(place.queue)].appended();
        }
    }

    /// Whether nothing that was taken over up to row `mark` is pending any more.
    pub(super) fn is_settled_upto(&self, mark: i64) -> Result<bool> {
        Ok(self.store.first_origin()?.is_none_or(|first| first > mark))
    }

    /// Decides what `lane` does next. If it is to send, the batch is in doubt in the store and its
    /// bytes are in `body` when this returns.
    pub(super) fn next(&mut self, lane: usize, now: Moment, body: &mut Vec<u8>) -> Result<Next> {
        if lane >= self.lanes.len() {
            return Ok(Next::Idle);
        }
        self.prepare(lane, now)?;
        let urgent = self.is_urgent()?;
        let [regular, suspects] = &self.lanes[lane].windows;
        let heads = [regular, suspects].map(|window| Head {
            sizes: window.sizes(),
            oldest_ms: window
                .first()
                .map_or(now.wall_ms, |event| event.enqueued_ms),
            more: window.len() > window.sizes().len(),
        });
        match self.engine.next(lane, heads, urgent, now) {
            Step::Idle | Step::Paused { probe_at: None, .. } => Ok(Next::Idle),
            Step::Wait { until }
            | Step::Paused {
                probe_at: Some(until),
                ..
            } => Ok(Next::Wait(until)),
            Step::Send { queue, events, .. } => {
                self.mark_in_doubt(lane, queue, events, now)?;
                self.lanes[lane].windows[queue.index()].body(events, body);
                self.lanes[lane].in_flight = Some(Due { queue, events });
                Ok(Next::Send)
            }
        }
    }

    /// Whether delivery is paused because the API refused the token.
    pub(super) fn is_token_refused(&self) -> bool {
        let pause = self.engine.pause_state();
        pause.is_some_and(|pause| pause.reason == PauseReason::Auth)
    }

    /// The pause as the store keeps it.
    pub(super) fn pause_state(&self) -> Option<PauseState> {
        let refused = self.refused_token.as_deref();
        self.engine
            .pause_state()
            .map(|pause| translate::pause_to_store(pause, refused))
    }

    /// Applies what came of the request in flight, which carried `token`.
    pub(super) fn settle(
        &mut self,
        lane: usize,
        exchange: &Exchange,
        token: Option<&BearerToken>,
        now: Moment,
    ) -> Result<()> {
        let Some(due) = self
            .lanes
            .get_mut(lane)
            .and_then(|lane| lane.in_flight.take())
        else {
            return Ok(());
        };
        let verdict = judge(exchange, now);
        self.totals.requests += 1;
        if matches!(verdict, Verdict::Refused { .. }) {
            self.totals.refused_requests += 1;
        }
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        window.carry(due.events);
        let user = window
            .first()
            .map(|event| event::user_text(event::user_of(event.fragment)));
        let outcome = self
            .engine
            .answered(lane, user.as_deref(), &verdict, now, &mut self.rng);
        if let Verdict::Pause {
            reason: PauseReason::Auth,
            ..
        } = &verdict
        {
            self.refused_token = token.map(token::fingerprint);
        }
        self.say_answer(due, exchange, &verdict);
        self.say_pause(outcome.pause);
        match &outcome.effect {
            Effect::Delivered { .. } => self.deliver(lane, due),
            Effect::Rejected {
                refusal,
                may_be_delivered,
                suspect,
                ..
            } => self.reject(lane, due, refusal, *may_be_delivered, *suspect, now),
            Effect::Kept => self.commit_lane(lane, &[]),
        }
    }

    fn deliver(&mut self, lane: usize, due: Due) -> Result<()> {
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        let mut accepted: HashMap<Vec<u8>, u64> = HashMap::new();
        if due.queue == Queue::Suspects {
            for event in window.events().take(due.events) {
                let user = event::user_of(event.fragment).to_vec();
                *accepted.entry(user).or_default() += 1;
            }
        }
        let settled = window.settle(due.events);
        self.totals.delivered += settled.events;
        let mut changes = self.left(settled);

        let (mut kept, mut cleared) = (Vec::new(), Vec::new());
        for (user, events) in accepted {
            let Some(suspect) = self.suspects.get_mut(&user) else {
                continue;
            };
            suspect.waiting = suspect.waiting.saturating_sub(events);
            suspect.accepted = true;
            if suspect.waiting == 0 {
                self.suspects.remove(&user);
                cleared.push(user);
            } else {
                kept.push(suspect.clone());
            }
        }
        changes.extend(cleared.iter().map(|user| Change::Cleared { user }));
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(kept.iter().map(Change::Suspect))
            .collect();
        self.commit_lane(lane, &changes)
    }

    /// Counts what left a queue; the changes take it out of the store.
    fn left(&mut self, settled: Settled) -> Vec<Change<'static>> {
        self.totals.pending = self.totals.pending.saturating_sub(settled.events);
        self.totals.pending_bytes = self.totals.pending_bytes.saturating_sub(settled.bytes);
        settled.changes
    }

    fn reject(
        &mut self,
        lane: usize,
        due: Due,
        refusal: &Refusal,
        may_be_delivered: bool,
        suspect: bool,
        now: Moment,
    ) -> Result<()> {
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        let attempts = window.carried();
        let Some(first) = window.first() else {
            return Ok(());
        };
        let escaped = event::user_of(first.fragment).to_vec();
        let rejected = Rejected {
            user: event::user_text(&escaped),
            event: first.fragment.to_vec(),
            reason: RejectedReason::Refused,
            may_be_delivered,
            api_code: refusal.code.clone(),
            message: refusal.message.clone(),
            http_status: Some(refusal.status),
            attempts,
            first_ms: first.enqueued_ms,
            last_ms: now.wall_ms,
        };
        let settled = window.settle(1);
        self.totals.rejected += settled.events;
        let mut changes = self.left(settled);
        changes.push(Change::Reject(&rejected));

        let mut known = None;
        if suspect {
            let entry = self
                .suspects
                .entry(escaped.clone())
                .or_insert_with(|| Suspect {
                    user: escaped,
                    lane: lane as u8,
                    waiting: 0,
                    accepted: false,
                });
            if due.queue == Queue::Suspects {
                entry.waiting = entry.waiting.saturating_sub(1);
            }
            known = Some(entry.clone());
        }
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(known.iter().map(Change::Suspect))
            .collect();
        self.commit_lane(lane, &changes)?;
        // The next prefix must not hold an event of the new suspect.
        self.lanes[lane].unsifted |= suspect && due.queue == Queue::Regular;
        Ok(())
    }

    /// Reads ahead, sets suspects' events aside and lets old events expire, where nothing at the
    /// head is bound by a request or a group.
    fn prepare(&mut self, lane: usize, now: Moment) -> Result<()> {
        let wanted = self.wanted(lane);
        for queue in Queue::BOTH {
            loop {
                let at = &mut self.lanes[lane];
                let read = at.windows[queue.index()].fill(&*self.store, wanted)?;
                at.unsifted |= read && queue == Queue::Regular;
                let sifted = at.unsifted && self.sift(lane)?;
                let expired = self.expire(lane, queue, now)?;
                if !sifted && !expired {
                    break;
                }
            }
        }
        for window in &mut self.lanes[lane].windows {
            window.measure(wanted);
        }
        Ok(())
    }

    /// How many events have to be at hand: a batch, or what an earlier and larger one left in doubt.
    fn wanted(&self, lane: usize) -> usize {
        let batch_max = self.orders.policy.batch_max;
        let in_doubt = self
            .engine
            .lane_state(lane)
            .and_then(|state| state.in_doubt)
            .map_or(0, |batch| batch.events);
        batch_max.max(in_doubt)
    }

    /// Moves events of suspects from the regular queue to theirs; says whether there were any.
    fn sift(&mut self, lane: usize) -> Result<bool> {
        // What is in doubt is repeated as it was, whoever is in it; its turn comes when it is settled.
        if self.is_bound(lane, Queue::Regular) {
            return Ok(false);
        }
        self.lanes[lane].unsifted = false;
        let suspects = &mut self.suspects;
        let sifted = self.lanes[lane].windows[Queue::Regular.index()]
            .sift(|fragment| suspects.contains_key(event::user_of(fragment)));
        if sifted.is_empty() {
            return Ok(false);
        }
        let mut counted: HashMap<&[u8], u64> = HashMap::new();
        for (fragment, _) in sifted.moved.iter().flat_map(|(_, run)| run.events()) {
            *counted.entry(event::user_of(fragment)).or_default() += 1;
        }
        let mut known = Vec::new();
        for (user, more) in counted {
            if let Some(suspect) = self.suspects.get_mut(user) {
                suspect.waiting += more;
                known.push(suspect.clone());
            }
        }
        let place = Place {
            lane: lane as u8,
            queue: Queue::Suspects.index() as u8,
        };
        let mut changes = sifted.changes(place);
        changes.extend(known.iter().map(Change::Suspect));
        self.appended(place);
        self.commit_lane(lane, &changes)?;
        Ok(true)
    }

    /// Moves events that are older than `event_ttl_s` to the rejected store; says whether there were any.
    fn expire(&mut self, lane: usize, queue: Queue, now: Moment) -> Result<bool> {
        let Some(ttl) = self.orders.event_ttl else {
            return Ok(false);
        };
        if self.is_bound(lane, queue) {
            return Ok(false);
        }
        let doubtful = self
            .engine
            .lane_state(lane)
            .map_or(0, |state| state.isolations[queue.index()].doubtful);
        let oldest_kept = now.wall_ms.saturating_sub_unsigned(ttl.as_millis() as u64);
        let window = &mut self.lanes[lane].windows[queue.index()];
        let expired: Vec<Rejected> = window
            .events()
            .take_while(|event| event.enqueued_ms < oldest_kept)
            .enumerate()
            .map(|(position, event)| Rejected {
                user: event::user_text(event::user_of(event.fragment)),
                event: event.fragment.to_vec(),
                reason: RejectedReason::Expired,
                may_be_delivered: position < doubtful,
                api_code: String::new(),
                message: format!("waited longer than event_ttl_s = {}", ttl.as_secs()),
                http_status: None,
                attempts: 0,
                first_ms: event.enqueued_ms,
                last_ms: now.wall_ms,
            })
            .collect();
        if expired.is_empty() {
            return Ok(false);
        }
        let settled = window.settle(expired.len());
        self.totals.expired += settled.events;
        let mut changes = self.left(settled);
        for _ in &expired {
            self.engine.removed(lane, queue, 0);
        }
        let mut known = Vec::new();
        if queue == Queue::Suspects {
            for event in &expired {
                let user = event::user_of(&event.event);
                if let Some(suspect) = self.suspects.get_mut(user) {
                    suspect.waiting = suspect.waiting.saturating_sub(1);
                    known.push(suspect.clone());
                }
            }
        }
        changes.extend(expired.iter().map(Change::Reject));
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(known.iter().map(Change::Suspect))
            .collect();
        let count = expired.len();
        self.say(
            Level::Warn,
            format_args!("{count} events have expired (event_ttl_s)"),
        );
        self.commit_lane(lane, &changes)?;
        Ok(true)
    }

    /// Whether the head of a queue must stay as it is: it is in doubt, or a group.
    fn is_bound(&self, lane: usize, queue: Queue) -> bool {
        self.engine.lane_state(lane).is_none_or(|state| {
            state.in_doubt.is_some_and(|batch| batch.queue == queue)
                || state.isolations[queue.index()].group > 0
        })
    }

    fn mark_in_doubt(
        &mut self,
        lane: usize,
        queue: Queue,
        events: usize,
        now: Moment,
    ) -> Result<()> {
        let before = self.engine.lane_state(lane);
        if before.is_some_and(|state| state.in_doubt.is_some()) {
            self.totals.retried_requests += 1;
        } else if before.is_some_and(|state| state.isolations[queue.index()].group > 0) {
            self.totals.isolation_requests += 1;
        }
        self.engine.sending(lane, queue, events, now);
        self.commit_lane(lane, &[])
    }

    /// Commits `changes` with what is now known of the lane and of the pause.
    fn commit_lane(&mut self, lane: usize, changes: &[Change<'_>]) -> Result<()> {
        let skips = [0, 1].map(|queue: usize| self.lanes[lane].windows[queue].skip() as u32);
        let known = self.engine.lane_state(lane).copied().unwrap_or_default();
        let state = translate::lane_to_store(&known, skips);
        let pause = self.pause_state();
        let mut all = Vec::with_capacity(changes.len() + 3);
        all.extend_from_slice(changes);
        all.push(Change::Lane {
            lane: lane as u8,
            state: &state,
        });
        all.push(Change::Totals(&self.totals));
        if pause != self.committed_pause {
            all.push(Change::Pause(pause.as_ref()));
        }
        self.store.commit(&all, self.orders.safety)?;
        self.committed_pause = pause;
        Ok(())
    }

    /// Commits the pause as it now is: after a resume, a hold, a new token.
    pub(super) fn commit_pause(&mut self) -> Result<()> {
        let pause = self.pause_state();
        if pause != self.committed_pause {
            self.store
                .commit(&[Change::Pause(pause.as_ref())], self.orders.safety)?;
            self.committed_pause = pause;
        }
        Ok(())
    }

    fn is_urgent(&mut self) -> Result<bool> {
        if self.urgent_upto > 0 && self.is_settled_upto(self.urgent_upto)? {
            self.urgent_upto = 0;
        }
        Ok(self.urgent_upto > 0)
    }

    fn say_answer(&mut self, due: Due, exchange: &Exchange, verdict: &Verdict) {
        let events = due.events;
        if let Some(why) = failure(exchange, verdict) {
            self.say(
                Level::Warn,
                format_args!("{events} events wait for a retry: {why}"),
            );
            self.last_failure = Some(why);
            return;
        }
        self.last_failure = None;
        match verdict {
            Verdict::Delivered => {
                self.say(Level::Debug, format_args!("{events} events delivered"));
            }
            Verdict::Refused(refusal) if events == 1 => self.say(
                Level::Info,
                format_args!(
                    "an event was refused alone: {} {} (HTTP {})",
                    refusal.code, refusal.message, refusal.status
                ),
            ),
            Verdict::Refused(refusal) => self.say(
                Level::Debug,
                format_args!(
                    "a batch of {events} was refused: {} (HTTP {})",
                    refusal.code, refusal.status
                ),
            ),
            Verdict::TooLarge { .. } => self.say(
                Level::Info,
                format_args!("a batch of {events} is too large (HTTP 413)"),
            ),
            Verdict::Retry { .. } | Verdict::InDoubt { .. } | Verdict::Pause { .. } => {}
        }
    }

    pub(super) fn say_pause(&mut self, change: Option<PauseChange>) {
        match change {
            Some(PauseChange::Begun(reason)) => {
                let pause = self.engine.pause_state();
                let why = pause.map_or_else(String::new, |pause| pause.message.clone());
                let kept = self.totals.pending;
                self.say(
                    Level::Error,
                    format_args!("paused ({reason}): {why}; {kept} events are kept"),
                );
            }
            Some(PauseChange::Ended(reason)) => self.say(
                Level::Info,
                format_args!("delivery goes on after the pause ({reason})"),
            ),
            None => {}
        }
    }

    /// Leaves a note for the log. It is written once the lock is released, because a host's
    /// callback may be slow, or call back.
    pub(super) fn say(&mut self, level: Level, message: fmt::Arguments<'_>) {
        if self.log.keeps(level) {
            self.notes.push(Note::new(level, message));
        }
    }

    /// The notes since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// A record for the log.
#[derive(Debug)]
pub(super) struct Note {
    level: Level,
    message: String,
}

impl Note {
    pub(super) fn new(level: Level, message: fmt::Arguments<'_>) -> Self {
        Self {
            level,
            message: message.to_string(),
        }
    }

    pub(super) fn write(&self, log: &Log) {
        log.write(self.level, format_args!("{}", self.message));
    }
}

/// Why a request has to be repeated, if it has to.
fn failure(exchange: &Exchange, verdict: &Verdict) -> Option<String> {
    match (exchange, verdict) {
        (Exchange::NotSent { why } | Exchange::Unsettled { why }, _) => Some(why.clone()),
        (Exchange::Answered(answer), Verdict::Retry { .. } | Verdict::InDoubt { .. }) => {
            Some(format!("HTTP {}", answer.status))
        }
        _ => None,
    }
}
