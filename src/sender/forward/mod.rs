//! The journal for a process that hands events to a database instead of sending them: `meditopia forward`.
//!
//! It reads the journal as a sender takes it over, but without lanes, and it holds the same lock: a spool has
//! one sender or one forwarder. What is forwarded, and how far, is one statement of the database, so the
//! database is the truth about it. The spool's ledger only follows, for everybody who counts what waits, and
//! for a sender once the spool leaves the fleet.
//!
//! - `record`: which statement was the last, and whose the database's number is
//! - `value`: the offsets of all segments as one value
//! - `window`: what of the forwarded events the journal keeps, for a database that is set back
//! - `reclaim`: giving the rest back

mod reclaim;
mod record;
mod value;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::record::Found;
pub use self::record::Record;
use self::value::Value;
pub use self::window::Keep;
use self::window::Window;
use super::election::{Election, pid_namespace};
use super::take_over::DamageLines;
use super::wake::{self, Wake, WakeSocket};
use crate::clock;
use crate::dispatch::Spread;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::damage;
use crate::journal::round::{Offsets, Round};
use crate::journal::usage;
use crate::log::Log;
use crate::process::{pid, random_u64};
use crate::spool::{FORWARDING, FailedRequest, Heartbeat, Safety, Spool};
use crate::store::next_ledger::SpareLedger;
use crate::store::{Change, FileStore, HostStore, LogStore, Run, Store};

/// A statement hands over so many events, or so many bytes of them, and one record of the journal more.
const STATEMENT_EVENTS: usize = 1000;
const STATEMENT_BYTES: usize = 256 * 1024;
/// What is read of the journal at once.
const READ_BYTES: usize = 16 * 1024;
/// How often a heartbeat says that the forwarder is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A file with this name asks the forwarder to close the spool.
const CLOSE: &str = "forward.close";

/// What one statement hands over.
#[derive(Debug, Clone)]
pub struct Handover {
    /// The step that the spool has in the database before it.
    pub step: i64,
    /// The events, in order, up to 100 each. There may be none.
    pub parcels: Vec<Run>,
    /// How many events.
    pub events: u64,
    /// How far all segments are forwarded after it.
    pub offsets: Vec<u8>,
    /// Bytes of the journal that are not forwarded after it, about.
    pub behind_bytes: u64,
    /// When the last of the events was enqueued, if more wait behind it: wall time in milliseconds.
    pub behind_since_ms: Option<i64>,
    /// The spool is not used any more.
    pub closed: bool,
}

/// A statement that was or will be sent, until the database says that it is committed.
struct Pending {
    handover: Handover,
    nonce: u64,
    /// The segments that it moves.
    moved: Vec<(String, u64)>,
    damaged_records: u64,
}

