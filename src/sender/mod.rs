//! The sender: the I/O shell around [`crate::dispatch`].
//!
//! One thread *coordinates*: it wins the election, takes the journal over, carries out commands and
//! publishes the heartbeat; one thread for each lane sends. Both work on one [`Session`] behind one
//! lock that is never held during a request, and callers of `flush` only wait for it to change, so
//! every call can keep its deadline whatever the network does.
//!
//! The threads run while somebody wants them ([`Wanted`]): the background sender of `role = both`,
//! or a `flush`.
//!
//! The files below import this one for [`Shared`], which owns all that they work on, and this one
//! imports them for the parts of it. A file of its own for `Shared` would only hide that circle.

mod commands;
mod coordinate;
pub(crate) mod election;
mod erasure;
mod flush;
#[cfg(feature = "internals")]
pub(crate) mod forward;
mod lane;
mod publisher;
mod reclaim;
mod session;
mod state;
mod take_over;
mod threads;
mod upkeep;
mod vitals;
mod wake;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

pub(crate) use commands::bad_ones_naming as bad_commands_naming;
pub use election::Elected;
pub use flush::Report;
pub(crate) use threads::Wanted;
pub(crate) use vitals::LOOK_WAIT;
pub use vitals::{Standing, Vitals};

use self::election::{Election, OwnElection};
use self::session::{Damage, Session};
use self::state::State;
use self::threads::Threads;
use self::vitals::Liveness;
use crate::config::{BearerToken, CurrentToken};
use crate::dispatch::{self, Command};
use crate::error::{Error, PauseReason, Result};
use crate::log::Log;
use crate::process::{Owner, spawn_with_signals_blocked};
use crate::spool::Spool;
use crate::store::{CommitSafety, LogStore};
use crate::transport::{self, Transport};

/// How long an operator's command waits for the sender.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// What the configuration says about a sender's work.
#[derive(Debug, Clone)]
pub(crate) struct SenderOptions {
    pub(crate) dispatch: dispatch::Options,
    pub(crate) safety: CommitSafety,
}

/// Delivers what waits in one spool, when this process is the one elected.
pub(crate) struct Sender {
    shared: Arc<Shared>,
}

/// What the threads and the callers share.
struct Shared {
    owner: Owner,
    spool: Arc<Spool>,
    log: Arc<Log>,
    options: SenderOptions,
    connection: transport::Options,
    transport: OnceCell<Transport>,
    token: Arc<CurrentToken>,
    flush_interval: Duration,
    liveness: Liveness,
    threads: Threads,
    session: Mutex<Session>,
    own_election: OwnElection,
    /// Held while a heartbeat is made and written, so that none replaces one that knows more. It is
    /// taken before the session's lock.
    publishing: Mutex<()>,
    enqueued_since_look: AtomicUsize,
    /// This process has woken its sender, which has not looked yet.
    wake_is_sent: AtomicBool,
    /// Files that were no commands.
    bad_commands: AtomicUsize,
}

impl Sender {
    pub(crate) fn new(
        spool: Arc<Spool>,
        log: Arc<Log>,
        options: SenderOptions,
        connection: transport::Options,
        token: CurrentToken,
        flush_interval: Duration,
    ) -> Self {
        let token = Arc::new(token);
        Self {
            shared: Arc::new(Shared {
                owner: Owner::current(),
                spool,
                log,
                options,
                connection,
                transport: OnceCell::new(),
                token: token.clone(),
                flush_interval,
                liveness: Liveness::new(),
                threads: Threads::default(),
                session: Mutex::new(Session::new(token)),
                own_election: OwnElection::default(),
                publishing: Mutex::new(()),
                enqueued_since_look: AtomicUsize::new(0),
                wake_is_sent: AtomicBool::new(false),
                bad_commands: AtomicUsize::new(0),
            }),
        }
    }

    /// The token that requests carry.
    pub(crate) fn token(&self) -> &CurrentToken {
        &self.shared.token
    }

    /// Wants the threads to run, until the value is dropped. Waits for nothing.
    ///
    /// Errors: [`ErrorKind::Io`](crate::error::ErrorKind::Io) if no thread can be started.
    pub(crate) fn want(&self) -> Result<Wanted> {
        let shared = self.shared.clone();
        let body = move || {
            // What stopped the last threads may be mended by now.
            shared.session().forget_error();
            shared.run_again_after_panics(|| coordinate::run(&shared));
        };
        let spawn = || spawn_with_signals_blocked("meditopia", Box::new(body));
        let added = self.shared.threads.add_wanted(spawn);
        added.map_err(no_thread)?;
        Ok(Wanted::counted(&self.shared))
    }

