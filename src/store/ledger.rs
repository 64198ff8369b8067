//! The ledger: what the sender did, record after record, in files that each begin with a snapshot.
//!
//! A file is whole from the moment that it has its name: its snapshot, and every byte that the snapshot
//! speaks of, are durable by then. Whoever holds the lock of the highest file is the only one who writes.

use std::io;
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::{BadEntry, Entry, entries};
use super::fold::Fold;
use super::frame::{
    BadHeader, FileHeader, GIVEN, HEADER_LEN, Kind, PAYLOAD_MAX, RECORD_HEADER_LEN, RecordHeader,
    begin_record, find_record_header, finish_record, is_given, read_upto,
};
use super::guards::limit;
use super::read_ahead::ReadAhead;

/// A file that has reached this size is followed by the next one.
pub(super) const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The name of the blocks that are set aside for the next file.
pub(super) const SPARE: &str = "spare";
/// Blocks are allocated in steps of so many bytes, ahead of the records.
const ALLOCATED_AHEAD: u64 = 256 * 1024;
/// The payload of a snapshot's record.
const SNAPSHOT_BYTES: usize = 256 * 1024;
const READ_BYTES: usize = 256 * 1024;

/// The name of a file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016}")
}

/// The number that a name says; `None` if it is none of these files'.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let number = name.parse().ok().filter(|number| is_given(*number))?;
    (file_name(number) == name).then_some(number)
}

/// Why a ledger is refused whose numbers leave none for what follows.
pub(super) const NO_NUMBERS: &str = "it has given more numbers than there are";

/// Whether there are numbers for the files and the records that follow.
pub(super) fn leaves_numbers(number: u64, seq: u64) -> bool {
    number.max(seq) < GIVEN.end.cast_unsigned() / 2
}

/// Whether a store may have given this number to a file: it has used less than half of those that there are.
pub(super) fn leaves_numbers_above(number: u64) -> bool {
    leaves_numbers(number.saturating_mul(2), 0)
}

/// The numbers of the files in a folder, in order.
pub(super) fn numbers(disk: &dyn Disk, folder: Folder) -> io::Result<Vec<u64>> {
    let names = disk.list(folder)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file that records are appended to, whose lock this process holds.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: FileHeader,
    /// Where the next record will stand.
    pub(super) end: u64,
    /// The `seq` of the last record.
    pub(super) seq: u64,
    /// Up to here the snapshot reaches.
    pub(super) snapshot_end: u64,
    /// Up to here blocks are allocated.
    allocated: u64,
}

impl Ledger {
    /// Goes on behind the last record of a file that was read.
    pub(super) fn go_on(file: Arc<dyn DiskFile>, header: FileHeader, read: &Reading) -> Self {
        Self {
            file,
            header,
            end: read.end,
            seq: read.seq,
            snapshot_end: read.snapshot_end,
            allocated: read.end,
        }
    }

    /// Writes a header and a snapshot to a locked file that has no name yet that counts; nothing is
    /// durable then.
    pub(super) fn begin(
        file: Arc<dyn DiskFile>,
        header: FileHeader,
        fold: &Fold,
        seq: u64,
    ) -> io::Result<Self> {
        let mut ledger = Self {
            file,
            header,
            end: HEADER_LEN as u64,
            seq,
            snapshot_end: 0,
            allocated: 0,
        };
        ledger.file.write_at(&header.encode(Kind::Ledger), 0)?;
        let parts = snapshot_parts(fold);
        let of = parts.len() as u32;
        let mut record = Vec::new();
        for (part, entries) in (0..).zip(parts) {
            begin_record(&mut record);
            Entry::Snapshot { part, of }.encode(&mut record);
            record.extend_from_slice(&entries);
            ledger.append(&mut record, seq)?;
        }
        ledger.snapshot_end = ledger.end;
        Ok(ledger)
    }

    /// Appends the record in `record`, which [`begin_record`] has begun. After an error the end is where
    /// it was, unless even that fails.
    pub(super) fn append(&mut self, record: &mut [u8], durable: u64) -> io::Result<()> {
        if record.len() > RECORD_HEADER_LEN + PAYLOAD_MAX {
            let what = "a record would be too long to be read back";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        finish_record(
            record,
            self.seq + 1,
            durable,
            self.header.position(self.end),
        );
        let end = self.end + record.len() as u64;
        self.allocate(end)?;
        if let Err(e) = self.file.write_at(record, self.end) {
            let _ = self.file.truncate(self.end);
            return Err(e);
        }
        self.seq += 1;
        self.end = end;
        Ok(())
    }

    /// Whether the next file should follow: this one is full of records, however long its snapshot is.
    pub(super) fn is_full(&self) -> bool {
        self.end >= limit(FILE_BYTES).max(4 * self.snapshot_end)
    }

    /// Allocates blocks ahead, so that a record finds room even where the disk has become full.
    fn allocate(&mut self, end: u64) -> io::Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        let upto = end.div_ceil(ALLOCATED_AHEAD) * ALLOCATED_AHEAD;
        match self.file.allocate(self.end, upto) {
            Ok(()) => {}
            // Then the write itself finds out; some file systems cannot allocate at all.
            Err(_) => self.file.check_open()?,
        }
        self.allocated = upto;
        Ok(())
    }
}

