//! What of the forwarded events the journal still keeps.
//!
//! A database that fails over to a replica, or is restored, may have lost the last statements, and then
//! the journal is the only copy. So what was forwarded stays for `forward_keep_s`, unless it is more than
//! `forward_keep_bytes`.
//!
//! The window is a row of marks: how far the segments were forwarded at some moment. Marks that are old
//! enough merge into `freed`, and what is before that may go. A mark has only what has moved since the one
//! before it, so a segment whose writer has ended is in one of them.

use std::collections::VecDeque;
use std::io::ErrorKind as IoKind;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::BootTime;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::journal::segment::HEADER_LEN;
use crate::spool::{Safety, Spool};

pub(super) const NAME: &str = "forward.window.json";
const BYTES_AT_MOST: usize = 64 * 1024 * 1024;
/// So many marks a window has: what goes at once is this part of what is kept.
const MARKS: u32 = 8;
/// A window has at most so many segments whose writers have ended: the database keeps an entry for each.
const SEGMENTS_AT_MOST: usize = 1024;

/// How much of what was forwarded is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For so long.
    pub time: Duration,
    /// At most so many bytes of the journal.
    pub bytes: u64,
}

impl Keep {
    /// Nothing is kept.
    pub const NOTHING: Self = Self {
        time: Duration::ZERO,
        bytes: 0,
    };
}

/// The state of the window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    /// Up to here a segment need not be there any more.
    freed: Offsets,
    /// The step in the database that `freed` is of.
    freed_step: i64,
    marks: VecDeque<Mark>,
    /// How far everything was at the last mark.
    #[serde(skip)]
    noted: Offsets,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    boot_count: u32,
    boot_ns: u64,
    wall_ms: i64,
    step: i64,
    moved: Offsets,
}

impl Mark {
    /// How long ago it was made; after another boot, how long ago that was at least.
    fn age(&self, now: BootTime) -> Duration {
        let since = match self.boot_count == now.boot_count {
            true => self.boot_ns,
            false => 0,
        };
        Duration::from_nanos(now.boot_ns.saturating_sub(since))
    }
}

/// Bytes of records before an offset.
fn before(offset: u64) -> u64 {
    offset.saturating_sub(HEADER_LEN as u64)
}

impl Window {
    pub(super) fn read(spool: &Spool) -> Result<Self> {
        let dir = spool.held_dir()?;
        let text = match dir.read(NAME, BYTES_AT_MOST) {
            Ok(text) => text,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(dir.error(NAME, e)),
        };
        let mut window: Self = serde_json::from_slice(&text).map_err(|e| {
            let path = dir.path(NAME);
            Error::new(
                ErrorKind::Store,
                format!("{}: cannot be read: {e}", path.display()),
            )
        })?;
        window.noted.clone_from(&window.freed);
        for mark in &window.marks {
            window.noted.extend(mark.moved.clone());
        }
        Ok(window)
    }

    pub(super) fn write(&self, spool: &Spool, safety: Safety) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("{NAME}: {e}")))?;
        let dir = spool.held_dir()?;
        dir.replace(NAME, &text, safety)
            .map_err(|e| dir.error(NAME, e))
    }

    /// Up to here a segment need not be there any more.
    pub fn freed(&self) -> &Offsets {
        &self.freed
    }

    /// Events before this step in the database may not be in the journal any more.
    pub fn freed_step(&self) -> i64 {
        self.freed_step
    }

    /// Nothing before these offsets is ever forwarded.
    pub fn start_at(&mut self, offsets: &Offsets) {
        self.marks.clear();
        self.freed.clone_from(offsets);
        self.noted.clone_from(offsets);
        self.freed_step = 0;
    }

    /// When what is kept was forwarded first, wall time in milliseconds.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.marks.front().map(|mark| mark.wall_ms)
    }

    /// Bytes of the journal that were forwarded and are kept.
    pub(super) fn kept_bytes(&self, forwarded: &Offsets) -> u64 {
        kept(forwarded, &self.freed)
    }

    /// Notes how far the segments are forwarded, if it is time to; says whether it has.
    pub fn note(
        &mut self,
        (now, wall_ms): (BootTime, i64),
        (step, forwarded): (i64, &Offsets),
        keep: Keep,
    ) -> bool {
        let is_new = |name: &String, offset: &u64| self.noted.get(name) != Some(offset);
        let moved: Offsets = forwarded
            .iter()
            .filter(|(name, offset)| is_new(name, offset))
            .map(|(name, offset)| (name.clone(), *offset))
            .collect();
        let bytes = kept(forwarded, &self.noted);
        let is_due = self.marks.back().is_none_or(|last| {
            last.age(now) >= keep.time / MARKS
                || bytes >= keep.bytes / u64::from(MARKS)
                || moved.len() >= SEGMENTS_AT_MOST / MARKS as usize
        });
        if moved.is_empty() || !is_due {
            return false;
        }
        self.noted.extend(moved.clone());
        self.marks.push_back(Mark {
            boot_count: now.boot_count,
            boot_ns: now.boot_ns,
            wall_ms,
            step,
            moved,
        });
        true
    }

    /// Whether [`free`](Self::free) would free something.
    pub fn would_free(&self, now: BootTime, forwarded: &Offsets, keep: Keep) -> bool {
        self.marks.front().is_some_and(|oldest| {
            oldest.age(now) >= keep.time
                || self.kept_bytes(forwarded) > keep.bytes
                || self.kept_segments(forwarded) > SEGMENTS_AT_MOST
        })
    }

    /// Frees what is old enough, and more if there is too much; says whether anything was freed.
    pub fn free(&mut self, now: BootTime, forwarded: &Offsets, keep: Keep) -> bool {
        let mut has_freed = false;
        while self.would_free(now, forwarded, keep) {
            let Some(mark) = self.marks.pop_front() else {
                break;
            };
            self.freed_step = mark.step;
            self.freed.extend(mark.moved);
            has_freed = true;
        }
        has_freed
    }

    fn kept_segments(&self, forwarded: &Offsets) -> usize {
        let is_kept = |(name, offset): &(&String, &u64)| self.freed.get(*name) != Some(offset);
        forwarded.iter().filter(is_kept).count()
    }

    /// These segments are gone.
    pub(super) fn forget(&mut self, gone: &[String]) {
        for name in gone {
            self.freed.remove(name);
            self.noted.remove(name);
            for mark in &mut self.marks {
                mark.moved.remove(name);
            }
        }
    }

    /// The database has been set back to a step, with these offsets of its own. Says from where on the
    /// segments are to be forwarded again.
    pub fn set_back(&mut self, step: i64, theirs: &Offsets) -> Offsets {
        let mut from = theirs.clone();
        for (name, freed) in &self.freed {
            let offset = from.entry(name.clone()).or_default();
            *offset = (*offset).max(*freed);
        }
        self.marks.clear();
        self.noted.clone_from(&self.freed);
        self.freed_step = self.freed_step.min(step);
        from
    }
}

