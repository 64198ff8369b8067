//! Reading a file of the store around its damage.
//!
//! Whole units stand one behind the other: records of a ledger, runs, rejected events. Behind bytes that
//! are none, the next one is searched for. That finds no false one, because checksums are bound to the
//! place. It needs no header either: a checksum tells what of the file's nonce it was made with.

use std::io;
use std::ops::Range;

use crate::process::random_u64;
use crate::store::disk::{Access, Disk, DiskFile, Folder};
use crate::store::frame::{BadHeader, FileHeader, HEADER_LEN, Kind, Position, u32_at};

/// What is read at once.
const WINDOW_BYTES: u64 = 1024 * 1024;
/// What is read of a file. No store has had one that is nearly as long.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Reads the unit that bytes at a position begin with; says how long it is.
type ReadUnit<T> = fn(&[u8], Position) -> Option<(T, usize)>;

/// How the units of a kind of file begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units<T> {
    pub(super) kind: Kind,
    pub(super) magic: [u8; 4],
    /// Where the header's checksum stands, which is that of all before.
    pub(super) crc_at: usize,
    pub(super) read: ReadUnit<T>,
}

/// A unit, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) unit: T,
}

/// What can be read of a file.
#[derive(Debug)]
pub(super) struct Scanned<T> {
    pub(super) units: Vec<At<T>>,
    /// Ranges that hold no unit, and are not all zeros from the file's first unit on.
    pub(super) bad: Vec<Range<u64>>,
    /// As the file says, or with a nonce that was found by its units.
    pub(super) header: FileHeader,
    pub(super) is_header_sound: bool,
    pub(super) size: u64,
}

impl<T> Scanned<T> {
    /// Whether whole units are all that it holds.
    pub(super) fn is_clean(&self) -> bool {
        self.is_header_sound && self.bad.is_empty()
    }

    /// Whether it was begun and never written to, by a sender that was killed.
    pub(super) fn is_unused(&self) -> bool {
        self.units.is_empty() && self.size <= HEADER_LEN as u64
    }

    /// Where its last unit ends.
    pub(super) fn end(&self) -> u64 {
        self.units.last().map_or(HEADER_LEN as u64, |last| last.end)
    }
}

/// Why a file cannot be scanned at all.
#[derive(Debug)]
pub(super) enum CannotScan {
    Gone,
    Newer(u32),
    Io(io::Error),
}

/// Reads the units of a file between two offsets. `expected` is the header that its name stands for.
pub(super) fn scan<T>(
    disk: &dyn Disk,
    (folder, name): (Folder, &str),
    units: &Units<T>,
    expected: FileHeader,
    (from, end): (u64, u64),
) -> Result<Scanned<T>, CannotScan> {
    let read = disk.open(folder, name, Access::Read);
    let read = read.and_then(|file| read_bytes(&*file));
    let (bytes, size) = read.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => CannotScan::Gone,
        _ => CannotScan::Io(e),
    })?;
    let (header, is_header_sound) = match FileHeader::decode(&bytes, units.kind) {
        Err(BadHeader::Newer(version)) => return Err(CannotScan::Newer(version)),
        Ok(header) if header.is_of_same_file(&expected) => (header, true),
        _ => {
            let nonce = find_nonce(&bytes, units).unwrap_or_else(random_u64);
            (FileHeader { nonce, ..expected }, false)
        }
    };
    let claimed_end = end.min(size);
    let end = bytes.len().min(usize::try_from(end).unwrap_or(usize::MAX));
    let mut scanned = Scanned {
        units: Vec::new(),
        bad: Vec::new(),
        header,
        is_header_sound,
        size,
    };
    let mut at = usize::try_from(from).unwrap_or(usize::MAX);
    while at < end {
        let here = header.position(at as u64);
        if let Some((unit, length)) = (units.read)(&bytes[at..end], here) {
            scanned.units.push(At {
                offset: at as u64,
                end: (at + length) as u64,
                unit,
            });
            at += length;
            continue;
        }
        let next = next_unit(&bytes[..end], at + 1, units, &header).unwrap_or(end);
        let is_hole = scanned.units.is_empty() && bytes[at..next].iter().all(|byte| *byte == 0);
        if !is_hole {
            scanned.bad.push(at as u64..next as u64);
        }
        at = next;
    }
    let unread = (end as u64).max(from)..claimed_end;
    if !unread.is_empty() && !scanned.units.is_empty() {
        match scanned.bad.last_mut() {
            Some(last) if last.end == unread.start => last.end = unread.end,
            _ => scanned.bad.push(unread),
        }
    }
    Ok(scanned)
}

/// All bytes of a file, without a hole at its end, and at most [`LONGEST`] ones.
pub(super) fn read_file(disk: &dyn Disk, folder: Folder, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(folder, name, Access::Read)?;
    Ok(read_bytes(&*file)?.0)
}

/// The same, and the size that the file claims.
fn read_bytes(file: &dyn DiskFile) -> io::Result<(Vec<u8>, u64)> {
    let size = file.size()?;
    let mut bytes = Vec::new();
    loop {
        // What a file says of its size allocates nothing: a hole at its end is not even read.
        let at = file.data_from(bytes.len() as u64)?;
        let end = at.saturating_add(WINDOW_BYTES).min(size).min(LONGEST);
        if end <= at {
            return Ok((bytes, size));
        }
        let (at, end) = (at as usize, end as usize);
        bytes.resize(end, 0);
        let got = file.read_at(&mut bytes[at..], at as u64)?;
        if at + got < end {
            bytes.truncate(at + got);
            return Ok((bytes, size));
        }
    }
}

fn next_unit<T>(bytes: &[u8], from: usize, units: &Units<T>, header: &FileHeader) -> Option<usize> {
    magics(bytes, from, units.magic)
        .find(|at| (units.read)(&bytes[*at..], header.position(*at as u64)).is_some())
}

/// The nonce of a file without a header, or one that checks its units alike.
fn find_nonce<T>(bytes: &[u8], units: &Units<T>) -> Option<u64> {
    magics(bytes, HEADER_LEN, units.magic).find_map(|at| {
        let crc_at = at + units.crc_at;
        let before = bytes.get(at..crc_at)?;
        bytes.get(crc_at..crc_at + 4)?;
        let position = Position::with_checksum(at as u64, before, u32_at(bytes, crc_at));
        // The header has the checksum now, whatever it is; only the payload tells.
        (units.read)(&bytes[at..], position).map(|_| position.nonce)
    })
}

fn magics(bytes: &[u8], from: usize, magic: [u8; 4]) -> impl Iterator<Item = usize> {
    let behind = bytes.get(from..).unwrap_or_default();
    let windows = behind.windows(magic.len()).enumerate();
    windows
        .filter(move |(_, window)| *window == magic)
        .map(move |(at, _)| from + at)
}