/// The journal of one spool, in the hands of its forwarder.
pub struct Forwarding {
    spool: Arc<Spool>,
    log: Arc<Log>,
    election: Election,
    wake: WakeSocket,
    store: LogStore,
    record: Record,
    window: Window,
    /// Up to here the blocks of segments are given back; not every file system can.
    given_back: Offsets,
    can_punch: bool,
    offsets: Offsets,
    round: Option<Round>,
    pending: Option<Pending>,
    /// What was read and is in no statement yet says this of damage.
    lines: DamageLines,
    taken_bytes: u64,
    /// Bytes of all segments when the round began.
    journal_bytes: u64,
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
        }
        if is_first {
            // The id has to outlast a power cut: with another one everything would be forwarded again.
            record.write(&spool, Safety::Power)?;
        }
        let wake = WakeSocket::bind(&spool, &election)?;
        let mut forwarding = Self {
            window: Window::read(&spool)?,
            offsets: ledger.offsets(),
            given_back: Offsets::new(),
            can_punch: true,
            round: None,
            pending: None,
            lines: DamageLines::default(),
            taken_bytes: Heartbeat::read(&spool)?.unwrap_or_default().taken_bytes,
            journal_bytes: 0,
            told: None,
            is_positioned: false,
            spool,
            log,
            election,
            wake,
            store: ledger,
            record,
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

    /// Whether the database was not asked yet where the spool is.
    pub fn has_no_position(&self) -> bool {
        !self.is_positioned
    }

    /// The database has this spool at this step, with these offsets, which are empty where it was made just now.
    /// After that, [`next_handover`](Self::next_handover) goes on from there.
    ///
    /// Errors: [`ErrorKind::Conflict`] if another forwarder has taken the step since.
    pub fn found(&mut self, step: i64, offsets: &[u8]) -> Result<()> {
        let decoded = match offsets {
            [] => Some(Value::default()),
            _ => Value::decode(offsets),
        };
        let value = decoded.ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!(
                    "{}: a newer libmeditopia has forwarded it; forward with that version",
                    self.spool.name()
                ),
            )
        })?;
        self.is_positioned = true;
        let judged = self
            .record
            .judge((step, value.nonce), self.spool.boot_count());
        let found = match judged {
            // The database has forgotten a spool that was closed long ago. Everything was delivered by then.
            Found::Older if self.record.closed && step == 0 && offsets.is_empty() => Found::New,
            judged => judged,
        };
        match found {
            Found::New => {
                // What the ledger says is taken over was delivered by a sender of this host, or by a fleet. The
                // database does not know it, so the window does, before the spool has a position.
                let offsets = self.offsets.clone();
                self.window.start_at(&offsets);
                self.window.write(&self.spool, Safety::Power)?;
                let nonce = value.nonce;
                self.go_on_from(Value { offsets, nonce })?;
                self.settle(step, nonce)
            }
            Found::Unchanged if self.round.is_some() => Ok(()),
            // What was sent from this step may still be committed: its nonces stay known.
            Found::Unchanged => {
                self.go_on_from(value)?;
                self.reached()
            }
            Found::Committed => {
                let is_pending = |pending: &Pending| pending.nonce == value.nonce;
                match self.pending.as_ref().is_some_and(is_pending) {
                    true => self.confirm(),
                    false => {
                        let nonce = value.nonce;
                        self.go_on_from(value)?;
                        self.settle(step, nonce)
                    }
                }
            }
            Found::Older => {
                let nonce = value.nonce;
                self.set_back(step, &value.offsets)?;
                self.record.settle(step, nonce);
                self.record.write(&self.spool, Safety::Power)
            }
            Found::Foreign => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{}: another forwarder has forwarded this spool since (step {step} in the database, {} here): it was copied, and the copy is forwarded as well; end one of the two for good; nothing was forwarded twice, and what waits here is kept",
                    self.spool.name(),
                    self.record.step
                ),
            )),
        }
    }

    /// The database says itself how far the spool is.
    fn go_on_from(&mut self, value: Value) -> Result<()> {
        self.round = None;
        self.pending = None;
        // What is not in the value is not forwarded, but it may be freed, after a database was set back.
        let mut offsets = value.offsets;
        for (name, freed) in self.window.freed() {
            let offset = offsets.entry(name.clone()).or_default();
            *offset = (*offset).max(*freed);
        }
        let moved: Vec<(String, u64)> = offsets
            .iter()
            .filter(|(name, upto)| self.offsets.get(*name) != Some(upto))
            .map(|(name, upto)| (name.clone(), *upto))
            .collect();
        self.offsets = offsets;
        self.commit_taken(&moved, 0)
    }

    /// The database has lost what was forwarded since a step: it is forwarded again.
    #[cold]
    fn set_back(&mut self, step: i64, theirs: &Offsets) -> Result<()> {
        let name = self.spool.name();
        self.log.warn(format_args!(
            "{name}: the database is older than what was forwarded to it (step {step} instead of {}); what the journal keeps is forwarded again, and some of it may be delivered twice",
            self.record.step
        ));
        if step < self.window.freed_step() {
            self.log.error(format_args!(
                "{name}: events that were forwarded between the steps {step} and {} are not in the journal any more, and this database does not have them; see forward_keep_s and forward_keep_bytes",
                self.window.freed_step()
            ));
        }
        self.round = None;
        self.pending = None;
        self.offsets = self.window.set_back(step, theirs);
        self.window.write(&self.spool, Safety::Power)?;
        let moved: Vec<(String, u64)> = self
            .store
            .offsets()
            .into_keys()
            .map(|name| {
                let upto = self.offsets.get(&name).copied();
                let start = crate::journal::segment::HEADER_LEN as u64;
                (name, upto.unwrap_or(start))
            })
            .collect();
        self.commit_taken(&moved, 0)?;
        Ok(())
    }

    /// The next statement; the same one until it is settled by [`confirm`](Self::confirm) or
    /// [`found`](Self::found). `None`: everything that was enqueued before this round is forwarded.
    pub fn next_handover(&mut self) -> Result<Option<Handover>> {
        if self.pending.is_none() {
            self.pending = self.read()?;
        }
        let Some(pending) = &self.pending else {
            return Ok(None);
        };
        let (handover, nonce) = (pending.handover.clone(), pending.nonce);
        self.send(nonce)?;
        Ok(Some(handover))
    }

    /// A statement that closes the spool, or says that it is used again; the next one until it is settled.
    pub fn close(&mut self) -> Result<Handover> {
        let pending = self.statement(Vec::new(), 0, Vec::new(), 0, true);
        let handover = pending.handover.clone();
        let nonce = pending.nonce;
        self.pending = Some(pending);
        self.send(nonce)?;
        Ok(handover)
    }

    /// A statement with this nonce is about to leave: the spool has to know before.
    fn send(&mut self, nonce: u64) -> Result<()> {
        self.record.send(nonce);
        self.record.boot_count = self.spool.boot_count();
        self.record.write(&self.spool, Safety::Power)
    }

    /// Reads what the next statement hands over.
    fn read(&mut self) -> Result<Option<Pending>> {
        let mut round = match self.round.take() {
            Some(round) => round,
            None => {
                self.lines = DamageLines::default();
                (_, self.journal_bytes) = usage::journal_size(&self.spool)?;
                Round::begin(&self.spool, &self.offsets)?
            }
        };
        let mut spread = Spread::over(1);
        let (mut events, mut bytes) = (0, 0);
        let mut last_ms = None;
        let mut moved = Offsets::new();
        let mut damaged = Vec::new();
        let mut more = true;
        while more && events < STATEMENT_EVENTS && bytes < STATEMENT_BYTES {
            let read = round.read_chunk(READ_BYTES, |fragment, enqueued_ms| {
                spread.push(fragment, enqueued_ms);
                events += 1;
                bytes += fragment.len();
                last_ms = Some(enqueued_ms);
            })?;
            // What is skipped must be safe elsewhere before it is skipped.
            damage::save(&self.spool, round.journal(), &read.damage)?;
            damaged.extend(read.damage);
            moved.extend(read.offsets);
            more = read.more;
        }
        // After the reading: what was read is this spool's.
        self.spool.check_path()?;
        let log = &self.log;
        self.lines
            .of_damage(&damaged, &mut |level, text| log.write(level, text));
        self.round = Some(round);
        if moved.is_empty() {
            return Ok(None);
        }
        let runs = spread.into_runs().into_single_lane();
        let mut pending = self.statement(
            moved.into_iter().collect(),
            damaged.len() as u64,
            runs,
            events as u64,
            false,
        );
        pending.handover.behind_since_ms = last_ms.filter(|_| more);
        Ok(Some(pending))
    }

    fn statement(
        &self,
        moved: Vec<(String, u64)>,
        damaged_records: u64,
        parcels: Vec<Run>,
        events: u64,
        closed: bool,
    ) -> Pending {
        let mut offsets = self.offsets.clone();
        offsets.extend(moved.iter().cloned());
        let forwarded: u64 = offsets.values().sum();
        let value = Value {
            nonce: random_u64(),
            offsets,
        };
        Pending {
            handover: Handover {
                step: self.record.step,
                parcels,
                events,
                offsets: value.encode(),
                behind_bytes: self.journal_bytes.saturating_sub(forwarded),
                behind_since_ms: None,
                closed,
            },
            nonce: value.nonce,
            moved,
            damaged_records,
        }
    }

    /// The last statement is committed.
    pub fn confirm(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        self.offsets.extend(pending.moved.iter().cloned());
        self.commit_taken(&pending.moved, pending.damaged_records)?;
        self.record.closed = pending.handover.closed;
        if pending.handover.closed {
            self.spool
                .held_dir()?
                .remove(CLOSE)
                .map_err(|e| self.io(e))?;
        }
        self.settle(pending.handover.step + 1, pending.nonce)
    }

    fn settle(&mut self, step: i64, nonce: u64) -> Result<()> {
        self.record.settle(step, nonce);
        self.record.boot_count = self.spool.boot_count();
        self.reached()
    }

    /// Brings the ledger up to what the database has.
    fn commit_taken(&mut self, moved: &[(String, u64)], damaged_records: u64) -> Result<()> {
        if self.store.wants_next_ledger() {
            let disk = self.store.disk();
            let next = self.store.begin_next_ledger(SpareLedger::take(&*disk)?)?;
            next.publish()?;
            self.store.use_next_ledger(next);
        }
        let mut totals = self.store.totals();
        totals.damaged_records += damaged_records;
        let taken = moved.iter().map(|(segment, upto)| Change::Taken {
            segment,
            upto: *upto,
        });
        let changes: Vec<Change<'_>> = taken.chain([Change::Totals(&totals)]).collect();
        self.store.commit(&changes)
    }

    /// The database has answered: nothing fails any more.
    pub fn reached(&mut self) -> Result<()> {
        self.record.forwarded_ms = Some(clock::wall_ms());
        self.record.failing_since_ms = None;
        self.record.failure = None;
        self.record.write(&self.spool, Safety::Power)
    }

    /// An attempt has failed, for this reason; says since when all have.
    pub fn failed(&mut self, why: &str) -> Result<i64> {
        let since = *self
            .record
            .failing_since_ms
            .get_or_insert_with(clock::wall_ms);
        self.record.failure = Some(why.to_owned());
        self.record.write(&self.spool, Safety::Power)?;
        let pending = self.pending.as_ref();
        let mut heartbeat = self.heartbeat()?;
        heartbeat.last_failure = Some(FailedRequest {
            at_ms: clock::wall_ms(),
            events: pending.map_or(0, |pending| pending.handover.events),
            message: why.to_owned(),
            ..FailedRequest::default()
        });
        heartbeat.write(&self.spool)?;
        Ok(since)
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
            self.record.write(&self.spool, Safety::Power)?;
        }
        let _ = self.spool.keep_young();
        Ok(())
    }

    /// Tells other processes that the forwarder is alive, if the last heartbeat is a second old, and makes sure
    /// that it still is the only one.
    pub fn alive(&mut self) -> Result<()> {
        if self.told.is_some_and(|at| at.elapsed() < ALIVE_EVERY) {
            return Ok(());
        }
        if !self.election.keep(&self.spool)? {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{}: sender.lock was removed, and another process has locked a new one; it may forward",
                    self.spool.name()
                ),
            ));
        }
        self.spool.check_path()?;
        self.told = Some(Instant::now());
        self.heartbeat()?.write(&self.spool)
    }

    fn heartbeat(&self) -> Result<Heartbeat> {
        let last = Heartbeat::read(&self.spool)?.unwrap_or_default();
        Ok(Heartbeat {
            pid: pid().cast_unsigned(),
            pid_namespace: pid_namespace(),
            seen_ms: clock::wall_ms(),
            take_over_is_limited: false,
            pending_bytes: 0,
            paused: None,
            paused_since_ms: None,
            ..last
        })
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

    /// Whether another process has asked to close the spool.
    pub fn is_to_close(&self) -> Result<bool> {
        let dir = self.spool.held_dir()?;
        let size = dir.size(CLOSE).map_err(|e| self.io(e))?;
        Ok(size.is_some())
    }

    /// The spool leaves the fleet: a sender of this host may send from it again. Everything is forwarded.
    pub fn leave(mut self) -> Result<()> {
        // The ledger has to say so for good before the sender may look at it.
        self.sync_ledger()?;
        let dir = self.spool.held_dir()?;
        for name in [window::NAME, FORWARDING] {
            dir.remove(name).map_err(|e| dir.error(name, e))?;
        }
        dir.sync().map_err(|e| dir.own_error(e))
    }

    fn io(&self, e: std::io::Error) -> Error {
        Error::io(self.spool.name(), e)
    }
}

/// Asks the forwarder of another process to close the spool once everything is forwarded.
pub(crate) fn ask_to_close(spool: &Spool) -> Result<()> {
    let dir = spool.held_dir()?;
    let asked = dir.replace(CLOSE, b"", Safety::Process);
    asked.map_err(|e| dir.error(CLOSE, e))?;
    wake::send(spool, Wake::Flush);
    Ok(())
}

/// Whether the forwarder has yet to do so.
pub(crate) fn is_asked_to_close(spool: &Spool) -> Result<bool> {
    let dir = spool.held_dir()?;
    let size = dir.size(CLOSE).map_err(|e| dir.error(CLOSE, e))?;
    Ok(size.is_some())
}

/// Takes that back.
pub(crate) fn take_back_close(spool: &Spool) -> Result<()> {
    let dir = spool.held_dir()?;
    dir.remove(CLOSE).map_err(|e| dir.error(CLOSE, e))?;
    Ok(())
}

/// Wakes the forwarder of a spool, in whatever process it is.
pub(crate) fn wake_up(spool: &Spool) {
    wake::send(spool, Wake::Flush);
}

#[cfg(test)]
mod tests;
