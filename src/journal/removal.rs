//! Removing a segment whose writer has ended: its tail is read and judged, then the file is
//! unlinked.
//!
//! The order makes a removal safe: the sender commits everything that it read, durably, then takes
//! the segment's lock and reads its size again. Only if nothing stands behind what was taken over
//! is the segment unlinked, under the lock.

use std::io::ErrorKind as IoKind;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::damage::Damage;
use super::segment::{self, BadHeader, HEADER_LEN, Header, Position};
use super::segment_reader::{find_record, header_from_name, newer_version};
use crate::error::Result;
use crate::spool::{Spool, try_lock_to_look};

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
pub fn is_abandoned(spool: &Spool, name: &str) -> bool {
    let Ok(Some(journal)) = spool.journal().open() else {
        return false;
    };
    let opened = journal.open(name);
    opened.is_ok_and(|file| try_lock_to_look(&file, name).is_ok_and(|lock| lock.is_some()))
}

/// Reads the tail of an abandoned segment behind `taken`; `None` while a whole record stands there,
/// which the next round reads.
pub fn read_tail(spool: &Spool, name: &str, taken: u64) -> Result<Option<Tail>> {
    let Some(journal) = spool.journal().open()? else {
        return Ok(Some(Tail::default()));
    };
    let io = |e: std::io::Error| journal.error(name, e);
    let file = match journal.open(name) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Some(Tail::default())),
        Err(e) => return Err(io(e)),
    };
    let about = file.metadata().map_err(io)?;
    let size = about.size();
    let read = |from: u64, upto: u64| -> Result<Vec<u8>> {
        let mut bytes = vec![0; upto.saturating_sub(from) as usize];
        file.read_exact_at(&mut bytes, from).map_err(io)?;
        Ok(bytes)
    };
    let mut tail = Tail {
        upto: size,
        ..Tail::default()
    };
    let named_header = header_from_name(name, about.mtime());
    let rebooted = named_header.boot_count < spool.boot_count();
    let header = read(0, size.min(HEADER_LEN as u64))?;
    let decoded = Header::decode(&header);
    match decoded {
        Ok(_) => {}
        Err(BadHeader::Newer) => return Err(newer_version(&journal.path(name))),
        // Its writer died while it created the segment, or a power cut took what was in it.
        Err(BadHeader::Short) => {
            tail.torn = rebooted.then(|| torn(name, 0, header, rebooted));
            return Ok(Some(tail));
        }
        // In a longer segment, the round has reported the damaged header already.
        Err(BadHeader::Damaged) if size == HEADER_LEN as u64 => tail.damage.push(Damage {
            segment: name.to_owned(),
            offset: 0,
            bytes: header,
        }),
        Err(BadHeader::Damaged) => {}
    }
    let position = Position {
        created_boot_ns: decoded.unwrap_or(named_header).created_boot_ns,
        offset: taken,
    };
    let bytes = read(taken, size)?;
    let found = find_record(name, &bytes, position);
    if found.record.is_some() {
        return Ok(None);
    }
    tail.damage.extend(found.damage);
    if found.skipped < bytes.len() {
        let offset = position.plus(found.skipped).offset;
        let bytes = bytes[found.skipped..].to_vec();
        tail.torn = Some(torn(name, offset, bytes, rebooted));
    }
    Ok(Some(tail))
}

fn torn(name: &str, offset: u64, bytes: Vec<u8>, rebooted: bool) -> Torn {
    Torn {
        bytes: bytes.len() as u64,
        keep: (rebooted && !segment::is_zero(&bytes)).then(|| Damage {
            segment: name.to_owned(),
            offset,
            bytes,
        }),
    }
}

/// Removes a segment whose writer has ended, if all of it is before `taken`. Everything before
/// `taken`, the tail included, has to be taken over **durably**. The caller syncs the directory.
pub fn remove_segment(spool: &Spool, name: &str, taken: u64) -> Result<Removal> {
    let Some(journal) = spool.journal().open()? else {
        return Ok(Removal::Removed);
    };
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
    journal.remove(name).map_err(io)?;
    Ok(Removal::Removed)
}
