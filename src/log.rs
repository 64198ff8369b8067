//! The library's own small log: the last 256 records to poll, and a callback for who wants each.
//!
//! Callers log from the enqueue path, so nothing here waits: the ring is tried for, not locked, and
//! a record that cannot get in is counted as lost. For the same reason several threads may be in
//! the callback at once. The one call that waits is [`Log::set_callback`]: when it has
//! returned, the callback that was set before is neither running nor will it run, so that its owner
//! may free what it uses. A log belongs to the process that made it: in a forked child no callback
//! runs, and [`Log::next`] may find nothing. It is not the host's log and writes nowhere by itself.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::thread::ThreadId;

use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// How many records wait to be polled before the oldest go.
const RING_RECORDS: usize = 256;

/// How often the ring is tried for before a record is given up. Who holds it needs nanoseconds,
/// unless it was interrupted or is gone by `fork`.
const RING_TRIES: usize = 100;

/// How grave a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Events are at risk or are not being delivered.
    Error,
    /// Something an operator should look at.
    Warn,
    /// What the library does, a few lines an hour.
    Info,
    /// Every request.
    Debug,
}

impl Level {
    pub(crate) const NAMES: [&'static str; 5] = ["off", "error", "warn", "info", "debug"];

    /// Every level, the gravest first.
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

    /// What the option `log_level` means: `off` is no level. Nothing if it is neither.
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

/// One thing the library had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How grave it is.
    pub level: Level,
    /// When: wall time in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// What; one line, without secrets.
    pub message: String,
}

/// What is called with each record, on the thread that logs; several threads may be in it at once.
pub type Callback = Box<dyn Fn(&Record) + Send + Sync>;

/// The log of one core.
pub struct Log {
    /// What is kept: this level and the graver ones; nothing if `None`.
    level: Option<Level>,
    ring: Mutex<VecDeque<Record>>,
    lost: AtomicU64,
    calls: Mutex<Calls>,
    call_ended: Condvar,
    owner_pid: u32,
}

/// The callback and who is in it.
#[derive(Default)]
struct Calls {
    callback: Option<Arc<Callback>>,
    /// On whose behalf it was set.
    owner: u64,
    running: Vec<Call>,
    next_ticket: u64,
}

struct Call {
    ticket: u64,
    thread: ThreadId,
}

impl Log {
    /// A log that keeps records of `level` and graver ones; `None` keeps nothing.
    pub fn new(level: Option<Level>) -> Self {
        Self {
            level,
            ring: Mutex::default(),
            lost: AtomicU64::new(0),
            calls: Mutex::default(),
            call_ended: Condvar::new(),
            owner_pid: std::process::id(),
        }
    }

    /// Whether a record of this level would be kept; for messages that are costly to make.
    pub fn keeps(&self, level: Level) -> bool {
        self.level.is_some_and(|kept| level <= kept)
    }

    /// Logs one record with the time of now. The message is made only if it is kept.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        if !self.keeps(level) {
            return;
        }
        let record = Record {
            level,
            time_ms: clock::wall_ms(),
            message: message.to_string(),
        };
        self.push(record.clone());
        if self.is_owner() {
            self.call_back(&record);
        }
    }

    /// Logs that events are at risk or are not being delivered.
    pub fn error(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Error, message);
    }

    /// Logs something an operator should look at.
    pub fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Warn, message);
    }

    /// Logs what the library does.
    pub fn info(&self, message: fmt::Arguments<'_>) {
        self.write(Level::Info, message);
    }

    /// The oldest record that was not polled yet. If records were lost because nobody polled in
    /// time, the first says how many.
    pub fn next(&self) -> Option<Record> {
        let mut ring = self.try_ring()?;
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => ring.pop_front(),
            lost => Some(Record {
                level: Level::Warn,
                time_ms: clock::wall_ms(),
                message: format!("log records lost because they were polled too late: {lost}"),
            }),
        }
    }

    /// Sets, on behalf of `owner`, what is called with each record from now on; `None` unsets it.
    ///
    /// On return the callback that was set before is not running and never runs again. It
    /// waits for that without a deadline, except when called from inside a callback of this log:
    /// then calls that have begun, this one at least, may still be ending.
    ///
    /// A callback that logs is not called with its own records; they go to the ring. One that
    /// panics is caught.
    ///
    /// # Errors
    /// [`ErrorKind::Forked`] in a child of the process that made this log.
    pub fn set_callback(&self, owner: u64, callback: Option<Callback>) -> Result<()> {
        if !self.is_owner() {
            return Err(Error::new(
                ErrorKind::Forked,
                "log: belongs to the process that this one was forked from",
            ));
        }
        self.replace_callback(self.calls(), owner, callback);
        Ok(())
    }

    /// Unsets the callback if it was set on behalf of `owner`, as [`set_callback`](Self::set_callback) would.
    pub(crate) fn unset_callback_of(&self, owner: u64) {
        if !self.is_owner() {
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
        if !calls.in_call(std::thread::current().id()) {
            let old_runs = |calls: &mut Calls| calls.running.iter().any(|c| c.ticket < first_new);
            calls = self
                .call_ended
                .wait_while(calls, old_runs)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(calls);
        // What the callback owned is dropped here, where it may log.
        drop(replaced);
    }

    fn call_back(&self, record: &Record) {
        let thread = std::thread::current().id();
        let (callback, ticket) = {
            let mut calls = self.calls();
            match calls.callback.clone() {
                Some(callback) if !calls.in_call(thread) => {
                    let ticket = calls.next_ticket;
                    calls.next_ticket += 1;
                    calls.running.push(Call { ticket, thread });
                    (callback, ticket)
                }
                _ => return,
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| callback(record)));
        // Before the call counts as ended: nothing of the callback may outlive `set_callback`.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(callback)));
        self.calls().running.retain(|call| call.ticket != ticket);
        self.call_ended.notify_all();
        if outcome.is_err() || dropped.is_err() {
            self.push(Record {
                level: Level::Error,
                time_ms: record.time_ms,
                message: "the log callback panicked".to_owned(),
            });
        }
    }

    fn push(&self, record: Record) {
        let Some(mut ring) = self.try_ring() else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if ring.len() == RING_RECORDS {
            ring.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        ring.push_back(record);
    }

    fn try_ring(&self) -> Option<MutexGuard<'_, VecDeque<Record>>> {
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

    fn is_owner(&self) -> bool {
        std::process::id() == self.owner_pid
    }
}

impl Calls {
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
