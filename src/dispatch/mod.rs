//! Between the decisions of [`crate::delivery`] and the memory of [`crate::store`]: what is known of the
//! lanes of one store, and the steps that they can take.
//!
//! A [`Dispatcher`] keeps the heads of the queues and turns each decision into the changes of a commit;
//! one step is one commit. It does no network I/O and starts no thread: the caller holds it behind a
//! lock and sends outside of it. It knows nothing of a host, its journal or its files, so that it can
//! serve any [`Store`].
//!
//! When a commit fails the dispatcher is ahead of the store. The caller then drops it and opens it
//! again: what the store does not know has not happened.
//!
//! The files below import this one for [`Dispatcher`], whose methods they hold, and this file imports
//! what they define.

mod command;
mod commits;
mod erasure;
mod heads;
#[cfg(feature = "internals")]
mod in_virtual_time;
mod measures;
mod notes;
mod outcome;
#[cfg(feature = "internals")]
mod owned_lane;
mod pauses;
mod refusals;
mod rejected;
mod spread;
mod step;
#[cfg(test)]
pub(crate) mod tests;
mod translate;
mod window;

pub use self::command::Command;
pub(crate) use self::command::{Carried, in_steps};
pub(crate) use self::erasure::TakenOut;
#[cfg(feature = "internals")]
pub use self::in_virtual_time::LaneInVirtualTime;
pub(crate) use self::notes::{Failed, Note};
#[cfg(feature = "internals")]
pub use self::owned_lane::{LaneOptions, OwnedLane, Share};
pub(crate) use self::pauses::OnPause;
pub use self::spread::{NewRuns, Spread, lane_of};
pub use self::step::{Sent, Then};

use self::commits::{BrakeChange, LaneWrites};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::window::Window;
use crate::clock::{self, Moment};
use crate::config::{BearerToken, Settings};
use crate::delivery::{Effect, Engine, Head, Policy, Queue, Restored, Step, Verdict, judge};
use crate::error::{PauseReason, Result};
use crate::event;
use crate::exchange::Exchange;
use crate::log::{Level, Log};
use crate::process::random_u64;
use crate::store::{Change, PauseState, Place, Rest, Store, Suspect, Totals};

/// What the configuration says about the work of lanes.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) policy: Policy,
    pub(crate) event_ttl: Option<Duration>,
    /// How long receipts are kept; `None`: not at all.
    pub(crate) receipts_kept: Option<Duration>,
}

impl Options {
    /// What these settings say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            policy: Policy {
                batch_max: settings.batch_max,
                flush_interval: settings.flush_interval,
                lanes: usize::from(settings.lanes),
                brake_users: settings.brake_users.map_or(0, |users| users.get()),
                max_requests_per_s: settings.max_requests_per_s,
            },
            event_ttl: settings.event_ttl,
            receipts_kept: settings.receipts_kept,
        }
    }
}

/// A request whose answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    queue: Queue,
    events: usize,
}

/// What a lane has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send the body.
    Send,
    /// Nothing before this moment, unless something changes.
    Wait(Moment),
    /// Nothing until something changes.
    Idle,
}

/// The lanes of a store.
pub(crate) struct Dispatcher<S: ?Sized> {
    pub(crate) store: Box<S>,
    engine: Engine,
    options: Options,
    /// The sums, as the last commit left them.
    pub(crate) totals: Totals,
    /// Runs up to this row are to be sent without waiting for more: a flush was asked for.
    urgent_upto: i64,
    /// Something has happened that a flush or another lane waits for.
    news: bool,
    notes: Vec<Note>,
    told: refusals::Told,
    log: Arc<Log>,
    lanes: Vec<Lane>,
    suspects: HashMap<Vec<u8>, Suspect>,
    committed_pause: Option<PauseState>,
    /// What the next commit has to tell the store about the brake.
    brake: Option<BrakeChange>,
    lane_writes: LaneWrites,
    /// Fingerprint of the token that the API refused last.
    pub(crate) refused_token: Option<Vec<u8>>,
    /// Why the last request came to nothing, if it did: for who waited in vain.
    pub(crate) last_failure: Option<String>,
    /// When the API last answered a request, and when it last accepted one: wall time in milliseconds.
    pub(crate) answered_ms: Option<i64>,
    pub(crate) accepted_ms: Option<i64>,
    /// The last request that came to nothing, for operators.
    pub(crate) failed: Option<Failed>,
    /// No heartbeat has told of it yet.
    pub(crate) is_failure_untold: bool,
    rng: fastrand::Rng,
}

