//! How many events of the journal have not been taken over.
//!
//! Each record's header says how many events stand before it in its segment. So the number behind an
//! offset is exact after two headers: the one at the offset and the last one of the segment. This is
//! as cheap for events of 60 kB as for events of 60 bytes, and what the sender gave back before the
//! offset is not needed.
//!
//! A record that is being written does not count, nor does one that is cut short. Damage in the
//! middle of a segment counts as the events that stood there, by the headers around it; damage that
//! begins at the offset, and headers that are damaged at the end, count as none. A record of which
//! only the payload is damaged counts as its header says, unless it stands at the offset: so what a
//! round has left behind the last whole record counts as none, although it is set aside later.

use std::io::{self, ErrorKind as IoKind};

use super::listing::Listing;
use super::round::Offsets;
use super::segment::{BadHeader, HEADER_LEN, Header};
use super::segment_look::Look;
use super::segment_reader::{header_from_name, newer_version};
use crate::clock::BootTime;
use crate::error::Result;
use crate::spool::{Dir, Spool};

/// The events of the journal that have not been taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many events.
    pub events: u64,
    /// When the earliest one was enqueued: wall time in milliseconds.
    pub oldest_ms: Option<i64>,
}

/// Counts the events behind `taken`.
pub fn count(spool: &Spool, taken: &Offsets) -> Result<Backlog> {
    let mut backlog = Backlog::default();
    let mut oldest: Option<(BootTime, i64)> = None;
    let Some(journal) = spool.journal().open()? else {
        return Ok(backlog);
    };
    for name in Listing::of(&journal)?.names() {
        let Some(waiting) = count_segment(&journal, name, taken.get(name).copied())? else {
            continue;
        };
        backlog.events += waiting.events;
        let first = (waiting.first, waiting.first_wall_ms);
        oldest = Some(oldest.map_or(first, |oldest| oldest.min(first)));
    }
    backlog.oldest_ms = oldest.map(|(_, wall_ms)| wall_ms);
    Ok(backlog)
}

/// How many events of a segment wait, and when the first of them was enqueued.
pub fn waiting(spool: &Spool, name: &str, taken: Option<u64>) -> Result<Option<(u64, BootTime)>> {
    let Some(journal) = spool.journal().open()? else {
        return Ok(None);
    };
    let waiting = count_segment(&journal, name, taken)?;
    Ok(waiting.map(|waiting| (waiting.events, waiting.first)))
}

/// What of a segment does not fit how far it is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// A record or the segment's end stands there.
    None,
    /// The segment ends before.
    Short {
        /// Its size.
        size: u64,
    },
    /// No record stands there.
    Behind {
        /// So far is the next one, or the segment's end.
        bytes: u64,
        /// At most so many events stood there, if that is known.
        events: Option<u64>,
    },
}

/// Looks whether a record, or the segment's end, stands where the segment is taken over up to.
pub fn gap(spool: &Spool, name: &str, taken: Option<u64>) -> Result<Gap> {
    let journal = spool.journal().require()?;
    let from = taken.unwrap_or(HEADER_LEN as u64);
    let look = || -> io::Result<Gap> {
        let about = journal.about(name)?;
        let size = about.st_size.cast_unsigned();
        if size <= from {
            return Ok(match taken {
                Some(upto) if size < upto => Gap::Short { size },
                _ => Gap::None,
            });
        }
        let mut look = Look::open(journal.open(name)?, size);
        let header = Header::decode(look.header()?);
        let named = header_from_name(name, about.st_mtime);
        look.created_boot_ns = header.unwrap_or(named).created_boot_ns;
        Ok(match look.first_record(from)? {
            Some(found) if found.offset == from => Gap::None,
            Some(found) => Gap::Behind {
                bytes: found.offset - from,
                events: Some(found.header.events_before.into()),
            },
            // The beginning of a record is no gap.
            None if look.begins_record(from)? => Gap::None,
            None => Gap::Behind {
                bytes: size - from,
                events: None,
            },
        })
    };
    look().map_err(|e| journal.error(name, e))
}

/// The events of one segment that have not been taken over: at least one.
struct Waiting {
    events: u64,
    /// When the first of them was enqueued.
    first: BootTime,
    first_wall_ms: i64,
}

fn count_segment(journal: &Dir, name: &str, taken: Option<u64>) -> Result<Option<Waiting>> {
    let from = taken.unwrap_or(HEADER_LEN as u64);
    let count = || -> io::Result<std::result::Result<Option<Waiting>, BadHeader>> {
        let about = journal.about(name)?;
        let size = about.st_size.cast_unsigned();
        // Most often nothing is new, and the file is not even opened.
        if from >= size {
            return Ok(Ok(None));
        }
        let mut look = Look::open(journal.open(name)?, size);
        let header = match Header::decode(look.header()?) {
            Err(BadHeader::Newer) => return Ok(Err(BadHeader::Newer)),
            Err(BadHeader::Damaged | BadHeader::Short) => header_from_name(name, about.st_mtime),
            Ok(header) => header,
        };
        look.created_boot_ns = header.created_boot_ns;
        Ok(Ok(count_records(&mut look, &header, from)?))
    };
    match count() {
        Ok(Ok(waiting)) => Ok(waiting),
        Ok(Err(_)) => Err(newer_version(&journal.path(name))),
        // The sender has removed it: it is taken over.
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(journal.error(name, e)),
    }
}

fn count_records(look: &mut Look, header: &Header, from: u64) -> io::Result<Option<Waiting>> {
    // The damage before it has no place here, and so the segment's name has none.
    let found = look.find_record("", from)?;
    if !found.is_record {
        return Ok(None);
    }
    let Some(first) = look.first_record(found.upto)? else {
        return Ok(None);
    };
    let last = look.last_record(first)?;
    let is_whole = last.end() <= look.size;
    let of_last = if is_whole { last.header.events } else { 0 };
    let upto = u64::from(last.header.events_before) + u64::from(of_last);
    let events = upto.saturating_sub(first.header.events_before.into());
    Ok((events > 0).then(|| Waiting {
        events,
        first: BootTime {
            boot_count: header.boot_count,
            boot_ns: first.header.boot_ns,
        },
        first_wall_ms: header.wall_ms(first.header.boot_ns),
    }))
}
