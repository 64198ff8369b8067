//! A statement: the events that it hands over, read from the journal in the order of a sender, and what
//! becomes of it.

use super::closing::take_back_close;
use super::value::{self, Value};
use super::{Forwarding, Keep};
use crate::dispatch::Spread;
use crate::error::Result;
use crate::journal::damage;
use crate::journal::round::{Offsets, Round};
use crate::journal::usage;
use crate::process::random_u64;
use crate::sender::take_over::DamageLines;
use crate::store::next_ledger::SpareLedger;
use crate::store::{Change, FileStore, Run, Store};

/// A statement hands over so many events, or so many bytes of them, and one record of the journal more.
const STATEMENT_EVENTS: usize = 1000;
const STATEMENT_BYTES: usize = 256 * 1024;
/// What is read of the journal at once.
const READ_BYTES: usize = 16 * 1024;

/// What one statement hands over.
#[derive(Debug, Clone)]
pub struct Handover {
    /// The step that the spool has in the database before it.
    pub step: i64,
    /// How the value begins that the database has at this step: it says which statement wrote it.
    pub mark: Vec<u8>,
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
pub(super) struct Pending {
    pub(super) handover: Handover,
    pub(super) nonce: u64,
    /// The segments that it moves.
    moved: Vec<(String, u64)>,
    damaged_records: u64,
}

impl Forwarding {
    /// The next statement; the same one until it is settled by [`confirm`](Self::confirm) or
    /// [`found`](Self::found). `None`: everything that was enqueued before this round is forwarded. Where many segments
    /// are forwarded, those of which nothing has to be kept go before.
    pub fn next_handover(&mut self, keep: Keep) -> Result<Option<Handover>> {
        if self.pending.is_none() {
            let round = match self.round.take() {
                Some(round) => round,
                None => self.begin_round()?,
            };
            self.reclaim_between(&round, keep)?;
            self.pending = self.read(round)?;
        }
        let Some(pending) = &self.pending else {
            return Ok(None);
        };
        let (handover, nonce) = (pending.handover.clone(), pending.nonce);
        self.send(nonce)?;
        Ok(Some(handover))
    }

    /// A statement with this nonce is about to leave: the spool has to know before.
    pub(super) fn send(&mut self, nonce: u64) -> Result<()> {
        self.is_record_unwritten |= self.record.send(nonce);
        self.record.boot_count = self.spool.boot_count();
        self.write_record_if_changed()
    }

    fn begin_round(&mut self) -> Result<Round> {
        self.lines = DamageLines::default();
        (_, self.journal_bytes) = usage::journal_size(&self.spool)?;
        self.removed_bytes = 0;
        Round::begin(&self.spool, &self.offsets)
    }

    /// Reads what the next statement hands over.
    fn read(&mut self, mut round: Round) -> Result<Option<Pending>> {
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

    pub(super) fn statement(
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
        let after = Value {
            nonce: random_u64(),
            offsets,
        };
        Pending {
            handover: Handover {
                step: self.record.step,
                mark: value::mark(self.record.nonce),
                parcels,
                events,
                offsets: after.encode(),
                behind_bytes: self.journal_bytes.saturating_sub(forwarded),
                behind_since_ms: None,
                closed,
            },
            nonce: after.nonce,
            moved,
            damaged_records,
        }
    }

    /// The last statement is committed.
    pub fn confirm(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let closes = pending.handover.closed || self.record.closed;
        self.take_in(pending)?;
        self.note_reached();
        // The next statement, or the end of the round, writes it. Until then the file knows this statement as
        // one that was sent, and a step that it has set as its own.
        self.is_record_unwritten = true;
        match closes {
            true => self.write_record(),
            false => Ok(()),
        }
    }

    /// What a statement that is committed has changed.
    pub(super) fn take_in(&mut self, pending: Pending) -> Result<()> {
        self.offsets.extend(pending.moved.iter().cloned());
        self.commit_taken(&pending.moved, pending.damaged_records)?;
        self.record.closed = pending.handover.closed;
        if pending.handover.closed {
            take_back_close(&self.spool)?;
        }
        self.settle(pending.handover.step + 1, pending.nonce);
        Ok(())
    }

    /// The database is at this step, by the statement of this nonce.
    pub(super) fn settle(&mut self, step: i64, nonce: u64) {
        self.record.settle(step, nonce);
        self.record.boot_count = self.spool.boot_count();
    }

    /// Brings the ledger up to what the database has.
    pub(super) fn commit_taken(
        &mut self,
        moved: &[(String, u64)],
        damaged_records: u64,
    ) -> Result<()> {
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
}