/// No writer makes a longer file whose snapshot ends there. It is twice the size at which the next file is due,
/// because records go on being written until that one is there.
pub(super) fn longest(snapshot_end: u64) -> u64 {
    let full = FILE_BYTES
        .max(snapshot_end.saturating_mul(4))
        .saturating_mul(2);
    full.saturating_add((RECORD_HEADER_LEN + PAYLOAD_MAX) as u64)
}

/// The entries of a snapshot, in payloads of a moderate size.
fn snapshot_parts(fold: &Fold) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for entry in fold.snapshot() {
        if let Some(last) = parts.last_mut() {
            entry.encode(last);
            if last.len() >= SNAPSHOT_BYTES {
                parts.push(Vec::new());
            }
        }
    }
    parts
}

/// The whole records of a file, from an offset on to the first bytes that are none.
#[derive(Debug)]
pub(super) struct Records<'a> {
    file: &'a dyn DiskFile,
    header: &'a FileHeader,
    at: u64,
    ahead: ReadAhead,
}

impl<'a> Records<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, header: &'a FileHeader, at: u64) -> Self {
        Self {
            file,
            header,
            at,
            ahead: ReadAhead::default(),
        }
    }

    /// The next record, its payload, and where it ends.
    pub(super) fn next(&mut self) -> io::Result<Option<(RecordHeader, &[u8], u64)>> {
        let (position, range) = (self.header.position(self.at), (self.at, u64::MAX));
        let bytes = self
            .ahead
            .bytes(self.file, range, RECORD_HEADER_LEN, READ_BYTES)?;
        let Some(record) = RecordHeader::decode(bytes, position) else {
            return Ok(None);
        };
        let length = RECORD_HEADER_LEN + record.length;
        let bytes = self.ahead.bytes(self.file, range, length, READ_BYTES)?;
        // Of a live file, the header may have changed between the two reads.
        let payload = bytes.get(RECORD_HEADER_LEN..length);
        let payload = payload.filter(|payload| record.matches(payload, position));
        Ok(payload.map(|payload| {
            self.at += length as u64;
            (record, payload, self.at)
        }))
    }
}

/// Why reading a ledger came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// No whole record stands there.
    NoRecord,
    /// The record is of a newer version.
    Newer,
    /// The record contradicts what stands before it.
    Contradiction(String),
    /// The record speaks of bytes that are not there.
    NotBacked(String),
}

