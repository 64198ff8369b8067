//! The files of rejected events: each a header and records, in the order of their ids.
//!
//! ```text
//! record (40 bytes)  magic u32 | payload length u32 | id u64 | crc32c of the user u32
//!                    | crc32c of the API code u32 | reason u8 | may be delivered u8 | HTTP status u16
//!                    | session u32 | crc32c u32 of all before | crc32c u32 of the payload
//!        payload     attempts, enqueued and rejected wall_ms, user, API code, message, fragment
//! ```
//!
//! Most filters need only the headers. Which events are forgotten is in the ledger.

use std::collections::BTreeSet;
use std::io;

use super::codec::{Decoder, put, put_bytes, put_signed};
use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::RejectedFile;
use super::failures::unreadable;
use super::frame::{
    FileHeader, HEADER_LEN, Kind, Position, is_given, is_id, u16_at, u32_at, u64_at,
};
use super::opening::{Unreadable, open_as};
use super::read_ahead::ReadAhead;
use super::{Rejected, RejectedFilter, RejectedReason};

/// A file that has reached this size gets no more events.
pub(super) const FILE_BYTES: u64 = 8 * 1024 * 1024;
pub(super) const RECORD_HEADER_LEN: usize = 40;
pub(super) const RECORD_MAGIC: [u8; 4] = *b"QREJ";
const READ_BYTES: usize = 64 * 1024;

/// The name of a file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016}")
}

/// The number that a name says; `None` if it is none of these files'.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let number = name.parse().ok().filter(|number| is_given(*number))?;
    (file_name(number) == name).then_some(number)
}

/// Appends to `out` the record of an event, which will stand at `position`.
pub(super) fn encode(
    out: &mut Vec<u8>,
    (id, session): (i64, u32),
    event: &Rejected,
    position: Position,
) {
    let start = out.len();
    out.resize(start + RECORD_HEADER_LEN, 0);
    put(out, u64::from(event.attempts));
    put_signed(out, event.first_ms);
    put_signed(out, event.last_ms);
    put_bytes(out, event.user.as_bytes());
    put_bytes(out, event.api_code.as_bytes());
    put_bytes(out, event.message.as_bytes());
    out.extend_from_slice(&event.event);
    let (header, payload) = out[start..].split_at_mut(RECORD_HEADER_LEN);
    header[..4].copy_from_slice(&RECORD_MAGIC);
    header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&id.to_le_bytes());
    header[16..20].copy_from_slice(&crc32c::crc32c(event.user.as_bytes()).to_le_bytes());
    header[20..24].copy_from_slice(&crc32c::crc32c(event.api_code.as_bytes()).to_le_bytes());
    header[24] = event.reason as u8;
    header[25] = u8::from(event.may_be_delivered);
    header[26..28].copy_from_slice(&event.http_status.unwrap_or(0).to_le_bytes());
    header[28..32].copy_from_slice(&session.to_le_bytes());
    let crc = position.checksum(&header[..32]);
    header[32..36].copy_from_slice(&crc.to_le_bytes());
    header[36..].copy_from_slice(&position.checksum(payload).to_le_bytes());
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: i64,
    length: usize,
    user: u32,
    api_code: u32,
    pub(super) reason: RejectedReason,
    may_be_delivered: bool,
    http_status: u16,
    /// The session of its writer, as of a run.
    pub(super) session: u32,
    payload_crc: u32,
}

