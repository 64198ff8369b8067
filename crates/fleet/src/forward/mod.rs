//! A host's half of the fleet: hands the events of one spool to the database, each exactly once.
//!
//! The journal is read as a sender takes it over. Parcels of up to 100 events and how far the journal is
//! forwarded with them are one statement, which counts on the step that the spool has in the database. So a
//! statement whose outcome is not known is never guessed at: the step is read again, and says it.
//!
//! One connection, which is closed after 30 s without events. While the database is away the journal keeps
//! everything, bounded by `max_spool_bytes`.

mod connecting;
mod settings;
mod stop;
mod trouble;
mod waiting;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meditopia::internals::client::{Forwarding, Keep};
use meditopia::internals::clock::BootTime;
use meditopia::{Client, ErrorKind, LogLevel as Level};

pub use self::settings::Settings;
pub use self::stop::Stop;
pub use self::trouble::Trouble;
use crate::address::Address;
use crate::connection::Connection;

/// How often another forwarder of the spool is looked at.
const STAND_BY_EVERY: Duration = Duration::from_millis(300);
/// A process that has a spool says so at least every second.
const ALIVE_EVERY: Duration = Duration::from_millis(500);

/// How a spool is forwarded.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database.
    pub address: Address,
    /// The endpoint and account that the spool's events are for: those of the fleet.
    pub endpoint: String,
    /// The account.
    pub account: String,
    /// The name of this host in lists.
    pub host: String,
    /// How long an event waits at most until it is handed over.
    pub interval: Duration,
    /// What of the forwarded events the journal keeps.
    pub keep: Keep,
}

/// What a forwarder is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Go on until it is stopped.
    Stay,
    /// Hand over what was enqueued before, and end.
    Once,
    /// The same, and mark the spool as not used any more.
    Close,
    /// The same, and then have a sender of this host send from the spool again.
    Leave,
}

/// How it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was enqueued before is handed over.
    Done,
    /// It was stopped, or its time is over: the next one goes on.
    Left,
    /// Its time is over, and another process has had the spool all the while.
    Occupied {
        /// Whether that one forwards; otherwise it sends.
        forwards: bool,
    },
}

/// What is logged.
pub type Say<'a> = &'a (dyn Fn(Level, &str) + Sync);

/// Forwards the spool of `client`.
pub struct Forwarder<'a> {
    client: &'a Client,
    options: Options,
    stop: &'a Stop,
    say: Say<'a>,
    connection: Option<Connection>,
    last_used: Instant,
    /// It has carried nothing since the last wait for events.
    is_idle: bool,
    /// Attempts that failed in a row, and when that was logged last.
    failures: u32,
    said: Option<Instant>,
    forwarded: u64,
}

impl<'a> Forwarder<'a> {
    /// It connects only once it runs.
    pub fn new(client: &'a Client, options: Options, stop: &'a Stop, say: Say<'a>) -> Self {
        Self {
            client,
            options,
            stop,
            say,
            connection: None,
            last_used: Instant::now(),
            is_idle: false,
            failures: 0,
            said: None,
            forwarded: 0,
        }
    }

    /// How many events it has handed over.
    pub fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// Runs until the goal is reached, it is stopped, or `deadline` has passed.
    ///
    /// # Errors
    /// What trying again does not help against, and at the deadline what failed last.
    pub fn run(&mut self, goal: Goal, deadline: Option<Instant>) -> Result<End, Trouble> {
        loop {
            match self.run_with_spool(goal, deadline) {
                Err(Trouble::Spool(error)) if goal == Goal::Stay => {
                    // A full disk is the moment that the reserve is for.
                    let is_full = error.kind() == ErrorKind::SpoolFull;
                    let trouble = Trouble::Spool(error);
                    if !trouble.may_pass() {
                        return Err(trouble);
                    }
                    self.say_failure(&trouble.to_string());
                    if is_full {
                        self.client.release_reserve()?;
                    }
                    if self.rest(self.wait_after_failure(), None) {
                        return Ok(End::Left);
                    }
                }
                ended => return ended,
            }
        }
    }

