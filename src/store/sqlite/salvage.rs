//! What can be read of a damaged store.
//!
//! Rows are read one by one ([`super::scan`]) and believed only with their checksum. What is known of a
//! lane holds only while the runs that it speaks of are there ([`lanes`]).

mod lanes;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row};

use super::connection::{RECEIPTS_SINCE, store_error};
use super::scan::{Scan, each};
use crate::config::LANES_MAX;
use crate::error::Result;
use crate::event;
use crate::journal::{round, segment_reader};
use crate::spool::Spool;
use crate::store::{Place, StoredRun, Suspect, Totals, rows};

/// A lane's batch takes at most so many runs.
const BATCH_RUNS: usize = 100;

/// What a store holds that can be read, and what is known to be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// What is wrong with the store; `None`: nothing.
    pub damage: Option<String>,
    /// Runs of pending events that can be read.
    pub runs: u64,
    /// Events that wait in them.
    pub pending: u64,
    /// Rejected events that can be read.
    pub rejected: u64,
    /// Receipts of delivered requests that can be read.
    pub receipts: u64,
    /// At most so many pending events cannot be read; `None`: how many there were cannot be read either.
    pub lost_pending: Option<u64>,
    /// At most so many rejected events cannot be read.
    pub lost_rejected: u64,
    /// Segments that will be read from their beginning: events of theirs that had been taken over
    /// come again.
    pub read_again: Vec<String>,
    /// What else cannot be read, in words.
    pub forgotten: Vec<String>,
    /// Where the damaged store is kept, once a new one is in its place.
    pub kept: Option<PathBuf>,
}

impl Salvage {
    /// Whether events are missing, or may be.
    pub fn loses_events(&self) -> bool {
        self.lost_pending != Some(0) || self.lost_rejected > 0
    }

    /// Reads `old`, as far as it can be opened at all, and writes what is found into `new`, if that is
    /// wanted. `damage` is what is known to be wrong already.
    pub(super) fn of(
        spool: &Spool,
        old: Option<&Connection>,
        new: Option<&Connection>,
        lane_of: fn(&[u8], usize) -> usize,
        damage: Option<String>,
    ) -> Result<Self> {
        let mut work = Work {
            spool,
            old,
            new,
            lane_of,
            found: Self {
                damage,
                ..Self::of_nothing_lost()
            },
            heads: BTreeMap::new(),
            lanes_possible: (1..=LANES_MAX).collect(),
            slots: 0,
            bytes: 0,
            last_run: 0,
        };
        work.all()?;
        Ok(work.found)
    }

    pub(super) fn of_nothing_lost() -> Self {
        Self {
            lost_pending: Some(0),
            ..Self::default()
        }
    }
}

/// One reading on its way.
struct Work<'a> {
    spool: &'a Spool,
    old: Option<&'a Connection>,
    new: Option<&'a Connection>,
    lane_of: fn(&[u8], usize) -> usize,
    found: Salvage,
    /// The first runs of each queue, with the bytes of their events.
    heads: BTreeMap<Place, BTreeMap<i64, Vec<u32>>>,
    /// Numbers of lanes that the runs' places agree with.
    lanes_possible: Vec<u8>,
    slots: u64,
    bytes: u64,
    last_run: i64,
}

