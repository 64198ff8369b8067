//! The journal for a process that hands events to a database instead of sending them: `meditopia forward`.
//!
//! It reads the journal as a sender takes it over, but without lanes, and it holds the same lock: a spool has
//! one sender or one forwarder. What is forwarded, and how far, is one statement of the database, so the
//! database is the truth about it. The spool's ledger only follows, for everybody who counts what waits, and
//! for a sender once the spool leaves the fleet.
//!
//! - `statement`: what one statement hands over, and what becomes of it
//! - `position`: where the spool is in the database
//! - `record`: which statement was the last, and whose the database's number is
//! - `value`: the offsets of all segments as one value
//! - `window`: what of the forwarded events the journal keeps, for a database that is set back
//! - `reclaim`: giving the rest back
//! - `reporting`: what other processes see
//! - `closing`: the end, for good

mod closing;
mod position;
mod reclaim;
mod record;
mod reporting;
mod statement;
mod value;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::closing::{ask_to_close, is_asked_to_close, take_back_close};
pub use self::record::{Found, Record};
pub use self::statement::Handover;
use self::statement::Pending;
pub use self::window::{Keep, Window};
use super::election::Election;
use super::take_over::DamageLines;
use super::wake::{self, Wake, WakeSocket};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::{Offsets, Round};
use crate::log::Log;
use crate::spool::{Heartbeat, Spool};
use crate::store::{HostStore, LogStore, Store};

/// The journal of one spool, in the hands of its forwarder.
pub struct Forwarding {
    spool: Arc<Spool>,
    log: Arc<Log>,
    election: Election,
    wake: WakeSocket,
    store: LogStore,
    record: Record,
    /// `forward.json` says less than the record.
    is_record_unwritten: bool,
    window: Window,
    is_window_unwritten: bool,
    /// From so many segments on they are reclaimed between two statements.
    reclaim_from: usize,
    /// Up to here the blocks of segments are given back; not every file system can.
    given_back: Offsets,
    can_punch: bool,
    offsets: Offsets,
    round: Option<Round>,
    pending: Option<Pending>,
    /// What was read and is in no statement yet says this of damage.
    lines: DamageLines,
    taken_bytes: u64,
    /// Bytes of all segments when the round began, without those that it has removed, and bytes of these that were
    /// forwarded.
    journal_bytes: u64,
    removed_bytes: u64,
    told: Option<Instant>,
    /// The database has been asked where the spool is.
    is_positioned: bool,
}

/// Refuses a spool with events that a sender has taken over and not settled.
fn refuse_pending(store: &LogStore, spool: &Spool) -> Result<()> {
    let pending = store.totals().pending;
    if pending == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SpoolMismatch,
        format!(
            "{}: a sender of this host has taken {pending} events over, and they would not be forwarded; deliver them first (meditopia flush), then forward",
            spool.name()
        ),
    ))
}

impl Forwarding {
    /// Takes the spool for forwarding to the database that `store` names, without any password; `None`:
    /// another process sends from it or forwards it.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`] if a sender has taken events over that it has not settled;
    /// [`ErrorKind::Store`], [`ErrorKind::Io`].
    pub(crate) fn begin(spool: Arc<Spool>, log: Arc<Log>, store: &str) -> Result<Option<Self>> {
        let Some(election) = Election::try_win(&spool)? else {
            return Ok(None);
        };
        let known = Record::read(&spool)?;
        let ledger = LogStore::open(&spool)?;
        let is_first = known.is_none();
        if is_first {
            refuse_pending(&ledger, &spool)?;
        }
        let mut record = known.unwrap_or_else(Record::draw);
        store.clone_into(&mut record.store);
        if is_first {
            record.boot_count = spool.boot_count();
            // The id has to outlast a power cut: with another one everything would be forwarded again.
            record.write(&spool)?;
        }
        let wake = WakeSocket::bind(&spool, &election)?;
        let mut forwarding = Self {
            window: Window::read(&spool)?,
            is_window_unwritten: false,
            reclaim_from: Self::reclaim_from(0),
            offsets: ledger.offsets(),
            given_back: Offsets::new(),
            can_punch: true,
            round: None,
            pending: None,
            lines: DamageLines::default(),
            taken_bytes: Heartbeat::read(&spool)?.unwrap_or_default().taken_bytes,
            journal_bytes: 0,
            removed_bytes: 0,
            told: None,
            is_positioned: false,
            spool,
            log,
            election,
            wake,
            store: ledger,
            record,
            is_record_unwritten: false,
        };
        forwarding.alive()?;
        Ok(Some(forwarding))
    }

    /// What is known of the spool's forwarding.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How messages name the spool.
    pub fn spool_name(&self) -> String {
        self.spool.name()
    }

    fn write_record(&mut self) -> Result<()> {
        self.is_record_unwritten = true;
        self.record.write(&self.spool)?;
        self.is_record_unwritten = false;
        Ok(())
    }

    fn write_record_if_changed(&mut self) -> Result<()> {
        match self.is_record_unwritten {
            true => self.write_record(),
            false => Ok(()),
        }
    }

    /// Ends a round whose statements are all committed: gives back what need not be kept, and tells other
    /// processes how far the forwarder is. A new round begins with the next call of [`next_handover`](Self::next_handover).
    pub fn end_round(&mut self, keep: Keep) -> Result<()> {
        let Some(round) = self.round.take() else {
            return Ok(());
        };
        let cutoff = round.cutoff();
        self.reclaim(&round, keep)?;
        if self.lines.has_left_out() {
            let log = &self.log;
            self.lines
                .of_rest(&mut |level, text| log.write(level, text));
        }
        self.look_after_disk()?;
        let mut heartbeat = self.heartbeat()?;
        heartbeat.boot_count = cutoff.boot_count;
        heartbeat.taken_upto_boot_ns = cutoff.boot_ns;
        heartbeat.taken_bytes = self.taken_bytes;
        self.told = Some(Instant::now());
        heartbeat.write(&self.spool)?;
        let (kept, since) = (
            self.window.kept_bytes(&self.offsets),
            self.window.since_ms(),
        );
        if (self.record.kept_bytes, self.record.kept_since_ms) != (kept, since) {
            (self.record.kept_bytes, self.record.kept_since_ms) = (kept, since);
            self.write_record()?;
        }
        let _ = self.spool.keep_young();
        Ok(())
    }

    /// Waits until somebody wakes the forwarder, at most `timeout`; says whether somebody waits for what is
    /// enqueued by now.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        if !self.wake.is_open()
            && let Ok(wake) = WakeSocket::bind(&self.spool, &self.election)
        {
            self.wake = wake;
        }
        self.wake.wait(timeout).flush
    }
}

/// Wakes the forwarder of a spool, in whatever process it is.
pub(crate) fn wake_up(spool: &Spool) {
    wake::send(spool, Wake::Flush);
}

#[cfg(test)]
mod tests;
