//! The sender: the I/O shell around [`crate::delivery`].
//!
//! One thread *coordinates*: it wins the election, takes the journal over, carries out commands and
//! beats the heart; one thread for each lane sends. Both work on one [`State`] behind one lock that
//! is never held during a request, and callers of `flush` only wait for that state to change, so
//! every call can keep its deadline whatever the network does.
//!
//! The threads run while somebody wants them: the background sender of `role = both`, or a `flush`.
//!
//! The files below import this one for [`Shared`], which owns all that they work on, and this one
//! imports them for the parts of it. A file of its own for `Shared` would only hide that circle.

mod commands;
mod coordinate;
pub(crate) mod election;
mod file_state;
mod flush;
mod lane;
mod reclaim;
mod rejected;
mod state;
mod succession;
mod take_over;
mod token;
mod translate;
mod trouble;
mod vitals;
mod wake;
mod window;
mod wishes;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

pub(crate) use commands::Command;
pub use election::Elected;
pub use flush::Report;
pub(crate) use state::Orders;
pub(crate) use take_over::lane_of;
pub(crate) use token::Token;
pub use vitals::{Standing, Vitals};

use self::commands::{Heir, Submitted};
use self::election::Seat;
use self::file_state::FileState;
use self::state::{Note, State};
use self::vitals::{GLANCE, Pulse};
use crate::clock;
use crate::config::LANES_MAX;
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::log::Log;
use crate::mutex::{lock, lock_until, wait};
use crate::process::spawn_with_signals_blocked;
use crate::spool::Spool;
use crate::store::sqlite::SqliteStore;
use crate::transport::{self, Transport};

/// How long an operator's command waits for another process's sender.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// Delivers what waits in one spool, when this process is the one elected.
pub(crate) struct Sender {
    shared: Arc<Shared>,
}

/// What the threads and the callers share.
struct Shared {
    spool: Arc<Spool>,
    log: Arc<Log>,
    orders: Orders,
    connection: transport::Options,
    transport: OnceCell<Transport>,
    token: Token,
    flush_interval: Duration,
    pulse: Pulse,
    desk: Mutex<Desk>,
    /// Rings whenever the desk has changed.
    changed: Condvar,
    enqueued_since_look: AtomicUsize,
    /// This process's sender has been rung for and has not looked yet.
    is_rung: AtomicBool,
}

#[derive(Default)]
struct Desk {
    /// Open while this process is elected.
    state: Option<State>,
    /// Counts openings, so that an answer is never applied to a state that did not send it.
    generation: u64,
    /// How many want the threads to run.
    wanted: usize,
    coordinating: bool,
    /// Which lanes have a thread.
    lanes: [bool; LANES_MAX as usize],
    /// Why nothing can be sent just now, though somebody wants it, and when that was seen last.
    trouble: Option<(Error, Instant)>,
    /// The store that was found damaged, and how: it is not opened again.
    damaged: Option<(Option<FileState>, Error)>,
    /// For the log, once the desk is free.
    notes: Vec<Note>,
}

impl Desk {
    /// Takes a step, if this process is elected. After a failed one the state in memory may be ahead
    /// of the store, so it goes: only what the store knows has happened, for whoever opens it next.
    fn step<T>(&mut self, step: impl FnOnce(&mut State) -> Result<T>) -> Result<Option<T>> {
        let Some(state) = &mut self.state else {
            return Ok(None);
        };
        let taken = step(state);
        self.notes.append(&mut state.take_notes());
        if taken.is_err() {
            self.drop_state();
        }
        taken.map(Some)
    }

    /// The store is read again by whoever opens it next; answers on their way find nobody.
    fn drop_state(&mut self) {
        self.state = None;
        self.generation += 1;
    }
}