impl Header {
    pub(super) fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        let id = u64_at(bytes, 8).cast_signed();
        let is_sound = bytes[..4] == RECORD_MAGIC
            && is_id(id)
            && u32_at(bytes, 32) == position.checksum(&bytes[..32]);
        if !is_sound {
            return None;
        }
        Some(Self {
            id,
            length: u32_at(bytes, 4) as usize,
            user: u32_at(bytes, 16),
            api_code: u32_at(bytes, 20),
            reason: RejectedReason::from_number(bytes[24])?,
            may_be_delivered: bytes[25] != 0,
            http_status: u16_at(bytes, 26),
            session: u32_at(bytes, 28),
            payload_crc: u32_at(bytes, 36),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn length(&self) -> usize {
        RECORD_HEADER_LEN + self.length
    }

    /// Whether `filter` may take the event, as far as the header tells.
    fn may_match(&self, filter: &RejectedFilter) -> bool {
        let is = |hash: u32, text: &Option<String>| {
            text.as_ref()
                .is_none_or(|text| crc32c::crc32c(text.as_bytes()) == hash)
        };
        is(self.user, &filter.user)
            && is(self.api_code, &filter.api_code)
            && filter.reason.is_none_or(|reason| reason == self.reason)
            && filter
                .may_be_delivered
                .is_none_or(|may| may == self.may_be_delivered)
    }

    /// Reads the rest of the record from `bytes`, which begin with its header.
    pub(super) fn decode_rest(&self, bytes: &[u8], position: Position) -> Option<Rejected> {
        let payload = bytes.get(RECORD_HEADER_LEN..self.length())?;
        if position.checksum(payload) != self.payload_crc {
            return None;
        }
        let mut from = Decoder(payload);
        let event = Rejected {
            attempts: from.small()?,
            first_ms: from.signed()?,
            last_ms: from.signed()?,
            user: from.text()?.to_owned(),
            api_code: from.text()?.to_owned(),
            message: from.text()?.to_owned(),
            event: from.0.to_vec(),
            reason: self.reason,
            may_be_delivered: self.may_be_delivered,
            http_status: (self.http_status > 0).then_some(self.http_status),
        };
        // Else a list with a filter would not have the event, and one without it would.
        let is_as_said = crc32c::crc32c(event.user.as_bytes()) == self.user
            && crc32c::crc32c(event.api_code.as_bytes()) == self.api_code;
        is_as_said.then_some(event)
    }
}

/// Opens the file with this number.
pub(super) fn open(
    disk: &dyn Disk,
    number: u64,
    access: Access,
) -> Result<(Box<dyn DiskFile>, FileHeader), Unreadable> {
    let expected = FileHeader {
        number,
        ..FileHeader::default()
    };
    let name = file_name(number);
    open_as(
        disk,
        (Folder::Rejected, &name),
        Kind::Rejected,
        &expected,
        access,
    )
}

/// The records of one file, in order.
#[derive(Debug)]
pub(super) struct RejectedReader {
    file: Box<dyn DiskFile>,
    header: FileHeader,
    offset: u64,
    end: u64,
    ahead: ReadAhead,
}

impl RejectedReader {
    /// Opens a file to read its records before `end`.
    pub(super) fn open(disk: &dyn Disk, number: u64, end: u64) -> Result<Self, Unreadable> {
        let (file, header) = open(disk, number, Access::Read)?;
        Ok(Self {
            file,
            header,
            offset: HEADER_LEN as u64,
            end,
            ahead: ReadAhead::default(),
        })
    }

    /// Goes to the record at `offset`.
    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The header of the next record; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<Header>, Unreadable> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let position = self.header.position(self.offset);
        let bytes = self.bytes(RECORD_HEADER_LEN)?;
        let header = Header::decode(bytes, position);
        header.map(Some).ok_or_else(|| self.no_record())
    }

    /// Goes behind the record whose header this is.
    pub(super) fn skip(&mut self, header: &Header) {
        self.offset += header.length() as u64;
    }

    /// Reads the record whose header this is, and goes behind it.
    pub(super) fn read(&mut self, header: &Header) -> Result<Rejected, Unreadable> {
        let position = self.header.position(self.offset);
        let event = header.decode_rest(self.bytes(header.length())?, position);
        let event = event.ok_or_else(|| self.no_record())?;
        self.skip(header);
        Ok(event)
    }

    fn bytes(&mut self, length: usize) -> io::Result<&[u8]> {
        let range = (self.offset, self.end);
        self.ahead.bytes(&*self.file, range, length, READ_BYTES)
    }

    fn no_record(&self) -> Unreadable {
        Unreadable::Damaged(format!("no rejected event stands at {}", self.offset))
    }
}

/// Hands the events of `files` that `filter` takes to `sink`, in the order of their ids, until it
/// returns `false`.
pub(super) fn read_matching(
    disk: &dyn Disk,
    files: &[RejectedFile],
    filter: &RejectedFilter,
    mut sink: impl FnMut(i64, Rejected) -> bool,
) -> Result<(), (u64, Unreadable)> {
    for file in files {
        if file.next_id <= filter.after_id.saturating_add(1) {
            continue;
        }
        let may_match = |header: &Header| header.id > filter.after_id && header.may_match(filter);
        let more = read_chosen(disk, file, may_match, |id, event| {
            !filter.takes(&event) || sink(id, event)
        });
        if !more.map_err(|e| (file.number, e))? {
            break;
        }
    }
    Ok(())
}

/// Hands the events of a file to `sink` that are not forgotten and whose headers are chosen, until it
/// returns `false`; says whether it never did.
fn read_chosen(
    disk: &dyn Disk,
    file: &RejectedFile,
    is_chosen: impl Fn(&Header) -> bool,
    mut sink: impl FnMut(i64, Rejected) -> bool,
) -> Result<bool, Unreadable> {
    if file.remaining() == 0 {
        return Ok(true);
    }
    let mut reader = RejectedReader::open(disk, file.number, file.end)?;
    while let Some(header) = reader.peek()? {
        if !(file.first_id..file.next_id).contains(&header.id) {
            let what = format!("rejected event {} is not one of the file's", header.id);
            return Err(Unreadable::Damaged(what));
        }
        let bit = (header.id - file.first_id) as usize;
        if file.is_forgotten(bit) || !is_chosen(&header) {
            reader.skip(&header);
            continue;
        }
        let event = reader.read(&header)?;
        if !sink(header.id, event) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rejected events with these ids, in the order of their ids; unknown ones are left out.
pub(super) fn rejected_with_ids(
    disk: &dyn Disk,
    files: &[RejectedFile],
    ids: &[i64],
) -> crate::error::Result<Vec<(i64, Rejected)>> {
    let wanted: BTreeSet<i64> = ids.iter().copied().collect();
    let of_file = |file: &RejectedFile| wanted.range(file.first_id..file.next_id).next_back();
    let mut found = Vec::new();
    for file in files {
        let Some(last) = of_file(file) else { continue };
        let read = read_chosen(
            disk,
            file,
            |header| wanted.contains(&header.id),
            |id, event| {
                found.push((id, event));
                id < *last
            },
        );
        read.map_err(|e| unreadable(disk, &format!("rejected/{}", file.number), e))?;
    }
    Ok(found)
}

/// The first `limit` rejected events that `filter` takes.
pub(super) fn rejected_matching(
    disk: &dyn Disk,
    files: &[RejectedFile],
    filter: &RejectedFilter,
    limit: usize,
) -> crate::error::Result<Vec<(i64, Rejected)>> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let read = read_matching(disk, files, filter, |id, event| {
        found.push((id, event));
        found.len() < limit
    });
    match read {
        Ok(()) => Ok(found),
        Err((number, e)) => Err(unreadable(disk, &format!("rejected/{number}"), e)),
    }
}
