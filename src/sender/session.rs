//! What this process's sender knows, behind one lock.
//!
//! The lock is held during a step and never during a request. A step may take as long as the disk
//! does, so the sender's own threads lock it without a deadline, and calls of the application with
//! theirs ([`Shared::session_until`]).

use std::fmt;
use std::mem;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use super::Shared;
use super::election::Election;
use super::state::State;
use super::upkeep::between_ledgers;
use crate::config::{CurrentToken, FileState, UNTOLD};
use crate::dispatch::Note;
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::log::Level;
use crate::mutex::{lock, lock_until};
use crate::spool::{Heartbeat, Spool};
use crate::store;

pub(super) struct Session {
    token: Arc<CurrentToken>,
    open: Option<Open>,
    /// Counts openings, so that an answer is never applied to a state that did not send it.
    generation: u64,
    /// Why nothing can be sent just now, though somebody wants it, and when that was seen last.
    last_error: Option<(Error, Instant)>,
    damage: Option<Damage>,
    /// The next ledger is being made durable: no step may be taken.
    is_ledger_changing: bool,
    /// For the log, once the lock is free.
    notes: Vec<Note>,
}

/// The state, while this process is elected.
struct Open {
    state: State,
    /// How often the token was replaced when the engine was told last.
    token_version: u64,
    /// The state goes before the election does.
    election: Arc<Election>,
}

/// The store that was found damaged, and how: it is not opened again.
#[derive(Clone)]
pub(super) struct Damage {
    ledger: Option<LedgerState>,
    pub(super) error: Error,
}

/// The file that a sender opens, and its state.
pub(super) type LedgerState = (String, FileState);

impl Damage {
    /// Whether the ledger is still the one that was found damaged.
    pub(super) fn lasts(&self, spool: &Spool) -> bool {
        self.ledger == ledger_in_use(spool)
    }
}

/// The file that a sender would open now; `None` where there is none. A repair puts another file in its
/// place, or bytes in it. The folder says less: files that are only set aside come and go in it.
pub(super) fn ledger_in_use(spool: &Spool) -> Option<LedgerState> {
    store::ledger_in_use(spool).map(|(name, about)| (name, FileState::from_stat(&about)))
}

impl Session {
    pub(super) fn new(token: Arc<CurrentToken>) -> Self {
        Self {
            token,
            open: None,
            generation: 0,
            last_error: None,
            damage: None,
            is_ledger_changing: false,
            notes: Vec::new(),
        }
    }

    /// This process is elected, and has opened its state.
    pub(super) fn open(&mut self, state: State, election: Arc<Election>) {
        self.open = Some(Open {
            state,
            // The first step tells the engine if the token is another one than the refused one.
            token_version: UNTOLD,
            election,
        });
        self.generation += 1;
        self.last_error = None;
    }

    /// Drops the state. The next one that opens the store reads what it knows, and the answers to
    /// requests in flight change nothing.
    pub(super) fn close(&mut self) {
        self.take_last_notes();
        self.open = None;
        self.is_ledger_changing = false;
        self.generation += 1;
    }

    /// Keeps for the log what the state has not said yet.
    fn take_last_notes(&mut self) {
        if let Some(open) = &mut self.open {
            let dispatcher = &mut open.state.dispatcher;
            dispatcher.say_untold();
            self.notes.append(&mut dispatcher.take_notes());
        }
    }

    /// The state, while this process is elected.
    pub(super) fn state(&self) -> Option<&State> {
        self.open.as_ref().map(|open| &open.state)
    }

    /// The same, for what is no step: it changes nothing in the store.
    pub(super) fn state_mut(&mut self) -> Option<&mut State> {
        self.open.as_mut().map(|open| &mut open.state)
    }

    /// From now on no step is taken.
    pub(super) fn begin_ledger_change(&mut self) {
        self.is_ledger_changing = true;
    }

    /// Steps go on.
    pub(super) fn end_ledger_change(&mut self) {
        self.is_ledger_changing = false;
    }