impl Work<'_> {
    fn all(&mut self) -> Result<()> {
        if let Some(old) = self.old {
            let checked = old.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
            match checked {
                Ok::<String, _>(found) if found == "ok" => {}
                Ok(found) => self.damaged(found),
                Err(e) => self.damaged(e.to_string()),
            }
        }
        self.read_runs()?;
        self.read_rejected()?;
        self.read_receipts()?;
        let columns = match self.old.is_some_and(|old| version(old) < RECEIPTS_SINCE) {
            true => rows::STATE_COLUMNS_2,
            false => rows::STATE_COLUMNS,
        };
        let state = self.read_one(columns, "state", rows::state, || {
            "the sums (delivered, rejected, requests ...): they start anew".to_owned()
        });
        self.read_lanes(state.map(|(_, totals)| totals.pending))?;
        self.read_offsets()?;
        self.read_suspects()?;
        self.read_pause()?;
        self.write_state(state)
    }

    fn damaged(&mut self, what: String) {
        self.found.damage.get_or_insert(what);
    }

    fn write(&self, write: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<()> {
        self.new.map_or(Ok(()), |new| {
            write(new).map_err(|e| store_error(&self.spool.name(), e))
        })
    }

    fn read_runs(&mut self) -> Result<()> {
        let Some(old) = self.old else {
            return Ok(());
        };
        let scan = Scan {
            old,
            columns: rows::RUN_COLUMNS,
            table: "runs",
            index: "SELECT id FROM runs INDEXED BY runs_by_place WHERE lane >= 0",
        };
        let outcome = scan.read(rows::run, |(place, stored)| self.keep_run(place, &stored))?;
        if let Some(what) = outcome.damage {
            self.damaged(what);
        }
        let last = self.last_run.max(rows::last_run(old).unwrap_or_default());
        // A number is never given twice, not even by the new store: flushes wait for them.
        self.write(|new| {
            new.execute("DELETE FROM sqlite_sequence WHERE name = 'runs'", [])?;
            new.execute("INSERT INTO sqlite_sequence VALUES ('runs', ?)", [last])
                .map(drop)
        })
    }

    fn keep_run(&mut self, place: Place, stored: &StoredRun) -> Result<()> {
        let lengths: Vec<u32> = stored.run.slots.iter().map(|slot| slot.length).collect();
        self.found.runs += 1;
        self.slots += lengths.len() as u64;
        self.bytes += sum(&lengths);
        self.last_run = self.last_run.max(stored.id);
        let head = self.heads.entry(place).or_default();
        head.insert(stored.id, lengths);
        if head.len() > BATCH_RUNS {
            head.pop_last();
        }
        let lane_of = self.lane_of;
        for (fragment, _) in stored.run.events() {
            let user = event::user_of(fragment);
            self.lanes_possible
                .retain(|&lanes| lane_of(user, usize::from(lanes)) == usize::from(place.lane));
        }
        self.write(|new| rows::write_run(new, place, stored))
    }

    fn read_rejected(&mut self) -> Result<()> {
        let Some(old) = self.old else {
            return Ok(());
        };
        let scan = Scan {
            old,
            columns: rows::REJECTED_COLUMNS,
            table: "rejected",
            index: "SELECT id FROM rejected INDEXED BY rejected_by_user WHERE user >= ''",
        };
        let outcome = scan.read(rows::rejected, |(id, event)| {
            self.found.rejected += 1;
            self.write(|new| rows::write_rejected(new, Some(id), &event))
        })?;
        self.found.lost_rejected = outcome.lost;
        if let Some(what) = outcome.damage {
            self.damaged(what);
        }
        Ok(())
    }

    /// What was delivered stays so without them, so what is lost of them is only said.
    fn read_receipts(&mut self) -> Result<()> {
        let Some(old) = self.old.filter(|old| version(old) >= RECEIPTS_SINCE) else {
            return Ok(());
        };
        let scan = Scan {
            old,
            columns: rows::RECEIPT_COLUMNS,
            table: "receipts",
            // None: a row that cannot be reached is not known to have been.
            index: "SELECT 0 WHERE 0",
        };
        let outcome = scan.read(rows::receipt, |(id, receipt)| {
            self.found.receipts += 1;
            self.write(|new| rows::write_receipt(new, Some(id), &receipt))
        })?;
        if let Some(what) = outcome.damage {
            self.damaged(what);
            let kept = self.found.receipts;
            self.found.forgotten.push(format!(
                "receipts of what was delivered: {kept} can be read, others cannot"
            ));
        }
        Ok(())
    }

    /// A row of a table that has one, or the one with this number; `forgotten` says what it means if
    /// it cannot be read.
    fn read_one<T>(
        &mut self,
        columns: &str,
        from: &str,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
        forgotten: impl FnOnce() -> String,
    ) -> Option<T> {
        let sql = format!("SELECT {columns} FROM {from}");
        match self.old?.query_row(&sql, [], row).optional() {
            Ok(found) => found,
            Err(e) => {
                self.damaged(e.to_string());
                self.found.forgotten.push(forgotten());
                None
            }
        }
    }

    /// Reads a table without numbers by its key, from the front and from the back: damage in the middle
    /// stops either.
    fn read_both_ways<T>(
        &mut self,
        columns: &str,
        table: &str,
        key: &str,
        parse: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        mut keep: impl FnMut(T),
    ) {
        let Some(old) = self.old else {
            return;
        };
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT {columns} FROM {table} ORDER BY {key} {order}");
            let damage = each(old, &sql, |row| match parse(row) {
                Ok(row) => {
                    keep(row);
                    None
                }
                Err(e) => Some(e.to_string()),
            });
            damage.into_iter().for_each(|what| self.damaged(what));
        }
    }

    fn read_offsets(&mut self) -> Result<()> {
        let mut known = BTreeMap::new();
        self.read_both_ways(
            "name, upto, crc",
            "segments",
            "name",
            rows::offset,
            |(name, upto)| {
                known.insert(name, upto);
            },
        );
        let segments = round::list_segments(self.spool)?;
        // Without a trace of damage a segment without an offset is new.
        for segment in &segments {
            if self.found.damage.is_none() || known.contains_key(segment) {
                continue;
            }
            if let Some(upto) = segment_reader::first_record_after_hole(self.spool, segment)? {
                known.insert(segment.clone(), upto);
            }
            self.found.read_again.push(segment.clone());
        }
        // What is known of one that is gone is of no use.
        for name in &segments {
            if let Some(upto) = known.get(name) {
                self.write(|new| rows::write_offset(new, name, *upto))?;
            }
        }
        Ok(())
    }

    /// Users whose events wait apart: those in the suspects' queue have to stay so, for their order.
    fn read_suspects(&mut self) -> Result<()> {
        let mut known: HashMap<Vec<u8>, Suspect> = HashMap::new();
        self.read_both_ways(
            rows::SUSPECT_COLUMNS,
            "suspects",
            "user",
            rows::suspect,
            |suspect| {
                known.insert(suspect.user.clone(), suspect);
            },
        );
        let Some(new) = self.new else {
            return Ok(());
        };
        for suspect in known.values_mut() {
            suspect.waiting = 0;
        }
        let failed = |e| store_error(&self.spool.name(), e);
        for place in self.heads.keys().filter(|place| place.queue == 1) {
            let state = rows::read_lane(new, place.lane).map_err(failed)?;
            let (mut after, mut skip) = (0, state.queues[1].skip as usize);
            loop {
                let runs = rows::read_runs(new, *place, after, BATCH_RUNS).map_err(failed)?;
                let Some(last) = runs.last() else { break };
                after = last.id;
                for (fragment, _) in runs.iter().flat_map(|stored| stored.run.events()) {
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    let user = event::user_of(fragment);
                    let suspect = known.entry(user.to_vec()).or_insert_with(|| Suspect {
                        user: user.to_vec(),
                        lane: place.lane,
                        waiting: 0,
                        accepted: false,
                    });
                    suspect.waiting += 1;
                }
            }
        }
        for suspect in known.values() {
            self.write(|new| rows::write_suspect(new, suspect))?;
        }
        Ok(())
    }

    fn read_pause(&mut self) -> Result<()> {
        let pause = self.read_one(rows::PAUSE_COLUMNS, "pause", rows::pause, || {
            "why delivery was paused, if it was: it goes on".to_owned()
        });
        pause.map_or(Ok(()), |pause| {
            self.write(|new| rows::write_pause(new, &pause))
        })
    }

    fn write_state(&mut self, state: Option<(u8, Totals)>) -> Result<()> {
        let (lanes, mut totals) = state.unwrap_or_else(|| {
            // Whatever fits: events of a user have to stay in the lane that they are in.
            let least = self.heads.keys().map(|place| place.lane + 1).max();
            let lanes = least.map_or(0, |least| *self.lanes_possible.first().unwrap_or(&least));
            (lanes, Totals::default())
        });
        totals.pending = self.found.pending;
        totals.pending_bytes = self.bytes;
        totals.lost += self.found.lost_pending.unwrap_or_default() + self.found.lost_rejected;
        self.write(|new| rows::write_state(new, lanes, &totals))
    }
}

fn version(old: &Connection) -> i64 {
    let version = old.pragma_query_value(None, "user_version", |row| row.get(0));
    version.unwrap_or(RECEIPTS_SINCE)
}

fn sum(lengths: &[u32]) -> u64 {
    lengths.iter().map(|&length| u64::from(length)).sum()
}
