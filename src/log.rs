//! The small log of the library: the last 256 records for polling, and a callback that gets each
//! record.
//!
//! Enqueues write to the log, so a write never waits: it tries to lock the ring of records, and if
//! that fails, counts the record as lost. For the same reason several threads may run the callback
//! at once. The one call that waits is [`Log::set_callback`]: when it has returned, the callback
//! that was set before is not running and never runs again, so that its owner may free what the
//! callback uses. A log belongs to the process that created it: in a forked child no callback runs
//! and none can be set, and [`Log::next`] may return nothing. It is not the application's log, and
//! writes to no file or stream by itself.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::thread::ThreadId;

use crate::clock;
use crate::process::Owner;
use crate::spelling::escape_unprintable;

/// How many records are kept for polling. After that, a new record replaces the oldest.
const RING_RECORDS: usize = 256;

/// How often a write tries to lock the ring before its record is lost. A thread holds the lock for
/// nanoseconds, unless it was preempted, or does not exist in a forked child.
const RING_TRIES: usize = 100;

/// How severe a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Events are at risk or are not being delivered.
    Error,
    /// Something that an operator should check.
    Warn,
    /// What the library does, a few records per hour.
    Info,
    /// Every request.
    Debug,
}

impl Level {
    pub(crate) const NAMES: [&'static str; 5] = ["off", "error", "warn", "info", "debug"];

    /// Every level, the most severe first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The name used in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level that the option `log_level` names; `Some(None)` for `off`, `None` for any other
    /// text.
    pub(crate) fn from_option(name: &str) -> Option<Option<Self>> {
        match name {
            "off" => Some(None),
            name => Self::ALL
                .into_iter()
                .find(|level| level.name() == name)
                .map(Some),
        }
    }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How severe the record is.
    pub level: Level,
    /// When it was written: wall time in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// The text: one line without secrets, in which characters that cannot be seen are escaped.
    pub message: String,
}

/// A function that gets each record, on the thread that logs it. Several threads may call it at
/// once.
pub type Callback = Box<dyn Fn(&Record) + Send + Sync>;

/// The log of one core.
pub struct Log {
    /// The least severe level that is kept; `None`: nothing is kept.
    level: Option<Level>,
    ring: Mutex<VecDeque<Kept>>,
    lost: AtomicU64,
    calls: Mutex<Calls>,
    call_ended: Condvar,
    owner: Owner,
}

/// A record that waits to be polled.
struct Kept {
    record: Record,
    /// No callback has got it, because none was set.
    is_unheard: bool,
}

/// The callback, and the threads that are running it.
#[derive(Default)]
struct Calls {
    callback: Option<Arc<Callback>>,
    /// The client that set the callback.
    owner: u64,
    running: Vec<Call>,
    next_ticket: u64,
}

struct Call {
    ticket: u64,
    thread: ThreadId,
}

impl Log {
    /// A log that keeps records of `level` and of more severe levels; `None` keeps nothing.
    pub fn new(level: Option<Level>) -> Self {
        Self {
            level,
            ring: Mutex::default(),
            lost: AtomicU64::new(0),
            calls: Mutex::default(),
            call_ended: Condvar::new(),
            owner: Owner::current(),
        }
    }

    /// Whether a record of this level would be kept, for messages that are expensive to make.
    pub fn keeps(&self, level: Level) -> bool {
        self.level.is_some_and(|kept| level <= kept)
    }

