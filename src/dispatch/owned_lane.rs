//! The lane of a store that several processes share, for the one that owns it.
//!
//! To a [`Dispatcher`] such a store has one lane, the first. What concerns several lanes of the owner - pauses,
//! pacing, the count of refused users - the owner says before each step: [`Share`].
//!
//! After an error of any method the lane in memory may be ahead of the store: drop it and open it again. What the
//! store does not know has not happened.

use std::sync::Arc;
use std::time::Duration;

use super::{Command, Dispatcher, Next, Options, Sent, Then};
use crate::clock::Moment;
use crate::config::{CurrentToken, Settings};
use crate::delivery::pause::is_shared;
use crate::delivery::{Pause, Policy};
use crate::error::Result;
use crate::log::Log;
use crate::store::{Place, Store, Totals};

/// The only lane that a dispatcher of one lane has.
const LANE: usize = 0;

/// What the configuration says about the work of a lane.
#[derive(Debug, Clone)]
pub struct LaneOptions {
    /// How delivery is configured. The number of lanes and the pacing are the owner's matter and not used.
    pub policy: Policy,
    /// How long an event may wait until it goes to the rejected events; `None`: for ever.
    pub event_ttl: Option<Duration>,
    /// How long receipts are kept; `None`: not at all.
    pub receipts_kept: Option<Duration>,
}

impl LaneOptions {
    /// What these settings say.
    pub fn of(settings: &Settings) -> Self {
        let Options {
            policy,
            event_ttl,
            receipts_kept,
        } = Options::of(settings);
        Self {
            policy,
            event_ttl,
            receipts_kept,
        }
    }
}

/// What all lanes of one owner have in common, as it is before a step.
#[derive(Debug, Clone, Default)]
pub struct Share {
    /// The pause that stops all of them.
    pub pause: Option<Pause>,
    /// With `pause`, if the API has refused a token: what tells that token from others.
    pub refused_token: Option<Vec<u8>>,
    /// Whether this lane's next request may probe the pause, or its request in flight does.
    pub may_probe: bool,
    /// No request before this moment.
    pub not_before: Option<Moment>,
    /// Whether any user is counted as refused, by whichever lane. An acceptance ends that count.
    pub any_refused: bool,
}

/// The lane, open.
pub struct OwnedLane {
    dispatcher: Dispatcher<dyn Store>,
    tokens: Arc<CurrentToken>,
    log: Arc<Log>,
}

impl OwnedLane {
    /// Reads what the last owner left. A pause that it shared with its other lanes was its own: it ends here.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn open(
        store: Box<dyn Store>,
        options: &LaneOptions,
        tokens: Arc<CurrentToken>,
        log: Arc<Log>,
    ) -> Result<Self> {
        let options = Options {
            policy: Policy {
                lanes: 1,
                max_requests_per_s: None,
                ..options.policy.clone()
            },
            event_ttl: options.event_ttl,
            receipts_kept: options.receipts_kept,
        };
        let mut dispatcher = Dispatcher::open(store, options, log.clone())?;
        dispatcher.engine.share_pause(None, false);
        Ok(Self {
            dispatcher,
            tokens,
            log,
        })
    }

    /// Settles `sent`, and [decides](Then::Decide) what is next. After [`Next::Send`] the batch is in doubt in the
    /// store, and `body` is to be sent.
    ///
    /// # Errors
    /// As [`Store::commit`]. Nothing may be sent.
    pub fn step(
        &mut self,
        share: &Share,
        sent: Option<&Sent>,
        then: Then,
        body: &mut Vec<u8>,
    ) -> Result<Next> {
        let dispatcher = &mut self.dispatcher;
        if share.pause.is_some() {
            dispatcher.refused_token.clone_from(&share.refused_token);
        }
        let engine = &mut dispatcher.engine;
        engine.share_pause(share.pause.as_ref(), share.may_probe);
        engine.not_before(share.not_before);
        if share.any_refused && sent.is_some() {
            // Also an acceptance here ends what other lanes have counted.
            dispatcher.recount_refused()?;
        }
        let stepped = dispatcher.step(LANE, sent, &self.tokens, then, body);
        self.write_notes();
        stepped
    }

    /// The request in flight needs a connection, or has been given one at `connected`; `is_in_doubt` is what the
    /// last call has returned, or `true`. The batch is in doubt in the store if this returns `true`.
    ///
    /// # Errors
    /// As [`Store::commit`]. The request must not leave.
    pub fn connect(&mut self, connected: Option<Moment>, is_in_doubt: bool) -> Result<bool> {
        let noted = self.dispatcher.connect(LANE, connected, is_in_doubt);
        self.write_notes();
        noted
    }

    /// Runs may have come to the end of the regular queue, or events back to it.
    pub fn appended(&mut self) {
        self.dispatcher.appended(Place { lane: 0, queue: 0 });
    }

    /// Carries out what an operator asks of this lane, each step by itself; says how many rows were changed.
    ///
    /// # Errors
    /// As [`Store::commit`]; those of the command, after which nothing was changed.
    pub fn carry_out(&mut self, command: &Command, now: Moment) -> Result<usize> {
        if matches!(command, Command::Resume | Command::ResumeAllowing { .. }) {
            // So that the count ends everywhere.
            self.dispatcher.recount_refused()?;
        }
        let dispatcher = &mut self.dispatcher;
        let changed = super::in_steps(command, |next| dispatcher.carry_out(next, now).map(Some));
        self.write_notes();
        Ok(changed?.unwrap_or(0))
    }

    /// The pause that this lane knows of.
    pub fn pause(&self) -> Option<&Pause> {
        self.dispatcher.engine.pause_state()
    }

    /// The same, if it stops other lanes as well.
    pub fn shared_pause(&self) -> Option<&Pause> {
        self.pause().filter(|pause| is_shared(pause.reason))
    }

    /// What tells the token that the API refused last from others.
    pub fn refused_token(&self) -> Option<&[u8]> {
        self.dispatcher.refused_token.as_deref()
    }

    /// The sums, as the last commit left them. What is pending may be more: others append.
    pub fn totals(&self) -> Totals {
        self.dispatcher.totals
    }

    /// Why the last request came to nothing, if it did.
    pub fn last_failure(&self) -> Option<&str> {
        self.dispatcher.last_failure.as_deref()
    }

    /// When the API last answered a request of this lane, and when it last accepted one: wall time in milliseconds.
    pub fn answered_and_accepted_ms(&self) -> (Option<i64>, Option<i64>) {
        (self.dispatcher.answered_ms, self.dispatcher.accepted_ms)
    }

    fn write_notes(&mut self) {
        for note in self.dispatcher.take_notes() {
            note.write(&self.log);
        }
    }
}

impl Drop for OwnedLane {
    fn drop(&mut self) {
        self.dispatcher.say_untold();
        self.write_notes();
    }
}
