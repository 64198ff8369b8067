//! Bytes of a segment that could not be read, and the files that save them for a person to look at.
//!
//! Each is a file `damaged/<segment>-<offset>`, durable before the sender passes over the bytes.
//! The same bytes are one file however often they are read; other bytes at the same offset get a
//! number behind. The library never removes these files, and `max_spool_bytes` does not count them:
//! they are never larger than what was damaged.

use std::io::ErrorKind as IoKind;

use super::segment;
use crate::error::Result;
use crate::spool::{Safety, Spool};

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

impl Damage {
    /// Saves the bytes in `damaged/`, durably, unless they are all zero.
    pub(crate) fn save(&self, spool: &Spool) -> Result<()> {
        if segment::is_zero(&self.bytes) {
            return Ok(());
        }
        let dir = spool.damaged().ensure()?;
        let name = format!("{}-{}", self.segment, self.offset);
        for number in 1_u64.. {
            let name = match number {
                1 => name.clone(),
                _ => format!("{name}-{number}"),
            };
            let failed = |e| dir.error(&name, e);
            match dir.read(&name) {
                Ok(bytes) if bytes == self.bytes => break,
                Ok(_) => {}
                Err(e) if e.kind() == IoKind::NotFound => {
                    let saved = dir.replace(&name, &self.bytes, Safety::Power);
                    return saved.map_err(failed);
                }
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(())
    }
}