    /// Logs one record with the current time. The message is formatted only if the record is kept.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        if !self.keeps(level) {
            return;
        }
        let record = Record {
            level,
            time_ms: clock::wall_ms(),
            message: escape_unprintable(&message.to_string()),
        };
        if !self.owner.is_current() {
            self.push(record, false);
            return;
        }
        // Under one lock, so that a callback which is set meanwhile gets the record once.
        let mut calls = self.calls();
        let is_within = calls.in_call(std::thread::current().id());
        let call = match calls.callback.clone() {
            Some(callback) if !is_within => Some((callback, calls.begin())),
            _ => None,
        };
        self.push(record.clone(), call.is_none() && !is_within);
        drop(calls);
        if let Some((callback, ticket)) = call {
            self.call_back(callback, ticket, &[record]);
        }
    }

    /// Logs that events are at risk or are not being delivered.
    pub fn error(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Error, message);
    }

    /// Logs something that an operator should check.
    pub fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Warn, message);
    }

    /// Logs what the library does.
    pub fn info(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Info, message);
    }

    /// The oldest record that was not polled yet. If records were lost because they were not polled
    /// in time, the first record says how many.
    pub fn next(&self) -> Option<Record> {
        let mut ring = self.try_ring()?;
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => ring.pop_front().map(|kept| kept.record),
            lost => Some(Record {
                level: Level::Warn,
                time_ms: clock::wall_ms(),
                message: format!("log records lost because they were polled too late: {lost}"),
            }),
        }
    }

    /// Sets the callback that gets each record from now on, on behalf of the client `owner`. `None`
    /// unsets it. Before the call returns, the callback gets the kept records that were logged while
    /// there was none, unless they were polled.
    ///
    /// When this call returns, the callback that was set before is not running and never runs
    /// again. The call waits for that without a deadline. The exception is a call from inside a
    /// callback of this log: then the running callbacks, at least that one, may still be running
    /// when it returns.
    ///
    /// Records that a callback itself logs go to the ring only. A callback that panics is caught.
    pub fn set_callback(&self, owner: u64, callback: Option<Callback>) {
        if self.owner.is_current() {
            self.replace_callback(self.calls(), owner, callback);
        }
    }

    /// Unsets the callback if `owner` set it, as [`set_callback`](Self::set_callback) does.
    pub(crate) fn unset_callback_of(&self, owner: u64) {
        if !self.owner.is_current() {
            return;
        }
        let calls = self.calls();
        if calls.callback.is_some() && calls.owner == owner {
            self.replace_callback(calls, 0, None);
        }
    }

    fn replace_callback(
        &self,
        mut calls: MutexGuard<'_, Calls>,
        owner: u64,
        callback: Option<Callback>,
    ) {
        let replaced = std::mem::replace(&mut calls.callback, callback.map(Arc::new));
        calls.owner = owner;
        let first_new = calls.next_ticket;
        let mut missed = None;
        if !calls.in_call(std::thread::current().id()) {
            if let Some(callback) = calls.callback.clone() {
                missed = Some((callback, calls.begin(), self.unheard()));
            }
            let old_runs = |calls: &mut Calls| calls.running.iter().any(|c| c.ticket < first_new);
            calls = self
                .call_ended
                .wait_while(calls, old_runs)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(calls);
        // Without the lock, because a destructor of the callback may log.
        drop(replaced);
        if let Some((callback, ticket, records)) = missed {
            self.call_back(callback, ticket, &records);
        }
    }

    /// The kept records that no callback has got; the caller gives them to one.
    fn unheard(&self) -> Vec<Record> {
        let Some(mut ring) = self.try_ring() else {
            return Vec::new();
        };
        let unheard = ring.iter_mut().filter(|kept| kept.is_unheard);
        let unheard = unheard.map(|kept| {
            kept.is_unheard = false;
            kept.record.clone()
        });
        unheard.collect()
    }

    /// Runs a call that [has begun](Calls::begin), and notes its end.
    fn call_back(&self, callback: Arc<Callback>, ticket: u64, records: &[Record]) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for (at, record) in records.iter().enumerate() {
                // With the record before it, the callback may have removed itself, or have forked.
                if at > 0 && !self.is_set(&callback) {
                    break;
                }
                callback(record);
            }
        }));
        if !self.owner.is_current() {
            // The callback has forked, and returns in the child, where it belongs to nobody.
            std::mem::forget(callback);
            return;
        }
        // Drop it before the call counts as ended: nothing of the callback may outlive
        // `set_callback`.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(callback)));
        self.calls().running.retain(|call| call.ticket != ticket);
        self.call_ended.notify_all();
        if outcome.is_err() || dropped.is_err() {
            let record = Record {
                level: Level::Error,
                time_ms: clock::wall_ms(),
                message: "the log callback panicked".to_owned(),
            };
            self.push(record, false);
        }
    }

    fn is_set(&self, callback: &Arc<Callback>) -> bool {
        let is_it = |set: &Arc<Callback>| Arc::ptr_eq(set, callback);
        self.owner.is_current() && self.calls().callback.as_ref().is_some_and(is_it)
    }

    /// Whether this thread runs a callback of this log.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.owner.is_current() && self.calls().in_call(std::thread::current().id())
    }

    fn push(&self, record: Record, is_unheard: bool) {
        let Some(mut ring) = self.try_ring() else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if ring.len() == RING_RECORDS {
            ring.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        ring.push_back(Kept { record, is_unheard });
    }

    fn try_ring(&self) -> Option<MutexGuard<'_, VecDeque<Kept>>> {
        for _ in 0..RING_TRIES {
            match self.ring.try_lock() {
                Ok(ring) => return Some(ring),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Calls {
    /// A call of the callback begins on this thread; returns its ticket.
    fn begin(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let thread = std::thread::current().id();
        self.running.push(Call { ticket, thread });
        ticket
    }

    fn in_call(&self, thread: ThreadId) -> bool {
        self.running.iter().any(|call| call.thread == thread)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish()
    }
}

#[cfg(test)]
mod tests;
