//! From the journal into the store, exactly once: rows and the segments' new offsets are one commit.
//!
//! Segments are read outside of the sender's lock and committed in chunks under it, so requests go
//! on meanwhile.

use std::fmt;

use super::state::State;
use crate::clock::BootTime;
use crate::dispatch::{NewRuns, Spread};
use crate::error::Result;
use crate::event;
use crate::journal::damage::{self, Damage};
use crate::journal::removal::{self, Tail};
use crate::journal::round::{Foreign, Offsets, Round};
use crate::log::Level;
use crate::spool::{Dir, Spool};
use crate::store::Change;

/// So many lines a round has at most for what is damaged in the journal, and one with the number of the
/// others.
const DAMAGE_LINES: u32 = 10;

/// One pass over the journal, in chunks.
pub(super) struct TakeOver {
    round: Round,
    lanes: usize,
    chunk_bytes: usize,
    done: bool,
    /// The escaped user whose events are not taken over but dropped, and how many these were.
    left_out: Option<(Vec<u8>, u64)>,
    pub(super) lines: DamageLines,
}

/// What of the log's lines for damage a round has used.
#[derive(Debug, Default)]
pub(super) struct DamageLines {
    written: u32,
    left_out: u64,
}

impl DamageLines {
    /// Whether one more line may be written.
    fn take(&mut self) -> bool {
        if self.written < DAMAGE_LINES {
            self.written += 1;
            return true;
        }
        self.left_out += 1;
        false
    }

    /// Whether more was damaged than lines were written for.
    pub(super) fn has_left_out(&self) -> bool {
        self.left_out > 0
    }
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
            left_out: None,
            lines: DamageLines::default(),
        })
    }

    /// Drops the events of the escaped `user` instead of taking them over.
    pub(super) fn leave_out(&mut self, user: &[u8]) {
        self.left_out = Some((user.to_vec(), 0));
    }

    /// How many events were dropped.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.as_ref().map_or(0, |(_, events)| *events)
    }

    /// Reads the next chunk; `None` when the round is complete.
    pub(super) fn read(&mut self, spool: &Spool) -> Result<Option<Chunk>> {
        if self.done {
            return Ok(None);
        }
        let mut spread = Spread::over(self.lanes);
        let left_out = &mut self.left_out;
        let read =
            self.round
                .read_chunk(self.chunk_bytes, |fragment, enqueued_ms| match left_out {
                    Some((user, events)) if event::user_of(fragment) == *user => *events += 1,
                    _ => spread.push(fragment, enqueued_ms),
                })?;
        // What is skipped must be safe elsewhere before it is skipped.
        damage::save(spool, self.round.journal(), &read.damage)?;
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
    pub(super) fn foreign(&self) -> &Foreign {
        self.round.foreign()
    }

    /// The open directory of the segments.
    pub(super) fn journal(&self) -> &Dir {
        self.round.journal()
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

    /// The first `limit` segments that were read to their end and whose writers have ended.
    pub(super) fn abandoned(&self, limit: usize) -> Vec<(String, u64)> {
        self.round
            .finished_segments()
            .filter(|(name, _)| removal::is_abandoned(self.journal(), name))
            .map(|(name, taken)| (name.to_owned(), taken))
            .take(limit)
            .collect()
    }
}

impl State {
    /// Commits a chunk.
    pub(super) fn take_over(&mut self, chunk: &Chunk, lines: &mut DamageLines) -> Result<()> {
        let mut totals = self.dispatcher.totals;
        totals.damaged_records += chunk.damage.len() as u64;
        let taken = chunk.offsets.iter().map(|(segment, upto)| Change::Taken {
            segment,
            upto: *upto,
        });
        self.dispatcher
            .append(&chunk.runs, taken.collect(), totals)?;
        self.offsets.extend(chunk.offsets.iter().cloned());
        self.say_damage(&chunk.damage, lines);
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

    /// Names what lies in the journal and is left alone. Files that come and go are no news, so they are
    /// named again only once there are twice as many.
    #[cold]
    fn say_foreign(&mut self, foreign: &Foreign) {
        if foreign.count < (2 * self.foreign_named).max(1) {
            return;
        }
        self.foreign_named = foreign.count;
        let names = foreign.first.join(", ");
        let text = match foreign.count - foreign.first.len() {
            0 if foreign.count == 1 => format!("journal/{names} is no segment and is left alone"),
            0 => format!(
                "{} files of journal/ are no segments and are left alone: {names}",
                foreign.count
            ),
            more => format!(
                "{} files of journal/ are no segments and are left alone: {names}, and {more} more; they cost time in each round, so remove them",
                foreign.count
            ),
        };
        self.dispatcher.say(Level::Warn, format_args!("{text}"));
    }

    pub(super) fn say_tail(&mut self, segment: &str, tail: &Tail, lines: &mut DamageLines) {
        lines.of_tail(segment, tail, &mut |level, text| {
            self.dispatcher.say(level, text);
        });
    }

    fn say_damage(&mut self, damage: &[Damage], lines: &mut DamageLines) {
        lines.of_damage(damage, &mut |level, text| self.dispatcher.say(level, text));
    }

    /// Says how much damage a round had no lines for.
    pub(super) fn say_rest_of_damage(&mut self, lines: &DamageLines) {
        lines.of_rest(&mut |level, text| self.dispatcher.say(level, text));
    }
}

/// What writes a line of the log.
pub(super) type Say<'s> = &'s mut dyn FnMut(Level, fmt::Arguments<'_>);

impl DamageLines {
    /// Says what stood behind the last whole record of a segment.
    #[cold]
    pub(super) fn of_tail(&mut self, segment: &str, tail: &Tail, say: Say<'_>) {
        if tail.keep_whole {
            if self.take() {
                say(
                    Level::Error,
                    format_args!(
                        "segment {segment}: {}; all {} bytes of it are set aside under damaged/",
                        match tail.damage.first() {
                            Some(damage) if damage.offset > 0 =>
                                "more of it is damaged than is searched for records",
                            _ => "no record of it can be read",
                        },
                        tail.upto
                    ),
                );
            }
            return;
        }
        self.of_damage(&tail.damage, say);
        if tail.missing > 0 && self.take() {
            say(
                Level::Error,
                format_args!(
                    "segment {segment}: another program has cut or replaced it; it is {} bytes shorter than what was taken over, which is kept; what stood behind that is lost; keep other programs out of the spool",
                    tail.missing
                ),
            );
        }
        if let Some(torn) = &tail.torn
            && self.take()
        {
            let kept = if torn.keep.is_some() {
                "; set aside under damaged/"
            } else {
                ""
            };
            say(
                Level::Warn,
                format_args!(
                    "segment {segment}: its last {} bytes were cut short{kept}; they were not acknowledged unless power was lost",
                    torn.bytes
                ),
            );
        }
    }

    /// Says which bytes of the journal are no records.
    #[cold]
    pub(super) fn of_damage(&mut self, damage: &[Damage], say: Say<'_>) {
        for damage in damage {
            if !self.take() {
                continue;
            }
            let kept = if damage.is_zero {
                "all zero"
            } else {
                "set aside under damaged/"
            };
            say(
                Level::Error,
                format_args!(
                    "segment {}: {} bytes at {} are no record; {kept}",
                    damage.segment, damage.length, damage.offset
                ),
            );
        }
    }

    /// Says how much damage there were no lines for.
    #[cold]
    pub(super) fn of_rest(&self, say: Say<'_>) {
        say(
            Level::Error,
            format_args!(
                "{} more places of the journal could not be read in the same round; see damaged/ and damaged_records",
                self.left_out
            ),
        );
    }
}
