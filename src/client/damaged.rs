//! What lies under `damaged/`, for an operator: what can be read there, and how it is queued again.
//!
//! A file of it is a piece of a segment, a whole segment, or a directory with files of the store that
//! `recover` has replaced. Of the store, `recover` has taken all that can be read. Of a segment, whole
//! records may stand there whose checksums are right: behind more damage than is searched, or where the
//! disk has failed to read what it can read now.
//!
//! A file is queued once: as an [import](super::Import) of its own, which a crash does not do twice, and it gets
//! another name behind that. What the sender has not passed yet is not queued from here.

use std::io::ErrorKind as IoKind;

use rustix::fs::{FileType, Stat};

use super::import::ImportEnd;
use super::spool_client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::removal::KEPT_FROM;
use crate::journal::segment::{
    self, FRAGMENT_PREFIX_LEN, HEADER_LEN, Header, Parsed, Position, RECORD_HEADER_LEN,
    RecordHeader, first_header,
};
use crate::spool::Dir;
use crate::store::Reader;

/// Behind the name of a file whose events are queued again.
const REQUEUED: &str = ".requeued";
/// A larger file is not looked into.
const LOOK_INTO_AT_MOST: usize = 1024 * 1024 * 1024;
/// No event takes less of a record.
const SHORTEST_EVENT: u64 = FRAGMENT_PREFIX_LEN as u64
    + br#"{"token":"t","partner_user_id":"u","event":"audio","event_value":null,"received_at":"2024-08-06 15:04:05"}"#.len() as u64;
/// The files of a replaced store that are looked at.
const FOLDERS: [&str; 4] = ["ledger", "queues", "rejected", "receipts"];

/// What a file under `damaged/` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedKind {
    /// A part of a segment.
    Piece,
    /// A segment as a whole.
    Segment,
    /// Files of the store that a recovery has replaced.
    Store,
    /// Nothing of this library's.
    Foreign,
}

/// What was set aside, by its name under `damaged/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub kind: DamagedKind,
    /// Of which segment it is; empty: of none.
    pub segment: String,
    /// Where its bytes began there; of a whole segment, up to where it had been read.
    pub offset: u64,
    /// When it was set aside, in milliseconds of wall time.
    pub saved_ms: i64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its events were queued again.
    pub is_requeued: bool,
    /// Events in whole records that no sender has read.
    pub readable: u64,
    /// So many more may stand in what cannot be read.
    pub unreadable_at_most: u64,
    /// Why it could not be looked into; what is said of its content counts for nothing then.
    pub error: Option<Error>,
}

/// An event that can be read under `damaged/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEvent {
    /// Where its record begins in its segment.
    pub offset: u64,
    /// The event as it is on the wire.
    pub event_json: String,
}

/// What is known of a file by its name.
struct Named<'n> {
    kind: DamagedKind,
    segment: &'n str,
    offset: u64,
    created_boot_ns: u64,
}

impl<'n> Named<'n> {
    fn of(name: &'n str) -> Self {
        let stem = name.strip_suffix(REQUEUED).unwrap_or(name);
        let foreign = Self {
            kind: DamagedKind::Foreign,
            segment: "",
            offset: 0,
            created_boot_ns: 0,
        };
        const ENDING: &str = ".segment";
        let Some(at) = stem.find(ENDING) else {
            return foreign;
        };
        let (segment, behind) = stem.split_at(at + ENDING.len());
        let created_boot_ns = segment::parse_name(segment).map_or(0, |(_, boot_ns)| boot_ns);
        let number = |text: &str| text.split('-').next().and_then(|text| text.parse().ok());
        let (kind, offset) = match (behind.strip_prefix(KEPT_FROM), behind.strip_prefix('-')) {
            _ if behind.is_empty() => (DamagedKind::Segment, Some(0)),
            (Some(from), _) => (DamagedKind::Segment, number(from)),
            // No record begins within the header: this is the second segment of its name.
            (_, Some(text)) => match number(text) {
                Some(number) if (1..HEADER_LEN as u64).contains(&number) => {
                    (DamagedKind::Segment, Some(0))
                }
                offset => (DamagedKind::Piece, offset),
            },
            _ => return foreign,
        };
        let Some(offset) = offset else {
            return foreign;
        };
        Self {
            kind,
            segment,
            offset,
            created_boot_ns,
        }
    }
}

/// What the bytes of a file hold.
#[derive(Default)]
struct Content {
    events: Vec<DamagedEvent>,
    unreadable_at_most: u64,
}

