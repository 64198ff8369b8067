//! The files that runs wait in: each a header and runs, one behind the other.
//!
//! ```text
//! run (40 bytes)   magic u32 | body length u32 | events u16 | zeros u16 | id u64 | origin u64
//!                  | session u32 | crc32c u32 of all before | crc32c u32 of slots and body
//!      slots       for each event, 12 bytes: fragment length u32 | enqueued_ms i64
//!      body        the fragments, joined by commas: what a request carries
//! ```
//!
//! Both checksums are bound to the run's place, as in every file of the store. What the ledger does not
//! name is no part of a queue: the next run is written over it. The session is a random number of the
//! sender that wrote the run: a power cut may leave an earlier sender's run where a later one was to stand,
//! and the ledger tells whose it has to be.

use std::io;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::Point;
use super::fold::Queue;
use super::frame::{
    FileHeader, HEADER_LEN, Kind, Position, is_given, is_id, u16_at, u32_at, u64_at,
};
use super::opening::{Unreadable, open_as};
use super::read_ahead::ReadAhead;
use super::{Place, Run, Slot, StoredRun};

/// A file that has reached this size gets no more runs.
pub(super) const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// A run has at most so many events: a bit for each fits its marks.
pub(super) const RUN_EVENTS_MAX: usize = 128;
pub(super) const RUN_HEADER_LEN: usize = 40;
pub(super) const SLOT_LEN: usize = 12;
pub(super) const RUN_MAGIC: [u8; 4] = *b"QRUN";
/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// The name of a file.
pub(super) fn file_name(place: Place, number: u64) -> String {
    format!("{:02}.{}.{number:016}", place.lane, place.queue)
}

/// What a name says; `None` if it is none of these files'.
pub(super) fn parse_name(name: &str) -> Option<(Place, u64)> {
    let mut parts = name.splitn(3, '.');
    let lane = parts.next()?.parse().ok()?;
    let queue = parts.next()?.parse().ok().filter(|queue| *queue <= 1)?;
    let number = parts
        .next()?
        .parse()
        .ok()
        .filter(|number| is_given(*number))?;
    let place = Place { lane, queue };
    (file_name(place, number) == name).then_some((place, number))
}

/// How many bytes a run takes.
pub(super) fn run_bytes(run: &Run) -> usize {
    RUN_HEADER_LEN + run.slots.len() * SLOT_LEN + run.body.len()
}

/// Appends to `out` a run that will stand at `position`.
pub(super) fn encode_run(
    out: &mut Vec<u8>,
    (id, origin, session): (i64, i64, u32),
    run: &Run,
    position: Position,
) {
    let start = out.len();
    out.resize(start + RUN_HEADER_LEN, 0);
    for slot in &run.slots {
        out.extend_from_slice(&slot.length.to_le_bytes());
        out.extend_from_slice(&slot.enqueued_ms.to_le_bytes());
    }
    out.extend_from_slice(&run.body);
    let (header, payload) = out[start..].split_at_mut(RUN_HEADER_LEN);
    header[..4].copy_from_slice(&RUN_MAGIC);
    header[4..8].copy_from_slice(&(run.body.len() as u32).to_le_bytes());
    header[8..10].copy_from_slice(&(run.slots.len() as u16).to_le_bytes());
    header[12..20].copy_from_slice(&id.to_le_bytes());
    header[20..28].copy_from_slice(&origin.to_le_bytes());
    header[28..32].copy_from_slice(&session.to_le_bytes());
    let crc = position.checksum(&header[..32]);
    header[32..36].copy_from_slice(&crc.to_le_bytes());
    header[36..].copy_from_slice(&position.checksum(payload).to_le_bytes());
}

/// The header of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunHeader {
    pub(super) id: i64,
    pub(super) origin: i64,
    pub(super) events: usize,
    /// The session of its writer.
    pub(super) session: u32,
    body: usize,
    payload_crc: u32,
}

impl RunHeader {
    /// Reads the header of the run at `position`.
    pub(super) fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        let bytes = bytes.get(..RUN_HEADER_LEN)?;
        let events = usize::from(u16_at(bytes, 8));
        let id = u64_at(bytes, 12).cast_signed();
        let is_sound = bytes[..4] == RUN_MAGIC
            && (1..=RUN_EVENTS_MAX).contains(&events)
            && is_id(id)
            && u32_at(bytes, 32) == position.checksum(&bytes[..32]);
        is_sound.then(|| Self {
            id,
            origin: u64_at(bytes, 20).cast_signed(),
            events,
            session: u32_at(bytes, 28),
            body: u32_at(bytes, 4) as usize,
            payload_crc: u32_at(bytes, 36),
        })
    }

    /// Bytes of the whole run.
    pub(super) fn length(&self) -> usize {
        RUN_HEADER_LEN + self.events * SLOT_LEN + self.body
    }

    /// Reads the rest of the run from `bytes`, which begin with its header.
    pub(super) fn decode_rest(&self, bytes: &[u8], position: Position) -> Option<StoredRun> {
        let payload = bytes.get(RUN_HEADER_LEN..self.length())?;
        if position.checksum(payload) != self.payload_crc {
            return None;
        }
        let (slots, body) = payload.split_at(self.events * SLOT_LEN);
        let run = Run {
            body: body.to_vec(),
            slots: slots
                .as_chunks::<SLOT_LEN>()
                .0
                .iter()
                .map(|slot| Slot {
                    length: u32_at(slot, 0),
                    enqueued_ms: u64_at(slot, 4).cast_signed(),
                })
                .collect(),
        };
        run.is_whole().then(|| StoredRun {
            id: self.id,
            origin: self.origin,
            marks: run.blanks(),
            run,
        })
    }
}