    /// Waits until the threads have ended, at most until `deadline`; says whether they have.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        self.shared.threads.wait_ended(deadline)
    }

    /// Events were enqueued by this process: has the sender look when a batch is full.
    pub(crate) fn enqueued(&self, events: usize) {
        let batch = self.shared.options.dispatch.policy.batch_max;
        let before = self
            .shared
            .enqueued_since_look
            .fetch_add(events, Ordering::Relaxed);
        let full = before / batch != (before + events) / batch;
        // The next look answers all that comes until then as well.
        if full && !self.shared.wake_is_sent.swap(true, Ordering::SeqCst) {
            wake::send(&self.shared.spool, wake::Wake::Look);
        }
    }

    /// Replaces the token that requests carry. Returns at once: the sender's next step ends a pause
    /// for the old one.
    pub(crate) fn replace_token(&self, token: BearerToken) {
        if self.shared.token.replace(token) {
            self.shared.threads.notify();
            wake::send(&self.shared.spool, wake::Wake::Look);
        }
    }

    /// Has the elected process carry `command` out, or this one if none is; says how many rows it
    /// changed.
    pub(crate) fn command(&self, command: &Command) -> Result<usize> {
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        Ok(self.shared.command(command, deadline)?.changed)
    }

    /// Whether this process has found the store damaged, and it still is the same one. Waits for a
    /// step for a moment at most, and not beyond `deadline`.
    pub(crate) fn found_damage(&self, deadline: Instant) -> Option<PauseReason> {
        // A sender that is busy with the store has not found it damaged.
        let deadline = deadline.min(Instant::now() + LOOK_WAIT);
        let session = self.shared.session_until(deadline).ok()?;
        let damage = session.damage()?.clone();
        drop(session);
        let reason = damage.error.pause_reason();
        reason.filter(|_| damage.lasts(&self.shared.spool))
    }

    /// Whether it is alive, and what it is to its spool.
    pub(crate) fn vitals(&self) -> Vitals {
        vitals::look(&self.shared)
    }

    /// The sums of the store, if this process is elected and they can be looked at until `deadline`.
    pub(crate) fn sums(&self, deadline: Instant) -> Option<crate::store::Totals> {
        let session = self.shared.session_until(deadline).ok()?;
        session.state().map(|state| state.dispatcher.totals)
    }
}

/// The error of a thread that cannot be started.
#[cold]
fn no_thread(cause: std::io::Error) -> Error {
    Error::io("start of a thread that sends", cause)
        .with_note("; what waits is kept; raise the limit of threads (ulimit -u, pids.max)")
}

impl Shared {
    /// Whether the caller runs in a child that a callback of the application has forked, on a copy of
    /// a thread of this sender. There the thread ends: all that it works on is the parent's.
    fn is_of_parent(&self) -> bool {
        !self.owner.is_current()
    }

    /// Opens the store as the elected one, unless it is the one that was found damaged.
    fn open_state(&self, _election: &Election, damage: Option<Damage>) -> Result<State> {
        // Sound rows of a damaged store could be sent in the meantime, but in which order?
        if let Some(damage) = damage {
            if damage.lasts(&self.spool) {
                return Err(damage.error);
            }
            self.session().forget_damage();
        }
        let store = LogStore::open(&self.spool)?;
        State::open(
            Box::new(store),
            self.options.dispatch.clone(),
            self.log.clone(),
        )
    }

    /// The HTTPS client, made at the first request. What it cannot be made of now may be there later.
    fn transport(&self) -> Result<&Transport> {
        self.transport
            .get_or_try_init(|| Transport::new(&self.connection))
    }
}

#[cfg(test)]
impl Sender {
    /// Calls `during` while a step takes as long as that does.
    pub(crate) fn in_a_long_step<T>(&self, during: impl FnOnce() -> T) -> T {
        let _step = self.shared.session();
        during()
    }

    /// Calls `during` while a thread holds each lock of the sender, and one makes the transport.
    pub(crate) fn while_locked<T>(&self, during: impl FnOnce() -> T) -> T {
        let shared = &self.shared;
        let _publishing = crate::mutex::lock(&shared.publishing);
        let (_session, _threads) = (shared.session(), shared.threads.locked());
        let mut returned = None;
        let _ = shared.transport.get_or_try_init(|| {
            returned = Some(during());
            Err(())
        });
        returned.expect("the transport is made only now")
    }
}

#[cfg(test)]
mod tests;