    /// Which opening the state is of.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes a step, if this process is elected. After a failed one the state in memory may be ahead
    /// of the store, so it goes: what the store does not know has not happened.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let taken = open
            .tell_token(&self.token)
            .and_then(|()| step(&mut open.state));
        self.notes.append(&mut open.state.dispatcher.take_notes());
        if taken.is_err() {
            self.close();
        }
        taken.map(Some)
    }

    /// Replaces the state by the one that `reopen` makes of it.
    pub(super) fn reopen(&mut self, reopen: impl FnOnce(State) -> Result<State>) -> Result<()> {
        self.take_last_notes();
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.generation += 1;
        let state = reopen(open.state)?;
        self.open(state, open.election);
        Ok(())
    }

    /// Whether the engine has been told of the token that requests carry now.
    pub(super) fn knows_token(&self) -> bool {
        let version = self.token.version();
        self.open
            .as_ref()
            .is_none_or(|open| open.token_version == version)
    }

    /// Notes why nothing is sent just now; says whether that is news.
    fn note_error(&mut self, error: &Error) -> bool {
        let is_news = self
            .last_error
            .as_ref()
            .is_none_or(|(known, _)| known != error);
        self.last_error = Some((error.clone(), Instant::now()));
        is_news
    }

    /// All went well, unless a lane has dropped the state meanwhile.
    pub(super) fn went_well(&mut self) {
        if self.open.is_some() {
            self.last_error = None;
        }
    }

    /// Nothing is known any more to keep this process from sending.
    pub(super) fn forget_error(&mut self) {
        self.last_error = None;
    }

    /// Why nothing can be sent just now.
    pub(super) fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref().map(|(error, _)| error)
    }

    /// The same, if it was seen at `since` or later.
    pub(super) fn last_error_since(&self, since: Instant) -> Option<&Error> {
        let seen = self.last_error.as_ref().filter(|(_, at)| *at >= since);
        seen.map(|(error, _)| error)
    }

    /// Notes that the store is damaged, unless that is known.
    fn note_damage(&mut self, ledger: Option<LedgerState>, error: &Error) {
        self.damage.get_or_insert_with(|| Damage {
            ledger,
            error: error.clone(),
        });
    }

    /// The store that was found damaged.
    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The damaged store was replaced.
    pub(super) fn forget_damage(&mut self) {
        self.damage = None;
    }

    /// Leaves a note for the log.
    pub(super) fn say(&mut self, level: Level, message: fmt::Arguments<'_>) {
        self.notes.push(Note::new(level, message));
    }
}

impl Open {
    /// Tells the engine that requests carry another token now, if they do.
    fn tell_token(&mut self, token: &CurrentToken) -> Result<()> {
        let version = token.version();
        if self.token_version != version {
            let dispatcher = &mut self.state.dispatcher;
            if token.differs_from(dispatcher.refused_token.as_deref()) {
                dispatcher.token_replaced()?;
            }
            self.token_version = version;
        }
        Ok(())
    }
}

impl Shared {
    /// For the sender's own threads; waits while the next ledger is made durable.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        let steady = || Some(self.session_now()).filter(|session| !session.is_ledger_changing);
        between_ledgers(None, steady).unwrap_or_else(|| self.session_now())
    }

    /// For the thread that changes the ledger.
    pub(super) fn session_now(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// For calls of the application, which end by their deadline.
    ///
    /// Errors: [`ErrorKind::Timeout`].
    pub(super) fn session_until(&self, deadline: Instant) -> Result<MutexGuard<'_, Session>> {
        let steady = || {
            let session = lock_until(&self.session, deadline)?;
            (!session.is_ledger_changing).then_some(session)
        };
        between_ledgers(Some(deadline), steady).ok_or_else(|| {
            let name = self.spool.name();
            let what = "the sender is in the middle of a long step; try again";
            Error::new(ErrorKind::Timeout, format!("{name}: {what}"))
        })
    }

    /// Takes a step of a thread of the sender; see [`Session::step`].
    pub(super) fn step<T>(&self, step: impl FnOnce(&mut State) -> Result<T>) -> Result<Option<T>> {
        if self.is_of_parent() {
            let what = "this process was forked in a callback of the log";
            return Err(Error::new(ErrorKind::Internal, what));
        }
        let mut session = self.session();
        let taken = session.step(step);
        self.release(session);
        taken
    }

    /// Releases the lock, and then writes the notes to the log: the callback of an application may
    /// be slow.
    pub(super) fn release(&self, mut session: MutexGuard<'_, Session>) {
        let notes = mem::take(&mut session.notes);
        drop(session);
        for note in notes {
            note.write(&self.log);
        }
    }

    /// Notes why nothing is sent just now, for callers, and logs it when it is news.
    pub(super) fn note_error(&self, error: &Error) {
        // It would hide why the store was closed.
        if *error == self.was_closed() {
            return;
        }
        self.note_damage(error, || ledger_in_use(&self.spool));
        // A full disk is the moment that the reserve is for.
        let is_full = error.kind() == ErrorKind::SpoolFull;
        let released = is_full.then(|| self.spool.reserve().release());
        let mut session = self.session();
        if let Some(Err(e)) = released {
            session.say(Level::Error, format_args!("{e}"));
        }
        if session.note_error(error) {
            session.say(Level::Error, format_args!("{error}"));
        }
        self.release(session);
        self.threads.notify();
    }

    /// Notes that the store is damaged, if `error` says so and it is not known, and tells other processes.
    pub(super) fn note_damage(&self, error: &Error, ledger: impl FnOnce() -> Option<LedgerState>) {
        let is_damage = error.pause_reason() == Some(PauseReason::StoreDamaged);
        if !is_damage || self.session().damage().is_some() {
            return;
        }
        let ledger = ledger();
        // Before a caller can learn of it and ask since when.
        let publishing = lock(&self.publishing);
        let paused = Heartbeat::paused(&self.spool, error.pause_reason());
        let published = paused.and_then(|heartbeat| heartbeat.write(&self.spool));
        drop(publishing);
        published.unwrap_or_else(|e| self.log.error(format_args!("{e}")));
        self.session().note_damage(ledger, error);
    }
}
