//! Bytes of a segment that could not be read, and the files that save them for a person to look at.
//!
//! Each is a file `damaged/<segment>-<offset>`, durable before the sender passes over the bytes. They
//! are copied through a window, and their holes stay holes. The same bytes are one file however often
//! they are read; other bytes at the same offset get a number behind. A file of which nothing can be
//! read, or with more damage than a writer's whole segment has, is kept as a whole, under its own name; if it
//! was read up to some offset, with `.from-<offset>` behind that.
//!
//! The library never removes these files, and `max_spool_bytes` does not count them: they are never
//! larger than what was damaged.

use std::fs::File;
use std::io::{self, ErrorKind as IoKind};
use std::os::unix::fs::FileExt;

use super::segment;
use crate::error::Result;
use crate::process::{ClosedInChild, random_u64};
use crate::spool::{Dir, Safety, Spool, file_limit};

/// What is copied or compared at once.
const WINDOW_BYTES: usize = 256 * 1024;
/// So many names with a number behind are tried. After them the number is a random one.
const NUMBERS: u64 = 100;

/// Bytes of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// All of them are zero, so there is nothing to save.
    pub is_zero: bool,
}

/// Saves what was damaged in `damaged/`, durably.
pub(crate) fn save(spool: &Spool, journal: &Dir, damage: &[Damage]) -> Result<()> {
    let mut worth_it = damage.iter().filter(|damage| !damage.is_zero).peekable();
    if worth_it.peek().is_none() {
        return Ok(());
    }
    let dir = spool.damaged().ensure()?;
    for damage in worth_it {
        let segment = journal.open(&damage.segment);
        let segment = segment.map_err(|e| journal.error(&damage.segment, e))?;
        let failed = |e| journal.error(&damage.segment, e);
        // A file that is larger than this process may write would end it by a signal.
        let limit = file_limit();
        let (mut from, end) = (damage.offset, damage.offset + damage.length);
        while from < end {
            let length = (end - from).min(limit);
            let name = format!("{}-{from}", damage.segment);
            save_range(&dir, &name, &segment, (from, length)).map_err(|e| dir.error(&name, e))?;
            from = data_from(&segment, from + length).map_err(failed)?;
        }
    }
    dir.sync().map_err(|e| dir.own_error(e))
}

fn save_range(
    dir: &Dir,
    name: &str,
    segment: &ClosedInChild<File>,
    (from, length): (u64, u64),
) -> io::Result<()> {
    for name in names(name) {
        match dir.size(&name)? {
            Some(size) => {
                if size == length && is_same(&dir.open(&name)?, segment, (from, length))? {
                    return Ok(());
                }
            }
            None => {
                return dir.replace_with(&name, Safety::Process, |file| {
                    copy(segment, (from, length), file)?;
                    file.sync_all()
                });
            }
        }
    }
    Err(IoKind::AlreadyExists.into())
}

/// The names to try for a file: its own, the same with a number behind, and one that nobody has.
fn names(name: &str) -> impl Iterator<Item = String> {
    let numbered = (2..=NUMBERS).chain([random_u64()]);
    let numbered = numbered.map(move |number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered)
}

/// Moves a whole segment into `damaged/`, where it is `kept_as`. The caller syncs both directories.
pub(super) fn keep_whole(
    damaged: &Dir,
    journal: &Dir,
    (name, kept_as): (&str, &str),
) -> io::Result<()> {
    for kept in names(kept_as) {
        match journal.rename_to_free(name, damaged, &kept) {
            Err(e) if e.kind() == IoKind::AlreadyExists => {}
            Err(e) if e.kind() == IoKind::CrossesDevices => {
                return copy_whole(damaged, journal, (name, kept_as));
            }
            renamed => return renamed,
        }
    }
    Err(IoKind::AlreadyExists.into())
}

/// The same where `damaged` is on another disk.
fn copy_whole(damaged: &Dir, journal: &Dir, (name, kept_as): (&str, &str)) -> io::Result<()> {
    let segment = journal.open(name)?;
    let length = segment.metadata()?.len();
    save_range(damaged, kept_as, &segment, (0, length))?;
    damaged.sync()?;
    journal.remove(name).map(|_| ())
}

/// Copies a range to the beginning of an empty file.
fn copy(segment: &ClosedInChild<File>, (from, length): (u64, u64), to: &File) -> io::Result<()> {
    let end = from + length;
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = data_from(segment, from)?;
    while at < end {
        let got = read_window(segment, &mut window, (at, end))?;
        if !segment::is_zero(got) {
            to.write_all_at(got, at - from)?;
        }
        at = data_from(segment, at + got.len() as u64)?;
    }
    to.set_len(length)
}

fn is_same(
    saved: &ClosedInChild<File>,
    segment: &ClosedInChild<File>,
    (from, length): (u64, u64),
) -> io::Result<bool> {
    let (mut window, mut other) = (vec![0; WINDOW_BYTES], vec![0; WINDOW_BYTES]);
    let mut at = 0;
    while at < length {
        let ours = read_window(segment, &mut window, (from + at, from + length))?;
        let theirs = read_window(saved, &mut other, (at, length))?;
        if ours != theirs {
            return Ok(false);
        }
        // Where both have a hole, both are zero.
        let behind = at + ours.len() as u64;
        let data = data_from(segment, from + behind)?.saturating_sub(from);
        at = data.min(data_from(saved, behind)?);
    }
    Ok(true)
}

/// The next bytes of a range, which has to be there as a whole.
fn read_window<'w>(
    file: &ClosedInChild<File>,
    window: &'w mut [u8],
    (at, end): (u64, u64),
) -> io::Result<&'w [u8]> {
    let length = window.len().min((end - at) as usize);
    let window = &mut window[..length];
    file.read_exact_at(window, at)?;
    // Bytes of another file would be saved as this one's.
    file.check()?;
    Ok(window)
}

/// Where the next bytes of a segment stand that are no hole.
pub(super) fn data_from(file: &ClosedInChild<File>, from: u64) -> io::Result<u64> {
    let found = crate::spool::data_from(file, from);
    file.check()?;
    found
}