    fn run_with_spool(&mut self, goal: Goal, deadline: Option<Instant>) -> Result<End, Trouble> {
        let shown = self.options.address.shown().to_string();
        let since = self.client.spool_time()?;
        let mut is_said = false;
        let journal = loop {
            if let Some(journal) = self.client.forwarding(&shown)? {
                break journal;
            }
            if let Some(end) = self.leave_to_another(goal, since)? {
                return Ok(end);
            }
            if goal == Goal::Stay && !is_said {
                self.say(
                    Level::Info,
                    "another process has the spool; this one replaces it when it ends",
                );
                is_said = true;
            }
            let is_stopped = self.rest(STAND_BY_EVERY, None);
            if is_stopped || is_over(deadline) {
                self.give_up_asking(goal)?;
                let forwards = self.client.forwarded()?.is_some();
                // A forwarder goes on with what it was asked for. Nobody else does, and none leaves for another one.
                let goes_on = is_stopped || (forwards && goal != Goal::Leave);
                return Ok(match goes_on {
                    true => End::Left,
                    false => End::Occupied { forwards },
                });
            }
        };
        // It has ended meanwhile, and has not done it.
        self.give_up_asking(goal)?;
        if goal == Goal::Stay {
            self.say(Level::Info, &format!("forwarding to {shown}"));
        }
        let journal = Mutex::new(journal);
        let ended = Stop::default();
        let left = std::thread::scope(|scope| {
            // Statements may take long. Without this thread only the sign of life is missing.
            let _ = std::thread::Builder::new()
                .name("alive".to_owned())
                .spawn_scoped(scope, || {
                    while !ended.wait(ALIVE_EVERY) {
                        let _ = lock(&journal).alive();
                    }
                });
            let left = self.work(&journal, goal, deadline);
            ended.ask();
            left
        });
        let end = left?;
        if (goal, end) == (Goal::Leave, End::Done) {
            let journal = journal.into_inner();
            journal.unwrap_or_else(PoisonError::into_inner).leave()?;
        }
        Ok(end)
    }

    /// Another process has the spool: it does what is asked for, if it is a forwarder.
    fn leave_to_another(&self, goal: Goal, since: BootTime) -> Result<Option<End>, Trouble> {
        let Some(theirs) = self.client.forwarded()? else {
            return Ok(None);
        };
        match goal {
            Goal::Once => {
                self.client.forwarder_waker()?.wake();
                Ok((theirs.upto >= since).then_some(End::Done))
            }
            Goal::Close if theirs.record.closed && theirs.upto >= since => Ok(Some(End::Done)),
            Goal::Close => {
                if !self.client.is_asked_to_close()? {
                    self.client.ask_to_close()?;
                }
                Ok(None)
            }
            Goal::Stay | Goal::Leave => Ok(None),
        }
    }

    fn give_up_asking(&self, goal: Goal) -> Result<(), Trouble> {
        match goal {
            Goal::Close => Ok(self.client.take_back_close()?),
            _ => Ok(()),
        }
    }

    fn work(
        &mut self,
        journal: &Mutex<Forwarding>,
        goal: Goal,
        deadline: Option<Instant>,
    ) -> Result<End, Trouble> {
        self.connection = None;
        let mut is_last = false;
        loop {
            match self.pass(journal, goal, deadline) {
                Ok(end) if goal != Goal::Stay => return Ok(end),
                Ok(_) => {}
                Err(Trouble::Store(failure)) => {
                    lock(journal).failed(failure.message())?;
                    self.connection = None;
                    let trouble = Trouble::Store(failure);
                    let asks_for_end = goal != Goal::Stay && trouble.is_misconfigured();
                    if !trouble.may_pass() || asks_for_end || is_over(deadline) {
                        return Err(trouble);
                    }
                    self.say_failure(&trouble.to_string());
                    if is_last {
                        return Ok(End::Left);
                    }
                    let wait = self.wait_after_failure();
                    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                    if self.rest(left.map_or(wait, |left| left.min(wait)), Some(journal)) {
                        return Ok(End::Left);
                    }
                    continue;
                }
                Err(spool) => return Err(spool),
            }
            if is_last {
                return Ok(End::Left);
            }
            self.wait_for_events(journal)?;
            // What was enqueued before the signal is handed over.
            is_last = self.stop.is_asked();
        }
    }

    /// Hands over everything that is in the journal now.
    fn pass(
        &mut self,
        journal: &Mutex<Forwarding>,
        goal: Goal,
        deadline: Option<Instant>,
    ) -> Result<End, Trouble> {
        let must_ask = self.failures > 0 || lock(journal).has_no_position();
        let mut has_asked = must_ask && self.connection.is_none();
        if has_asked {
            self.connect(journal)?;
        }
        loop {
            let next = lock(journal).next_handover(self.options.keep)?;
            let Some(handover) = next else {
                if has_asked || !lock(journal).would_free(self.options.keep) {
                    break;
                }
                // An idle host learns only so that the database was set back, and what it lacks is forwarded again.
                self.ask(journal)?;
                has_asked = true;
                continue;
            };
            // Its answer says where the database is.
            has_asked = true;
            if self.connection.is_none() {
                self.connect(journal)?;
                continue;
            }
            self.send(journal, handover)?;
            if goal != Goal::Stay && (is_over(deadline) || self.stop.is_asked()) {
                return Ok(End::Left);
            }
        }
        lock(journal).end_round(self.options.keep)?;
        let closes = matches!(goal, Goal::Close | Goal::Leave);
        if closes || self.client.is_asked_to_close()? {
            if self.connection.is_none() {
                self.connect(journal)?;
            }
            while !self.is_closed(journal) {
                let handover = lock(journal).close()?;
                self.send(journal, handover)?;
            }
        }
        Ok(End::Done)
    }

    fn is_closed(&self, journal: &Mutex<Forwarding>) -> bool {
        lock(journal).record().closed && !self.client.is_asked_to_close().unwrap_or(true)
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn lock(journal: &Mutex<Forwarding>) -> MutexGuard<'_, Forwarding> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
