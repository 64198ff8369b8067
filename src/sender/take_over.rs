//! From the journal into the store, exactly once: rows and the segments' new offsets are one commit.
//!
//! Segments are read outside of the sender's lock and committed in chunks under it, so requests go
//! on meanwhile.

use super::state::State;
use crate::clock::BootTime;
use crate::dispatch::{NewRuns, Spread};
use crate::error::Result;
use crate::journal::damage::Damage;
use crate::journal::removal::{self, Tail};
use crate::journal::round::{Offsets, Round};
use crate::journal::segment;
use crate::log::Level;
use crate::spool::Spool;
use crate::store::Change;

/// One pass over the journal, in chunks.
pub(super) struct TakeOver {
    round: Round,
    lanes: usize,
    chunk_bytes: usize,
    done: bool,
}

/// Events read and not yet committed.
pub(super) struct Chunk {
    runs: NewRuns,
    offsets: Vec<(String, u64)>,
    damage: Vec<Damage>,
}

impl TakeOver {
    /// Notes the time and lists the segments; needs no lock, since only this thread moves offsets.
    pub(super) fn begin(
        spool: &Spool,
        taken: &Offsets,
        lanes: usize,
        chunk_bytes: usize,
    ) -> Result<Self> {
        Ok(Self {
            round: Round::begin(spool, taken)?,
            lanes,
            chunk_bytes,
            done: false,
        })
    }

    /// Reads the next chunk; `None` when the round is complete.
    pub(super) fn read(&mut self, spool: &Spool) -> Result<Option<Chunk>> {
        if self.done {
            return Ok(None);
        }
        let mut spread = Spread::over(self.lanes);
        let read = self
            .round
            .read_chunk(self.chunk_bytes, |fragment, enqueued_ms| {
                spread.push(fragment, enqueued_ms);
            })?;
        // What is skipped must be safe elsewhere before it is skipped.
        for damage in &read.damage {
            damage.save(spool)?;
        }
        self.done = !read.more;
        if read.offsets.is_empty() {
            return Ok(None);
        }
        Ok(Some(Chunk {
            runs: spread.into_runs(),
            offsets: read.offsets,
            damage: read.damage,
        }))
    }

    /// What lies in the journal and is no segment.
    pub(super) fn foreign(&self) -> &[String] {
        self.round.foreign_names()
    }

    /// The time up to which all is taken over once the last chunk is committed.
    pub(super) fn upto(&self) -> BootTime {
        self.round.cutoff()
    }

    /// Bytes of the journal that are taken over and still stand there.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.round.taken_bytes()
    }

    /// Whether everything of the round has been read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Segments of which an offset is known, and no file.
    pub(super) fn missing(&self, taken: &Offsets) -> Vec<String> {
        self.round.missing_segments(taken)
    }

    /// Segments read to their end whose writers have ended.
    pub(super) fn abandoned(&self, spool: &Spool) -> Vec<(String, u64)> {
        self.round
            .finished_segments()
            .filter(|(name, _)| removal::is_abandoned(spool, name))
            .map(|(name, taken)| (name.to_owned(), taken))
            .collect()
    }
}

impl State {
    /// Commits a chunk.
    pub(super) fn take_over(&mut self, chunk: &Chunk) -> Result<()> {
        let mut totals = self.dispatcher.totals;
        totals.damaged_records += chunk.damage.len() as u64;
        let taken = chunk.offsets.iter().map(|(segment, upto)| Change::Taken {
            segment,
            upto: *upto,
        });
        self.dispatcher
            .append(&chunk.runs, taken.collect(), totals)?;
        self.offsets.extend(chunk.offsets.iter().cloned());
        self.say_damage(&chunk.damage);
        Ok(())
    }

    /// Notes how far the journal is taken over after a round, and what in it is no segment.
    pub(super) fn note_round(&mut self, round: &TakeOver) {
        self.take_over_is_limited = !round.is_done();
        if !self.take_over_is_limited {
            self.taken_upto = round.upto();
        }
        self.say_foreign(round.foreign());
    }

    /// Names what lies in the journal and is left alone, when it is news.
    fn say_foreign(&mut self, foreign: &[String]) {
        if self.foreign == foreign {
            return;
        }
        for name in foreign {
            self.dispatcher.say(
                Level::Warn,
                format_args!("journal/{name} is no segment and is left alone"),
            );
        }
        foreign.clone_into(&mut self.foreign);
    }

    pub(super) fn say_tail(&mut self, segment: &str, tail: &Tail) {
        self.say_damage(&tail.damage);
        if let Some(torn) = &tail.torn {
            let kept = if torn.keep.is_some() {
                "; set aside under damaged/"
            } else {
                ""
            };
            self.dispatcher.say(
                Level::Warn,
                format_args!(
                    "segment {segment}: its last {} bytes were cut short{kept}; they were not acknowledged unless power was lost",
                    torn.bytes
                ),
            );
        }
    }

    fn say_damage(&mut self, damage: &[Damage]) {
        for damage in damage {
            let kept = if segment::is_zero(&damage.bytes) {
                "all zero"
            } else {
                "set aside under damaged/"
            };
            self.dispatcher.say(
                Level::Error,
                format_args!(
                    "segment {}: {} bytes at {} are no record; {kept}",
                    damage.segment,
                    damage.bytes.len(),
                    damage.offset
                ),
            );
        }
    }
}
