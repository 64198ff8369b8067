//! How a segment ends: what stands behind its last whole record is judged once its writer has ended,
//! and then the segment goes.
//!
//! The order is what makes a removal safe: everything that was read is committed durably, then the
//! segment's lock is taken, its size read again, and only if nothing is behind what was taken over it is
//! unlinked, under the lock.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::FlockOperation;

use super::damage::Damage;
use super::segment::{self, BadHeader, HEADER_LEN, Header, Position};
use super::segment_reader::{header_by_name, newer, open_for_reading, pieces};
use crate::error::{Error, Result};
use crate::spool::Spool;

/// What stands behind the last whole record of a segment whose writer has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The segment's size: so far it is taken over once this is dealt with.
    pub upto: u64,
    /// Bytes that are no record, nor the beginning of one.
    pub damage: Vec<Damage>,
    /// What was being written when its writer ended, or zeros: nothing that was acknowledged after
    /// the death of a process, but perhaps after a power cut.
    pub torn: Option<Torn>,
}

/// The end of a segment that was cut short, or is zero.
#[derive(Debug, PartialEq, Eq)]
pub struct Torn {
    /// How much there is of it.
    pub bytes: u64,
    /// What is worth keeping: after a reboot it may have been acknowledged, in part.
    pub keep: Option<Damage>,
}

/// What became of a segment that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its writer lives, or there is more to read.
    Kept,
    /// It is gone, or was before.
    Removed,
}

/// Whether the writer of a segment has ended. What is abandoned stays so.
pub fn is_abandoned(spool: &Spool, name: &str) -> bool {
    open_for_reading(&spool.journal_dir().join(name)).is_ok_and(|file| is_free(&file))
}

/// Looks at the end of an abandoned segment that was read up to `taken`; `None` while a whole record
/// stands there, which the next round reads.
pub fn tail(spool: &Spool, name: &str, taken: u64) -> Result<Option<Tail>> {
    let path = spool.journal_dir().join(name);
    let io = |e: std::io::Error| Error::io(path.display(), e);
    let file = match open_for_reading(&path) {
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
    let by_name = header_by_name(name, &about);
    let rebooted = by_name.boot_count < spool.boot_count();
    let header = read(0, size.min(HEADER_LEN as u64))?;
    let decoded = Header::decode(&header);
    match decoded {
        Ok(_) => {}
        Err(BadHeader::Newer) => return Err(newer(&path)),
        // Short: its writer died while it created the segment, or a power cut took what was in it.
        Err(BadHeader::Short) => {
            tail.torn = rebooted.then(|| torn(name, 0, header, rebooted));
            return Ok(Some(tail));
        }
        // Else it was told when the first record was looked for.
        Err(BadHeader::Damaged) if size == HEADER_LEN as u64 => tail.damage.push(Damage {
            segment: name.to_owned(),
            offset: 0,
            bytes: header,
        }),
        Err(BadHeader::Damaged) => {}
    }
    let position = Position {
        created_boot_ns: decoded.unwrap_or(by_name).created_boot_ns,
        offset: taken,
    };
    let bytes = read(taken, size)?;
    let (damage, at, record) = pieces(name, &bytes, position);
    if record.is_some() {
        return Ok(None);
    }
    tail.damage.extend(damage);
    if at < bytes.len() {
        let offset = position.further(at).offset;
        tail.torn = Some(torn(name, offset, bytes[at..].to_vec(), rebooted));
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

/// Removes a segment whose writer has ended, if `taken` is all of it: taken over **durably**, its
/// [`tail`] included. The caller syncs the directory.
pub fn remove(spool: &Spool, name: &str, taken: u64) -> Result<Removal> {
    let path = spool.journal_dir().join(name);
    let io = |e: std::io::Error| Error::io(path.display(), e);
    let file = match open_for_reading(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Removal::Removed),
        Err(e) => return Err(io(e)),
    };
    // Under the lock the size is final: its writer is gone.
    if !is_free(&file) || file.metadata().map_err(io)?.size() > taken {
        return Ok(Removal::Kept);
    }
    fs::remove_file(&path).map_err(io)?;
    Ok(Removal::Removed)
}

/// Takes the lock of a segment, unless its writer lives.
fn is_free(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}