/// How far a ledger was read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Where the last record that was folded ends.
    pub(super) end: u64,
    /// Its `seq`; 0: none.
    pub(super) seq: u64,
    /// The highest `durable` of the records.
    pub(super) durable: u64,
    /// Where the snapshot ends; 0: it is not whole.
    pub(super) snapshot_end: u64,
    /// The `seq` of the snapshot's last record.
    pub(super) snapshot_seq: u64,
    parts: u32,
    first_seq: u64,
    pub(super) stop: Stop,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self {
            end: HEADER_LEN as u64,
            seq: 0,
            durable: 0,
            snapshot_end: 0,
            snapshot_seq: 0,
            parts: 0,
            first_seq: 0,
            stop: Stop::NoRecord,
        }
    }

    /// The `seq` of the file's first record.
    pub(super) fn seq_of_first(&self) -> u64 {
        self.first_seq
    }

    /// Whether the file's snapshot was read as a whole.
    pub(super) fn has_snapshot(&self) -> bool {
        self.snapshot_end > 0
    }

    /// Reads on from where it stands, and folds what it reads. `check` sees the state and the entries of a
    /// record before they are applied, and says what keeps them from counting.
    pub(super) fn read_on(
        &mut self,
        file: &dyn DiskFile,
        header: &FileHeader,
        fold: &mut Fold,
        mut check: impl FnMut(&Fold, &[Entry<'_>]) -> io::Result<Option<String>>,
    ) -> io::Result<()> {
        self.stop = Stop::NoRecord;
        let mut records = Records::new(file, header, self.end);
        while let Some((record, payload, end)) = records.next()? {
            if self.seq > 0 && record.seq != self.seq.wrapping_add(1) {
                let what = format!("record {} follows {}", record.seq, self.seq);
                self.stop = Stop::Contradiction(what);
                return Ok(());
            }
            if let Some(stop) = self.fold_record(payload, fold, &mut check)? {
                self.stop = stop;
                return Ok(());
            }
            if self.seq == 0 {
                self.first_seq = record.seq;
            }
            self.seq = record.seq;
            self.durable = self.durable.max(record.durable);
            self.end = end;
            if self.parts > 0 && self.snapshot_end == 0 {
                self.parts -= 1;
                if self.parts == 0 {
                    self.snapshot_end = self.end;
                    self.snapshot_seq = self.seq;
                }
            }
        }
        Ok(())
    }

    fn fold_record(
        &mut self,
        payload: &[u8],
        fold: &mut Fold,
        check: &mut impl FnMut(&Fold, &[Entry<'_>]) -> io::Result<Option<String>>,
    ) -> io::Result<Option<Stop>> {
        let read: Result<Vec<Entry<'_>>, BadEntry> = entries(payload).collect();
        let found = match read {
            Ok(found) => found,
            Err(BadEntry::Newer) => return Ok(Some(Stop::Newer)),
            Err(BadEntry::Damaged) => {
                let what = "an entry is not what its tag says".to_owned();
                return Ok(Some(Stop::Contradiction(what)));
            }
        };
        if self.snapshot_end == 0 {
            match found.first() {
                Some(Entry::Snapshot { part: 0, of }) if self.parts == 0 => self.parts = *of,
                Some(Entry::Snapshot { part, of }) if part.checked_add(self.parts) == Some(*of) => {
                }
                _ => {
                    return Ok(Some(Stop::Contradiction(
                        "its snapshot is not whole".to_owned(),
                    )));
                }
            }
        }
        if let Some(what) = check(fold, &found)? {
            return Ok(Some(Stop::NotBacked(what)));
        }
        for entry in &found {
            if let Err(what) = fold.apply(entry) {
                return Ok(Some(Stop::Contradiction(what.to_owned())));
            }
        }
        Ok(None)
    }
}

/// Opens a ledger and reads its header. `Err(Newer)`: a newer version wrote it.
pub(super) fn open(
    disk: &dyn Disk,
    folder: Folder,
    number: u64,
    access: Access,
) -> io::Result<(Box<dyn DiskFile>, Result<FileHeader, BadHeader>)> {
    let file = disk.open(folder, &file_name(number), access)?;
    let header = FileHeader::decode(&read_upto(&*file, 0, HEADER_LEN)?, Kind::Ledger);
    let header = header.and_then(|header| match header.number == number {
        true => Ok(header),
        false => Err(BadHeader::Damaged),
    });
    Ok((file, header))
}

/// Whether the header of a record stands at `at`, and the file ends within its payload.
pub(super) fn is_record_begun(
    file: &dyn DiskFile,
    header: &FileHeader,
    at: u64,
) -> io::Result<bool> {
    let bytes = read_upto(file, at, RECORD_HEADER_LEN)?;
    let Some(record) = RecordHeader::decode(&bytes, header.position(at)) else {
        return Ok(false);
    };
    Ok(file.size()? < at + (RECORD_HEADER_LEN + record.length) as u64)
}

/// Looks for the headers of whole records from `from` on, where no whole record stands; says the highest
/// `durable` of them. The last record may be cut short, by the death of its writer, behind its header.
///
/// Behind `end` no writer has left one. A file may claim to be longer.
pub(super) fn durable_behind(
    file: &dyn DiskFile,
    header: &FileHeader,
    (from, end): (u64, u64),
) -> io::Result<Option<u64>> {
    let mut highest = None;
    let mut at = from;
    if is_record_begun(file, header, at)? {
        return Ok(None);
    }
    loop {
        at = file.data_from(at)?;
        if at >= end {
            return Ok(highest);
        }
        let bytes = read_upto(file, at, READ_BYTES)?;
        if bytes.len() < RECORD_HEADER_LEN {
            return Ok(highest);
        }
        match find_record_header(&bytes, header.position(at)) {
            Some((found, record)) => {
                highest = highest.max(Some(record.durable));
                at += found as u64 + RECORD_HEADER_LEN as u64;
            }
            // The beginning of a header may stand at the end of these bytes.
            None => at += (bytes.len() - (RECORD_HEADER_LEN - 1)) as u64,
        }
    }
}