impl Content {
    fn of(bytes: &[u8], named: &Named<'_>) -> Self {
        let mut content = Self::default();
        let (mut at, base) = match named.kind {
            DamagedKind::Piece => (0, named.offset),
            _ => (HEADER_LEN.min(bytes.len()), 0),
        };
        let header = Header::decode(bytes).ok();
        let header = header.filter(|_| named.kind == DamagedKind::Segment);
        let created_boot_ns = header.map_or(named.created_boot_ns, |header| header.created_boot_ns);
        let position = |at: usize| Position {
            created_boot_ns,
            offset: base + at as u64,
        };
        if named.kind == DamagedKind::Piece && base == 0 {
            // The header of the segment, which holds no event.
            at = HEADER_LEN.min(bytes.len());
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Up to there a sender has read it.
            let is_new = position(at).offset >= named.offset;
            match segment::parse_record(rest, position(at)) {
                Parsed::Record { payload, .. } => {
                    let end = payload.end;
                    let fragments = segment::fragments(&rest[payload]);
                    content
                        .events
                        .extend(fragments.filter(|_| is_new).map(|fragment| DamagedEvent {
                            offset: position(at).offset,
                            event_json: String::from_utf8_lossy(fragment).into_owned(),
                        }));
                    at += end;
                }
                parsed => {
                    let said = RecordHeader::decode(rest, position(at));
                    let length = match parsed {
                        Parsed::DamagedPayload { length } => length,
                        _ => rest
                            .get(1..)
                            .and_then(|behind| first_header(behind, position(at + 1)))
                            .map_or(rest.len(), |(found, _)| found + 1),
                    };
                    if is_new {
                        content.unreadable_at_most += match said {
                            Some(said) => u64::from(said.events),
                            None => events_at_most(&rest[..length]),
                        };
                    }
                    at += length;
                }
            }
        }
        content
    }
}

/// How many events may stand in bytes without a header that can be read.
fn events_at_most(bytes: &[u8]) -> u64 {
    let data = bytes.chunks(4096).filter(|block| !segment::is_zero(block));
    let data: u64 = data.map(|block| block.len() as u64).sum();
    // The header of the first record may be all that is damaged of it.
    data.saturating_sub(RECORD_HEADER_LEN as u64)
        .div_ceil(SHORTEST_EVENT)
        .max(u64::from(data > 0))
}

impl Client {
    /// What lies under `damaged/`, by name. A file that cannot be read is listed with its error.
    ///
    /// Errors: [`ErrorKind::Io`] if the directory cannot be read, [`ErrorKind::Closed`].
    pub fn damaged(&self) -> Result<Vec<Damaged>> {
        let Some(dir) = self.core()?.spool.damaged().open()? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in dir.entries().map_err(|e| dir.own_error(e))? {
            let entry = entry.map_err(|e| dir.own_error(e))?;
            all.extend(entry.name().and_then(|name| look(&dir, name)));
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The events that can be read in a file under `damaged/`, in order. Errors: as
    /// [`damaged`](Self::damaged).
    pub fn damaged_events(&self, name: &str) -> Result<Vec<DamagedEvent>> {
        let dir = self.core()?.spool.damaged().require()?;
        Ok(read(&dir, name)?.map_or_else(Vec::new, |(_, content)| content.events))
    }

    /// Queues the events again that can be read in a file under `damaged/`, each once, and returns how
    /// many; 0: it has none, or they are queued already.
    ///
    /// Errors: [`ErrorKind::Timeout`] if the sender has not passed these bytes yet, or another process is
    /// about to do the same; as an import; as [`damaged`](Self::damaged).
    pub fn requeue_damaged(&self, name: &str) -> Result<usize> {
        let dir = self.core()?.spool.damaged().require()?;
        if name.ends_with(REQUEUED) {
            return Ok(0);
        }
        let Some((bytes, content)) = read(&dir, name)? else {
            return Ok(0);
        };
        if content.events.is_empty() {
            return Ok(0);
        }
        self.check_passed(name, bytes.len() as u64)?;
        // Other bytes of the same name are another import.
        let checksum = crc32c::crc32c(&bytes);
        let mut import = self.import(&format!("damaged/{name} {checksum:08x}"))?;
        let is_queued = import.ended_ms().is_some();
        if !is_queued {
            for event in &content.events {
                import.gather(event.event_json.as_bytes())?;
            }
            import.commit("null", ImportEnd::Ended)?;
        }
        let requeued = format!("{name}{REQUEUED}");
        dir.rename(name, &dir, &requeued)
            .map_err(|e| dir.error(name, e))?;
        dir.sync().map_err(|e| dir.own_error(e))?;
        Ok(if is_queued { 0 } else { content.events.len() })
    }

    /// Checks that no sender will come to read the bytes of this file in its segment.
    fn check_passed(&self, name: &str, length: u64) -> Result<()> {
        let spool = &self.core()?.spool;
        let named = Named::of(name);
        let journal = spool.journal().require()?;
        let is_there = journal.size(named.segment);
        if is_there
            .map_err(|e| journal.error(named.segment, e))?
            .is_none()
        {
            return Ok(());
        }
        let offsets = Reader::open(spool)?.map(|store| store.offsets());
        let taken = offsets.and_then(|offsets| offsets.get(named.segment).copied());
        let end = match named.kind {
            DamagedKind::Piece => named.offset + length,
            _ => length,
        };
        match taken {
            Some(taken) if taken >= end => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "{}: the sender has not passed these bytes in their segment yet and may still read them; run it again once it has",
                    spool.damaged().require()?.path(name).display()
                ),
            )),
        }
    }
}

