//! Removing a segment whose writer has ended: its tail is read and judged, then the file is
//! unlinked.
//!
//! The order makes a removal safe: the sender commits everything that it read, durably, then takes
//! the segment's lock and reads its size again. Only if nothing stands behind what was taken over
//! is the segment unlinked, under the lock.

use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;

use super::damage::{self, Damage};
use super::open_segment::LONGEST_SEGMENT_BYTES;
use super::segment::{BadHeader, HEADER_LEN, Header};
use super::segment_look::Look;
use super::segment_reader::{header_damage, header_from_name, newer_version};
use crate::error::Result;
use crate::spool::{Dir, Spool, try_lock_to_look};

/// In the name of a segment that is kept as a whole, before the offset up to which it was read.
pub const KEPT_FROM: &str = ".from-";

/// What stands behind the last whole record of a segment whose writer has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The segment's size: how far it is taken over once this tail is.
    pub upto: u64,
    /// Bytes that are neither a record nor the beginning of one.
    pub damage: Vec<Damage>,
    /// What was being written when the writer ended, or zeros. After the death of a process, none
    /// of it was acknowledged; after a power cut, it may have been.
    pub torn: Option<Torn>,
    /// The file is kept under `damaged/`, instead of what is damaged of it: nothing of it can be read, or
    /// more than a writer's whole segment has.
    pub keep_whole: bool,
    /// So many bytes before what was taken over are not there: another program has cut the file or put
    /// another one in its place.
    pub missing: u64,
}

/// An incomplete record or zeros at the end of a segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Torn {
    /// How long it is.
    pub bytes: u64,
    /// The bytes, if they are worth saving: after a reboot, a part of them may have been
    /// acknowledged.
    pub keep: Option<Damage>,
}

/// What became of a segment that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// The segment is still there: its writer lives, or there is more to read.
    Kept,
    /// The segment is gone, now or already before.
    Removed,
}

/// Whether the writer of a segment has ended. No other process will append to it.
pub fn is_abandoned(journal: &Dir, name: &str) -> bool {
    let opened = journal.open(name);
    opened.is_ok_and(|file| try_lock_to_look(&file, name).is_ok_and(|lock| lock.is_some()))
}

/// Reads the tail of an abandoned segment behind `taken`; `None` while a whole record stands there,
/// which the next round reads.
pub fn read_tail(spool: &Spool, journal: &Dir, name: &str, taken: u64) -> Result<Option<Tail>> {
    let io = |e: std::io::Error| journal.error(name, e);
    let file = match journal.open(name) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Some(Tail::default())),
        Err(e) => return Err(io(e)),
    };
    let about = file.metadata().map_err(io)?;
    let size = about.size();
    let mut look = Look::open(file, size);
    let mut tail = Tail {
        upto: size,
        ..Tail::default()
    };
    let named_header = header_from_name(name, about.mtime());
    let rebooted = named_header.boot_count < spool.boot_count();
    // A power cut may leave less than was taken over, too.
    if !rebooted && taken > HEADER_LEN as u64 {
        tail.missing = taken.saturating_sub(size);
    }
    let header = look.header().map_err(io)?;
    let decoded = Header::decode(header);
    match decoded {
        Ok(_) => {}
        Err(BadHeader::Newer) => return Err(newer_version(&journal.path(name))),
        // Its writer died while it created the segment, or a power cut took what was in it.
        Err(BadHeader::Short) => {
            let is_zero = header_damage(name, header).is_zero;
            tail.keep_whole = rebooted && !is_zero;
            let torn = Torn {
                bytes: size,
                keep: None,
            };
            tail.torn = rebooted.then_some(torn);
            return Ok(Some(tail));
        }
        // If a record was read behind it, the round has reported it.
        Err(BadHeader::Damaged) if taken <= HEADER_LEN as u64 => {
            tail.damage.push(header_damage(name, header));
        }
        Err(BadHeader::Damaged) => {}
    }
    look.created_boot_ns = decoded.unwrap_or(named_header).created_boot_ns;
    let found = look.find_record(name, taken).map_err(io)?;
    if found.is_record {
        return Ok(None);
    }
    let damaged: u64 = found.damage.iter().map(|damage| damage.length).sum();
    if look.has_given_up() || damaged > LONGEST_SEGMENT_BYTES {
        // Whatever it holds behind what was read, a copy of it would cost too much.
        tail.keep_whole = true;
        tail.damage = vec![Damage {
            segment: name.to_owned(),
            offset: taken,
            length: size - taken,
            is_zero: false,
        }];
        return Ok(Some(tail));
    }
    tail.keep_whole = !tail.damage.is_empty() && !look.is_zero(0, size).map_err(io)?;
    tail.damage.extend(found.damage);
    if found.upto < size {
        let torn = Damage {
            segment: name.to_owned(),
            offset: found.upto,
            length: size - found.upto,
            is_zero: look.is_zero(found.upto, size).map_err(io)?,
        };
        tail.torn = Some(Torn {
            bytes: torn.length,
            keep: (rebooted && !torn.is_zero && !tail.keep_whole).then_some(torn),
        });
    }
    Ok(Some(tail))
}

/// Removes a segment whose writer has ended, if all of it is before `taken`. Everything before
/// `taken`, the tail included, has to be taken over **durably**. The caller syncs the directory.
pub fn remove_segment(journal: &Dir, name: &str, taken: u64) -> Result<Removal> {
    take_out(journal, name, taken, || journal.remove(name).map(|_| ()))
}

/// The same, but the file is kept in `damaged`, which the caller syncs as well. Its name there says from
/// where on nothing of it was read, if something was: what stands before that must not be sent again.
pub fn keep_segment(
    journal: &Dir,
    damaged: &Dir,
    (name, tail): (&str, &Tail),
    taken: u64,
) -> Result<Removal> {
    let from = tail.damage.first().map_or(0, |damage| damage.offset);
    let kept = match from <= HEADER_LEN as u64 {
        true => name.to_owned(),
        false => format!("{name}{KEPT_FROM}{from}"),
    };
    take_out(journal, name, taken, || {
        damage::keep_whole(damaged, journal, (name, &kept))
    })
}

fn take_out(
    journal: &Dir,
    name: &str,
    taken: u64,
    take: impl FnOnce() -> std::io::Result<()>,
) -> Result<Removal> {
    let io = |e: std::io::Error| journal.error(name, e);
    let file = match journal.open(name) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Removal::Removed),
        Err(e) => return Err(io(e)),
    };
    // Under the lock the size is final: the writer has ended.
    let lock = try_lock_to_look(&file, journal.path(name).display())?;
    if lock.is_none() || file.metadata().map_err(io)?.size() > taken {
        return Ok(Removal::Kept);
    }
    take().map_err(io)?;
    Ok(Removal::Removed)
}
