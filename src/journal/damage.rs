//! Where bytes go that could not be read, so that a person can look at them.
//!
//! Each is a file `damaged/<segment>-<offset>`, durable before the bytes are passed over. The same
//! bytes are one file however often they are read; other bytes at the same place get a number behind.
//! The library never removes them, and `max_spool_bytes` does not count them: they are never more than
//! what was damaged.

use std::fs;
use std::io::ErrorKind as IoKind;

use super::segment;
use crate::error::{Error, Result};
use crate::spool::{Spool, replace_file};

/// Bytes of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where the bytes begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Keeps the bytes of `damage`; there is nothing to keep of zeros.
pub(crate) fn set_aside(spool: &Spool, damage: &Damage) -> Result<()> {
    if segment::is_zero(&damage.bytes) {
        return Ok(());
    }
    let dir = spool.damaged_dir();
    spool.ensure_dir(&dir)?;
    let place = format!("{}-{}", damage.segment, damage.offset);
    for number in 1_u64.. {
        let path = match number {
            1 => dir.join(&place),
            _ => dir.join(format!("{place}-{number}")),
        };
        match fs::read(&path) {
            Ok(bytes) if bytes == damage.bytes => break,
            Ok(_) => {}
            Err(e) if e.kind() == IoKind::NotFound => return replace_file(&path, &damage.bytes),
            Err(e) => return Err(Error::io(path.display(), e)),
        }
    }
    Ok(())
}