impl Sender {
    pub(crate) fn new(
        spool: Arc<Spool>,
        log: Arc<Log>,
        orders: Orders,
        connection: transport::Options,
        token: Token,
        flush_interval: Duration,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                spool,
                log,
                orders,
                connection,
                transport: OnceCell::new(),
                token,
                flush_interval,
                pulse: Pulse::new(),
                desk: Mutex::default(),
                changed: Condvar::new(),
                enqueued_since_look: AtomicUsize::new(0),
                is_rung: AtomicBool::new(false),
            }),
        }
    }

    /// The token that requests carry.
    pub(crate) fn token(&self) -> &Token {
        &self.shared.token
    }

    /// Wants the threads to run until [`release`](Self::release) was called as often.
    pub(crate) fn want(&self) -> Result<()> {
        let mut desk = lock(&self.shared.desk);
        desk.wanted += 1;
        if desk.coordinating {
            return Ok(());
        }
        let shared = self.shared.clone();
        let body = move || shared.through_panics(|| coordinate::run(&shared));
        let started = spawn_with_signals_blocked("meditopia", Box::new(body));
        match started {
            Ok(()) => {
                desk.coordinating = true;
                // What stopped the last ones may be mended by now.
                desk.trouble = None;
                Ok(())
            }
            Err(e) => {
                desk.wanted -= 1;
                Err(Error::io("start of the sender's thread", e))
            }
        }
    }

    /// Wants it no more. The threads end once nobody does and their requests are answered.
    pub(crate) fn release(&self) {
        let mut desk = lock(&self.shared.desk);
        desk.wanted = desk.wanted.saturating_sub(1);
        let last = desk.wanted == 0;
        drop(desk);
        self.shared.changed.notify_all();
        if last {
            wake::ring(&self.shared.spool, wake::Ring::Look);
        }
    }

    /// Waits until the threads have ended, at most until `deadline`; says whether they have.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        let mut desk = lock(&self.shared.desk);
        while desk.coordinating && desk.wanted == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            desk = wait(&self.shared.changed, desk, left);
        }
        true
    }

    /// Events were enqueued by this process: has the sender look when a batch is full.
    pub(crate) fn enqueued(&self, events: usize) {
        let batch = self.shared.orders.policy.batch_max;
        let before = self
            .shared
            .enqueued_since_look
            .fetch_add(events, Ordering::Relaxed);
        let full = before / batch != (before + events) / batch;
        // Its next look answers the rings that come until then as well.
        if full && !self.shared.is_rung.swap(true, Ordering::SeqCst) {
            wake::ring(&self.shared.spool, wake::Ring::Look);
        }
    }

    /// Replaces the token that requests carry; a pause for the old one ends.
    pub(crate) fn replace_token(&self, token: crate::config::BearerToken) -> Result<()> {
        if self.shared.token.replace(token) {
            self.shared.token_replaced()?;
        }
        Ok(())
    }

    /// Carries out `command`: here if this process is elected or nobody is, else by the sender.
    pub(crate) fn command(&self, command: &Command) -> Result<usize> {
        let shared = &self.shared;
        let here = shared.carry_out(command)?;
        if let Some(changed) = here {
            shared.changed.notify_all();
            return Ok(changed);
        }
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        let mut seat = Seat::try_take(&shared.spool)?;
        loop {
            let heir = match seat.take() {
                Some(seat) => match self.carry_out_as(&seat, command)? {
                    Some(changed) => return Ok(changed),
                    None => Heir::SomebodyElse,
                },
                None => Heir::ThisProcess,
            };
            match self.submit(command, deadline, heir)? {
                Submitted::Answered(changed) => return Ok(changed),
                Submitted::Vacant(free) => seat = Some(free),
            }
        }
    }

    /// Carries `command` out in the place of a sender; `None` in a child of a process with an open store,
    /// which asks like everybody else.
    fn carry_out_as(&self, _seat: &Seat, command: &Command) -> Result<Option<usize>> {
        match self.shared.open_state() {
            Ok(mut state) => wishes::in_steps(command, |step| {
                state.carry_out(step, clock::now()).map(Some)
            }),
            Err(e) if e.kind() == ErrorKind::Forked => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn submit(&self, command: &Command, deadline: Instant, heir: Heir) -> Result<Submitted> {
        let spool = &self.shared.spool;
        match commands::submit(spool, command, deadline, heir) {
            // An operator must be able to act on a full disk of all days.
            Err(e) if e.kind() == ErrorKind::SpoolFull => {
                spool.reserve().release()?;
                commands::submit(spool, command, deadline, heir)
            }
            done => done,
        }
    }

    /// Whether this process has found the store damaged, and it still is the same one.
    pub(crate) fn found_damage(&self) -> Option<PauseReason> {
        // Whoever is busy with the store has not found it damaged.
        let desk = lock_until(&self.shared.desk, Instant::now() + GLANCE)?;
        let (file, error) = desk.damaged.as_ref()?;
        let reason = error.pause_reason();
        reason.filter(|_| *file == FileState::of(&self.shared.spool.store_path()))
    }

    /// Whether it is alive, and what it is to its spool.
    pub(crate) fn vitals(&self) -> Vitals {
        vitals::look(&self.shared)
    }

    /// The sums of the store, if this process is elected and they can be looked at until `deadline`.
    pub(crate) fn sums(&self, deadline: Instant) -> Option<crate::store::Totals> {
        let desk = lock_until(&self.shared.desk, deadline)?;
        desk.state.as_ref().map(|state| state.totals)
    }
}

impl Drop for Sender {
    /// Nobody is left to release the threads.
    fn drop(&mut self) {
        let mut desk = lock(&self.shared.desk);
        let running = std::mem::take(&mut desk.wanted) > 0;
        drop(desk);
        if running {
            self.shared.changed.notify_all();
            wake::ring(&self.shared.spool, wake::Ring::Look);
        }
    }
}

impl Shared {
    fn open_state(&self) -> Result<State> {
        // Sound rows of a damaged store could be sent in the meantime, but in which order?
        let mut desk = lock(&self.desk);
        if let Some((file, error)) = &desk.damaged {
            if *file == FileState::of(&self.spool.store_path()) {
                return Err(error.clone());
            }
            desk.damaged = None;
        }
        drop(desk);
        let store = SqliteStore::open(&self.spool)?;
        let mut state = State::open(Box::new(store), self.orders.clone(), self.log.clone())?;
        if self.token.differs_from(state.refused_token.as_deref()) {
            state.token_replaced()?;
        }
        Ok(state)
    }

    /// The HTTPS client, made at the first request. What it cannot be made of now may be there later.
    fn transport(&self) -> Result<&Transport> {
        self.transport
            .get_or_try_init(|| Transport::new(&self.connection))
    }

    /// Carries out a command, if this process is elected; says how many rows it changed.
    fn carry_out(&self, command: &Command) -> Result<Option<usize>> {
        wishes::in_steps(command, |step| {
            self.on_state(|state| state.carry_out(step, clock::now()))
        })
    }

    /// Tells the engine that requests carry another token now.
    fn token_replaced(&self) -> Result<()> {
        self.on_state(State::token_replaced)?;
        self.changed.notify_all();
        Ok(())
    }

    /// Takes a step at the desk; see [`Desk::step`].
    fn on_state<T>(&self, step: impl FnOnce(&mut State) -> Result<T>) -> Result<Option<T>> {
        let mut desk = lock(&self.desk);
        let taken = desk.step(step);
        drop(self.tell(desk));
        taken
    }

    /// Writes the desk's notes to the log, without the lock: a host's callback may be slow.
    fn tell<'a>(&'a self, mut desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        while !desk.notes.is_empty() {
            let notes = std::mem::take(&mut desk.notes);
            drop(desk);
            for note in notes {
                note.write(&self.log);
            }
            desk = lock(&self.desk);
        }
        desk
    }

    fn drop_state(&self) {
        lock(&self.desk).drop_state();
    }

    /// Bytes of events that are pending in the store.
    fn pending_bytes(&self) -> u64 {
        let desk = lock(&self.desk);
        desk.state
            .as_ref()
            .map_or(0, |state| state.totals.pending_bytes)
    }

    /// Whether the journal holds more than the disk has room for in the store.
    fn is_hungry(&self) -> bool {
        let desk = lock(&self.desk);
        desk.state.as_ref().is_some_and(|state| state.hungry)
    }
}

#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod tests;