/// What a file is; `None` if it has gone, or got its other name, since it was listed.
fn look(dir: &Dir, name: &str) -> Option<Damaged> {
    let named = Named::of(name);
    let mut damaged = Damaged {
        name: name.to_owned(),
        kind: named.kind,
        segment: named.segment.to_owned(),
        offset: named.offset,
        saved_ms: 0,
        bytes: 0,
        is_requeued: name.ends_with(REQUEUED),
        readable: 0,
        unreadable_at_most: 0,
        error: None,
    };
    match dir.about(name) {
        Err(e) if e.kind() == IoKind::NotFound => return None,
        Err(e) => damaged.error = Some(dir.error(name, e)),
        Ok(about) => {
            if let Err(e) = look_into(dir, &about, &mut damaged) {
                damaged.error = Some(e);
            }
        }
    }
    Some(damaged)
}

fn look_into(dir: &Dir, about: &Stat, damaged: &mut Damaged) -> Result<()> {
    let name = &*damaged.name;
    damaged.saved_ms = saved_ms(about, damaged.kind);
    damaged.bytes = about.st_size.unsigned_abs();
    let is_dir = FileType::from_raw_mode(about.st_mode).is_dir();
    let replaced_ms = name.strip_prefix("store-").and_then(|ms| ms.parse().ok());
    if let (true, Some(replaced_ms)) = (is_dir, replaced_ms) {
        damaged.kind = DamagedKind::Store;
        damaged.saved_ms = replaced_ms;
        damaged.bytes = size_of_store(&dir.subdir(name).map_err(|e| dir.error(name, e))?);
    } else if let Some((_, content)) = read(dir, name)? {
        damaged.readable = content.events.len() as u64;
        damaged.unreadable_at_most = content.unreadable_at_most;
    }
    Ok(())
}

/// A piece is written when it is set aside; a whole segment gets another name then.
fn saved_ms(about: &Stat, kind: DamagedKind) -> i64 {
    let (s, ns) = match kind {
        DamagedKind::Piece => (about.st_mtime, about.st_mtime_nsec),
        _ => (about.st_ctime, about.st_ctime_nsec),
    };
    s.saturating_mul(1_000)
        .saturating_add_unsigned(ns as u64 / 1_000_000)
}

fn size_of_store(dir: &Dir) -> u64 {
    let folders = FOLDERS.iter().filter_map(|folder| dir.subdir(folder).ok());
    folders
        .map(|folder| {
            let names = folder.entries().into_iter().flatten().flatten();
            let sizes = names.filter_map(|entry| folder.size(entry.name()?).ok().flatten());
            sizes.sum::<u64>()
        })
        .sum()
}

/// The bytes of a file and what they hold; `None` if it is no part of a segment, or too large.
fn read(dir: &Dir, name: &str) -> Result<Option<(Vec<u8>, Content)>> {
    let named = Named::of(name);
    let size = dir.size(name).ok().flatten().unwrap_or(0);
    if named.kind == DamagedKind::Foreign || size > LOOK_INTO_AT_MOST as u64 {
        return Ok(None);
    }
    let bytes = match dir.read(name, LOOK_INTO_AT_MOST) {
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        read => read.map_err(|e| dir.error(name, e))?,
    };
    let content = Content::of(&bytes, &named);
    Ok(Some((bytes, content)))
}

#[cfg(test)]
mod tests;