struct Lane {
    windows: [Window; 2],
    in_flight: Option<Due>,
    /// Runs were read that may hold events of suspects.
    unsifted: bool,
    committed_rest: Rest,
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Reads what the last sender left.
    ///
    /// Errors: as [`Store::commit`].
    pub(crate) fn open(store: Box<S>, options: Options, log: Arc<Log>) -> Result<Self> {
        let rng = fastrand::Rng::with_seed(random_u64());
        Self::open_at(store, options, log, clock::now(), rng)
    }

    /// The same at a moment and with a chance that the caller gives.
    pub(super) fn open_at(
        mut store: Box<S>,
        mut options: Options,
        log: Arc<Log>,
        now: Moment,
        rng: fastrand::Rng,
    ) -> Result<Self> {
        let mut notes = Vec::new();
        let totals = store.totals();
        let stored_lanes = usize::from(store.lanes());
        let wanted = options.policy.lanes;
        if stored_lanes == 0 || (totals.pending == 0 && stored_lanes != wanted) {
            store.commit(&[Change::Lanes(wanted as u8)])?;
        } else if stored_lanes != wanted {
            notes.push(Note::new(Level::Warn, format_args!(
                "lanes = {wanted} applies once the {} pending events have gone over {stored_lanes} lanes",
                totals.pending
            )));
            options.policy.lanes = stored_lanes;
        }
        let mut lanes = Vec::with_capacity(options.policy.lanes);
        let mut restored = Restored::default();
        for lane in 0..options.policy.lanes as u8 {
            let stored = store.lane(lane);
            let windows = [0, 1].map(|queue| Window::new(Place { lane, queue }));
            let rest = store.rest(lane);
            restored
                .lanes
                .push(translate::lane_to_delivery(&stored, &rest));
            lanes.push(Lane {
                windows,
                in_flight: None,
                unsifted: false,
                committed_rest: rest,
            });
        }
        let committed_pause = store.pause();
        restored.refused_in_a_row = store.refused_in_a_row();
        restored.allowed_rejections = totals.measures.allowed_rejections;
        restored.pause = committed_pause.as_ref().map(translate::pause_to_delivery);
        let engine = Engine::new(options.policy.clone(), restored, now);
        let suspects = store
            .suspects()
            .into_iter()
            .map(|suspect| (suspect.user.clone(), suspect))
            .collect();
        Ok(Self {
            store,
            engine,
            options,
            totals,
            urgent_upto: 0,
            news: false,
            notes,
            told: refusals::Told::default(),
            log,
            lanes,
            suspects,
            last_failure: None,
            answered_ms: None,
            accepted_ms: None,
            failed: None,
            is_failure_untold: false,
            refused_token: committed_pause
                .as_ref()
                .and_then(|pause| pause.fingerprint.clone()),
            committed_pause,
            brake: None,
            lane_writes: LaneWrites::Each,
            rng,
        })
    }

    /// How many lanes events are spread over.
    pub(crate) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// New runs stand at the end of this queue.
    fn appended(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(usize::from(place.lane)) {
            lane.windows[usize::from(place.queue)].appended();
        }
    }

    /// Whether nothing that was taken over up to row `mark` is pending any more.
    pub(crate) fn is_settled_upto(&mut self, mark: i64) -> Result<bool> {
        Ok(self.store.first_origin()?.is_none_or(|first| first > mark))
    }