/// An open file of a queue.
#[derive(Debug)]
pub(super) struct QueueReader {
    file: Box<dyn DiskFile>,
    pub(super) header: FileHeader,
    ahead: ReadAhead,
    end: u64,
}

/// What the header of a queue's file says of its place and number.
pub(super) fn expected_header(place: Place, number: u64) -> FileHeader {
    FileHeader {
        number,
        lane: place.lane,
        queue: place.queue,
        ..FileHeader::default()
    }
}

/// Opens the file with this number and checks that it is this queue's.
pub(super) fn open(
    disk: &dyn Disk,
    place: Place,
    number: u64,
    access: Access,
) -> Result<(Box<dyn DiskFile>, FileHeader), Unreadable> {
    let expected = expected_header(place, number);
    let name = file_name(place, number);
    open_as(
        disk,
        (Folder::Queues, &name),
        Kind::Queue,
        &expected,
        access,
    )
}

impl QueueReader {
    /// Opens a file to read its runs before `end`.
    pub(super) fn open(
        disk: &dyn Disk,
        place: Place,
        number: u64,
        end: u64,
    ) -> Result<Self, Unreadable> {
        let (file, header) = open(disk, place, number, Access::Read)?;
        Ok(Self {
            file,
            header,
            ahead: ReadAhead::default(),
            end,
        })
    }

    /// Reads the run at `offset`; says where it ends. `None`: the file's runs end there.
    pub(super) fn run_at(&mut self, offset: u64) -> Result<Option<(StoredRun, u64)>, Unreadable> {
        let Some(header) = self.header_at(offset)? else {
            return Ok(None);
        };
        let position = self.header.position(offset);
        let bytes = self.bytes_at(offset, header.length())?;
        match header.decode_rest(bytes, position) {
            Some(run) => Ok(Some((run, offset + header.length() as u64))),
            None => Err(no_run(offset)),
        }
    }

    /// Reads the header of the run at `offset`. `None`: the file's runs end there.
    pub(super) fn header_at(&mut self, offset: u64) -> Result<Option<RunHeader>, Unreadable> {
        if offset >= self.end {
            return Ok(None);
        }
        let position = self.header.position(offset);
        let bytes = self.bytes_at(offset, RUN_HEADER_LEN)?;
        let header = RunHeader::decode(bytes, position);
        header.map(Some).ok_or_else(|| no_run(offset))
    }

    fn bytes_at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let range = (offset, self.end);
        self.ahead.bytes(&*self.file, range, length, READ_BYTES)
    }
}

fn no_run(offset: u64) -> Unreadable {
    Unreadable::Damaged(format!("no run stands at {offset}"))
}

/// Reads runs of a queue from a point on, file after file.
#[derive(Debug)]
pub(super) struct QueueCursor {
    place: Place,
    at: Point,
    open: Option<QueueReader>,
}

impl QueueCursor {
    pub(super) fn new(place: Place, at: Point) -> Self {
        Self {
            place,
            at,
            open: None,
        }
    }

    /// Where the next run stands.
    pub(super) fn at(&self) -> Point {
        self.at
    }

    /// The next run of `queue`, with its marks; `None` at its end.
    pub(super) fn next(
        &mut self,
        disk: &dyn Disk,
        queue: &Queue,
    ) -> Result<Option<StoredRun>, Unreadable> {
        let Some((reader, offset)) = self.reader(disk, queue)? else {
            return Ok(None);
        };
        let Some((mut run, end)) = reader.run_at(offset)? else {
            return Ok(None);
        };
        self.at.offset = end;
        run.marks |= queue.marks_of(run.id);
        Ok(Some(run))
    }

    /// The header of the next run, which stays the next one.
    pub(super) fn peek(
        &mut self,
        disk: &dyn Disk,
        queue: &Queue,
    ) -> Result<Option<RunHeader>, Unreadable> {
        match self.reader(disk, queue)? {
            Some((reader, offset)) => reader.header_at(offset),
            None => Ok(None),
        }
    }

    /// The header of the next run, and goes behind that run without reading the rest of it.
    pub(super) fn skip(
        &mut self,
        disk: &dyn Disk,
        queue: &Queue,
    ) -> Result<Option<RunHeader>, Unreadable> {
        let header = self.peek(disk, queue)?;
        if let Some(header) = &header {
            self.at.offset += header.length() as u64;
        }
        Ok(header)
    }

    /// The file of the next run, opened, and where it stands there; `None` at the end of the queue.
    fn reader(
        &mut self,
        disk: &dyn Disk,
        queue: &Queue,
    ) -> Result<Option<(&mut QueueReader, u64)>, Unreadable> {
        loop {
            if self.at == queue.tail() || self.at.file == 0 {
                return Ok(None);
            }
            let Some(end) = queue.end_of(self.at.file) else {
                let what = format!("file {} is not one of the queue's", self.at.file);
                return Err(Unreadable::Damaged(what));
            };
            if self.at.offset < end {
                let is_open = |reader: &QueueReader| {
                    reader.header.number == self.at.file && reader.end == end
                };
                if !self.open.as_ref().is_some_and(is_open) {
                    let reader = QueueReader::open(disk, self.place, self.at.file, end)?;
                    self.open = Some(reader);
                }
                let offset = self.at.offset;
                return Ok(self.open.as_mut().map(|reader| (reader, offset)));
            }
            match queue.file_behind(self.at.file) {
                Some(file) => {
                    self.at = Point {
                        file,
                        offset: HEADER_LEN as u64,
                    };
                }
                None => return Ok(None),
            }
        }
    }
}