/// Bytes between two states of the segments.
fn kept(upto: &Offsets, from: &Offsets) -> u64 {
    let of = |(name, upto): (&String, &u64)| {
        let from = from.get(name).copied().unwrap_or_default();
        before(*upto).saturating_sub(before(from))
    };
    upto.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep {
        time: Duration::from_secs(80),
        bytes: 8_000,
    };

    fn at(boot_count: u32, seconds: u64) -> (BootTime, i64) {
        let boot_ns = seconds * 1_000_000_000;
        (
            BootTime {
                boot_count,
                boot_ns,
            },
            0,
        )
    }

    fn offsets(entries: &[(&str, u64)]) -> Offsets {
        let entries = entries.iter();
        entries.map(|(name, at)| ((*name).into(), *at)).collect()
    }

    #[test]
    fn what_was_forwarded_goes_once_it_is_old_enough_and_not_before() {
        let mut window = Window::default();
        assert!(window.note(at(1, 0), (1, &offsets(&[("a", 100)])), KEEP));
        let later = offsets(&[("a", 200), ("b", 90)]);
        assert!(
            !window.note(at(1, 9), (2, &later), KEEP),
            "too soon for a mark"
        );
        assert!(window.note(at(1, 10), (2, &later), KEEP));

        assert!(!window.free(at(1, 79).0, &later, KEEP));
        assert!(window.free(at(1, 80).0, &later, KEEP));
        assert_eq!(window.freed(), &offsets(&[("a", 100)]));
        assert_eq!(window.freed_step(), 1);
        assert!(window.free(at(1, 90).0, &later, KEEP));
        assert_eq!(window.freed(), &later);
    }

    #[test]
    fn after_another_boot_the_time_before_it_does_not_count() {
        let mut window = Window::default();
        let all = offsets(&[("a", 100)]);
        window.note(at(1, 1_000), (1, &all), KEEP);
        assert!(!window.free(at(2, 79).0, &all, KEEP));
        assert!(window.free(at(2, 80).0, &all, KEEP));
    }

    #[test]
    fn more_bytes_or_segments_than_may_be_kept_go_the_oldest_first() {
        let mut window = Window::default();
        let mut forwarded = Offsets::new();
        for number in 0..12 {
            forwarded.insert(format!("{number:02}"), 1_000 + HEADER_LEN as u64);
            assert!(window.note(at(1, number), (number as i64, &forwarded), KEEP));
        }
        assert!(window.free(at(1, 12).0, &forwarded, KEEP));
        assert_eq!(window.kept_bytes(&forwarded), 8_000);
        assert!(window.freed().contains_key("03") && !window.freed().contains_key("04"));

        let many: Offsets = (0..3_000).map(|number| (format!("{number}"), 65)).collect();
        let mut window = Window::default();
        window.note(at(1, 0), (1, &many), KEEP);
        window.free(at(1, 0).0, &many, KEEP);
        assert!(window.kept_segments(&many) <= SEGMENTS_AT_MOST);
    }

    #[test]
    fn an_older_database_is_given_again_all_that_is_kept() {
        let mut window = Window::default();
        window.note(at(1, 0), (1, &offsets(&[("a", 100)])), KEEP);
        let now = offsets(&[("a", 500), ("b", 300)]);
        window.note(at(1, 40), (5, &now), KEEP);
        window.free(at(1, 85).0, &now, KEEP);

        let from = window.set_back(0, &offsets(&[("a", 70), ("c", 80)]));
        assert_eq!(from, offsets(&[("a", 100), ("c", 80)]));
        assert!(
            !window.free(at(1, 1_000).0, &from, KEEP),
            "nothing of it is forwarded"
        );
    }

    #[test]
    fn a_window_outlasts_its_process() {
        let (_parent, spool) = crate::spool::tests::new_spool();
        let mut window = Window::read(&spool).unwrap();
        window.note(at(1, 0), (1, &offsets(&[("a", 100)])), KEEP);
        window.note(at(1, 10), (2, &offsets(&[("a", 200)])), KEEP);
        window.free(at(1, 80).0, &offsets(&[("a", 200)]), KEEP);
        window.write(&spool, Safety::Power).unwrap();
        assert_eq!(Window::read(&spool).unwrap(), window);
    }
}