    /// Decides what `lane` does next. If it is to send, the batch is in doubt in the store and its
    /// bytes are in `body` when this returns.
    pub(crate) fn next(&mut self, lane: usize, now: Moment, body: &mut Vec<u8>) -> Result<Next> {
        if lane >= self.lanes.len() {
            return Ok(Next::Idle);
        }
        self.say_untold_of_last_period(now);
        if !self.prepare(lane, now)? {
            return Ok(Next::Wait(now));
        }
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
            Step::Idle if self.has_lost_sight() => Err(self.store.damaged(&format!(
                "{} events wait in it, and none is found",
                self.totals.pending
            ))),
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

    /// Whether events should wait and no queue has one: the store contradicts itself.
    fn has_lost_sight(&self) -> bool {
        let nothing_waits =
            |lane: &Lane| lane.in_flight.is_none() && lane.windows.iter().all(Window::is_exhausted);
        self.totals.pending > 0 && self.lanes.iter().all(nothing_waits)
    }

    /// Whether nothing waits in the store.
    pub(crate) fn is_drained(&self) -> bool {
        self.totals.pending == 0 && !self.is_in_flight()
    }

    /// Whether any request is on its way.
    pub(crate) fn is_in_flight(&self) -> bool {
        (0..self.lanes.len()).any(|lane| self.is_lane_in_flight(lane))
    }

    /// Whether a request of this lane is on its way.
    fn is_lane_in_flight(&self, lane: usize) -> bool {
        self.lanes[lane].in_flight.is_some()
    }

    /// The head of a queue.
    fn window_mut(&mut self, lane: usize, queue: Queue) -> &mut Window {
        &mut self.lanes[lane].windows[queue.index()]
    }

    /// Applies what came of the request in flight, which carried `token`.
    pub(crate) fn settle(
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
        self.count_verdict(&verdict);
        let http_status = match exchange {
            Exchange::Answered(answer) => Some(answer.status),
            Exchange::NotSent { .. } | Exchange::Unsettled { .. } => None,
        };
        self.engine.note_status(lane, http_status);
        let in_doubt = self.engine.lane_state(lane).and_then(|lane| lane.in_doubt);
        let attempts = in_doubt.map_or(1, |batch| batch.attempts);
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        window.carry(due.events);
        let user = window
            .first()
            .map(|event| event::user_text(event::user_of(event.fragment)));
        let refusal = refusals::lone_refusal(due, &verdict);
        if refusal.is_some() {
            self.recount_refused()?;
        }
        let refused_before = self.engine.refused_in_a_row().len();
        let probe_before = self.probe_at();
        let outcome = self
            .engine
            .answered(lane, user.as_deref(), &verdict, now, &mut self.rng);
        let refused_alone = user.clone().zip(refusal);
        self.watch_brake(refused_before, user);
        self.totals.measures.allowed_rejections = self.engine.allowed_rejections();
        if let Verdict::Pause {
            reason: PauseReason::Auth,
            ..
        } = &verdict
        {
            self.refused_token = token.map(BearerToken::fingerprint);
        }
        self.say_answer(due, exchange, &verdict);
        self.note_answer(&verdict, now);
        self.note_failed(due, exchange, &verdict, now);
        self.tell_pause(outcome.pause, now);
        self.news |= outcome.pause.is_some();
        if outcome.pause.is_none() && self.probe_at() != probe_before {
            self.say_still_paused(now);
        }
        let settled = match &outcome.effect {
            Effect::Delivered { .. } => {
                self.deliver(lane, due, http_status.unwrap_or(0), attempts, now)
            }
            Effect::Rejected {
                refusal,
                may_be_delivered,
                suspect,
                ..
            } => self.reject(lane, due, refusal, *may_be_delivered, *suspect, now),
            Effect::Unjudged => self.stand_aside(lane),
            Effect::Kept => self.commit_lane(lane, &[]),
        };
        settled?;
        if let Some((user, refusal)) = refused_alone {
            let is_rejected = matches!(outcome.effect, Effect::Rejected { .. });
            let rejected = is_rejected.then(|| self.store.last_rejected());
            self.say_refused_alone(&user, refusal, rejected, now);
        }
        Ok(())
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

    /// Runs up to row `row` are sent without waiting for more: a flush waits for them.
    pub(crate) fn send_at_once_upto(&mut self, row: i64) {
        self.urgent_upto = self.urgent_upto.max(row);
    }

    fn is_urgent(&mut self) -> Result<bool> {
        if self.urgent_upto == 0 {
            return Ok(false);
        }
        // The store need not be asked about what is at hand.
        let upto = self.urgent_upto;
        let waits = |window: &Window| window.first_origin().is_some_and(|first| first <= upto);
        let at_hand = self.lanes.iter().flat_map(|lane| &lane.windows).any(waits);
        if !at_hand && self.is_settled_upto(upto)? {
            self.urgent_upto = 0;
            self.news = true;
        }
        Ok(self.urgent_upto > 0)
    }

    /// Whether something has happened, since the last call, that a flush or another lane waits for.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}
