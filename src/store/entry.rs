//! What one record of the ledger says, entry by entry.
//!
//! A record is a list of entries: tag u8 | length | bytes. Values are absolute, so that to fold them is
//! to put the last one in its place; that does not heal a lost record, which may have held a rejection,
//! a pause or a segment.
//!
//! An entry whose tag a reader does not know is skipped if the tag is below [`MUST_KNOW`]. Any other one
//! makes an older library leave the store to a newer one.

use super::codec::{Decoder, put, put_bytes, put_optional, put_signed};
use super::{InDoubt, PauseState, Place, RejectedReason, Rest, Suspect};
use crate::error::PauseReason;

/// Tags from here on may not be skipped.
pub(super) const MUST_KNOW: u8 = 128;

/// A place in the files of a queue, or of the rejected events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The file's number.
    pub(super) file: u64,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

/// A file of a queue, and where its runs end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFile {
    pub(super) number: u64,
    pub(super) end: u64,
}

/// Which runs of a queue wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueuePosition {
    /// Runs up to this one are settled.
    pub(super) passed: i64,
    /// Where the first run stands that is not settled, or the next one will.
    pub(super) head: Point,
    /// Where the runs of the last file end.
    pub(super) tail: u64,
    /// The last run ever appended here.
    pub(super) last_run: i64,
    /// Events that wait, and their bytes.
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What the search for bad events knows of a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Isolation {
    pub(super) group: u32,
    pub(super) doubtful: u32,
    pub(super) belief: Vec<f64>,
}

/// A file of rejected events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RejectedFile {
    pub(super) number: u64,
    /// The id of its first event, and the one behind its last.
    pub(super) first_id: i64,
    pub(super) next_id: i64,
    /// Where its records end.
    pub(super) end: u64,
    /// A bit for each id from the first on: the event is forgotten.
    pub(super) forgotten: Vec<u8>,
}

/// The highest numbers ever given, for none may be given twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) run: i64,
    pub(super) receipt: i64,
    pub(super) segment: u64,
    pub(super) queue_file: u64,
    pub(super) rejected: i64,
    pub(super) rejected_file: u64,
    /// Receipts below this id are forgotten.
    pub(super) receipts_from: i64,
    /// What marks the runs and rejected events of the sender that writes now.
    pub(super) session: u32,
}

/// One entry of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry<'a> {
    /// This record is part `part` of the `of` that a file begins with, and that hold all of the state.
    Snapshot { part: u32, of: u32 },
    /// Somebody was elected.
    Elected {
        pid: u32,
        wall_ms: i64,
        session: u32,
    },
    /// Which runs of a queue wait.
    Queue {
        place: Place,
        position: QueuePosition,
    },
    /// All files of a queue, in order; runs are appended to the last one.
    QueueFiles { place: Place, files: Vec<QueueFile> },
    /// Which places of a run hold events that have left it; 0: none.
    Marks { place: Place, run: i64, marks: u128 },
    /// What the search for bad events knows of a queue.
    Isolation { place: Place, isolation: Isolation },
    /// The batch in doubt of a lane.
    InDoubt { lane: u8, in_doubt: Option<InDoubt> },
    /// How a lane rests.
    Rest { lane: u8, rest: Rest },
    /// A segment gets a number, which the other entries call it by.
    Segment { number: u64, name: &'a str },
    /// How far a segment is taken over.
    Taken { number: u64, upto: u64 },
    /// A segment is gone.
    Gone { number: u64 },
    /// A user is (still) suspect.
    Suspect(Suspect),
    /// A user is not suspect any more.
    Cleared { user: &'a [u8] },
    /// One more user was refused alone since the last acceptance.
    RefusedInARow { user: &'a str },
    /// Nobody is refused in a row any more.
    AcceptedSince,
    /// Delivery is paused, or not any more.
    Pause(Option<PauseState>),
    /// The number of lanes.
    Lanes(u8),
    /// Sums that have changed, by their place in the list of all sums.
    Totals(Vec<(u8, u64)>),
    /// A file of rejected events, with all that is known of it.
    RejectedFile(RejectedFile),
    /// How far the last file of rejected events reaches; a new number begins a new file.
    RejectedTail {
        number: u64,
        first_id: i64,
        next_id: i64,
        end: u64,
    },
    /// Rejected events are forgotten.
    Forgotten(Vec<i64>),
    /// A file of rejected events is gone, or is not used any more.
    RejectedGone { number: u64 },
    /// A request was delivered; the bytes are the receipt's.
    Receipt { id: i64, bytes: &'a [u8] },
    /// Receipts below this id are forgotten.
    ReceiptsForgotten { below: i64 },
    /// The highest numbers given.
    Numbers(Numbers),
    /// How many rejected events there are with a reason and an API code.
    RejectedCount {
        reason: RejectedReason,
        api_code: &'a str,
        events: u64,
    },
}

/// Why bytes are no entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadEntry {
    /// A newer version wrote it, and it may not be skipped.
    Newer,
    /// It is not what its tag says.
    Damaged,
}

impl Entry<'_> {
    fn tag(&self) -> u8 {
        match self {
            Self::Snapshot { .. } => 1,
            Self::Elected { .. } => 2,
            Self::Queue { .. } => 3,
            Self::QueueFiles { .. } => 4,
            Self::Marks { .. } => 5,
            Self::Isolation { .. } => 6,
            Self::InDoubt { .. } => 7,
            Self::Rest { .. } => 8,
            Self::Segment { .. } => 9,
            Self::Taken { .. } => 10,
            Self::Gone { .. } => 11,
            Self::Suspect(_) => 12,
            Self::Cleared { .. } => 13,
            Self::RefusedInARow { .. } => 14,
            Self::AcceptedSince => 15,
            Self::Pause(_) => 16,
            Self::Lanes(_) => 17,
            Self::Totals(_) => 18,
            Self::RejectedFile(_) => 19,
            Self::RejectedTail { .. } => 20,
            Self::Forgotten(_) => 21,
            Self::RejectedGone { .. } => 22,
            Self::Receipt { .. } => 23,
            Self::ReceiptsForgotten { .. } => 24,
            Self::Numbers(_) => 25,
            Self::RejectedCount { .. } => 26,
        }
    }

    /// Appends the entry to the payload of a record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // The value is written first, behind room for a short length, and moved where that does not do.
        out.extend_from_slice(&[self.tag(), 0]);
        let start = out.len();
        self.encode_value(out);
        let length = out.len() - start;
        if length < 0x80 {
            out[start - 1] = length as u8;
            return;
        }
        let mut prefix = Vec::new();
        put(&mut prefix, length as u64);
        out.splice(start - 1..start, prefix);
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Snapshot { part, of } => {
                put(out, u64::from(*part));
                put(out, u64::from(*of));
            }
            Self::Elected {
                pid,
                wall_ms,
                session,
            } => {
                put(out, u64::from(*pid));
                put_signed(out, *wall_ms);
                put(out, u64::from(*session));
            }
            Self::Queue { place, position } => {
                put_place(out, *place);
                put_signed(out, position.passed);
                put_point(out, position.head);
                put(out, position.tail);
                put_signed(out, position.last_run);
                put(out, position.events);
                put(out, position.bytes);
            }
            Self::QueueFiles { place, files } => {
                put_place(out, *place);
                for file in files {
                    put(out, file.number);
                    put(out, file.end);
                }
            }
            Self::Marks { place, run, marks } => {
                put_place(out, *place);
                put_signed(out, *run);
                out.extend_from_slice(&marks.to_le_bytes());
            }
            Self::Isolation { place, isolation } => {
                put_place(out, *place);
                put(out, u64::from(isolation.group));
                put(out, u64::from(isolation.doubtful));
                for weight in &isolation.belief {
                    out.extend_from_slice(&weight.to_le_bytes());
                }
            }
            Self::InDoubt { lane, in_doubt } => {
                out.push(*lane);
                if let Some(batch) = in_doubt {
                    out.push(batch.queue);
                    put(out, u64::from(batch.events));
                    put(out, u64::from(batch.attempts));
                    put_signed(out, batch.first_ms);
                    put_signed(out, batch.last_ms);
                }
            }
            Self::Rest { lane, rest } => {
                out.push(*lane);
                put_signed(out, rest.drawn_ms);
                put_signed(out, rest.wait_ms);
                put_optional(out, rest.until_ms);
                out.push(u8::from(rest.connection_lost));
                put(out, u64::from(rest.server_errors));
            }
            Self::Segment { number, name } => {
                put(out, *number);
                out.extend_from_slice(name.as_bytes());
            }
            Self::Taken { number, upto } => {
                put(out, *number);
                put(out, *upto);
            }
            Self::Gone { number } | Self::RejectedGone { number } => put(out, *number),
            Self::Suspect(suspect) => {
                out.push(suspect.lane);
                out.push(u8::from(suspect.accepted));
                put(out, suspect.waiting);
                out.extend_from_slice(&suspect.user);
            }
            Self::Cleared { user } => out.extend_from_slice(user),
            Self::RefusedInARow { user } => out.extend_from_slice(user.as_bytes()),
            Self::AcceptedSince => {}
            Self::Pause(pause) => {
                if let Some(pause) = pause {
                    put_pause(out, pause);
                }
            }
            Self::Lanes(lanes) => out.push(*lanes),
            Self::Totals(changed) => {
                for (place, value) in changed {
                    out.push(*place);
                    put(out, *value);
                }
            }
            Self::RejectedFile(file) => {
                put(out, file.number);
                put_signed(out, file.first_id);
                put_signed(out, file.next_id);
                put(out, file.end);
                out.extend_from_slice(&file.forgotten);
            }
            Self::RejectedTail {
                number,
                first_id,
                next_id,
                end,
            } => {
                put(out, *number);
                put_signed(out, *first_id);
                put_signed(out, *next_id);
                put(out, *end);
            }
            Self::Forgotten(ids) => {
                let mut last = 0;
                for id in ids {
                    put_signed(out, id.wrapping_sub(last));
                    last = *id;
                }
            }
            Self::Receipt { id, bytes } => {
                put_signed(out, *id);
                out.extend_from_slice(bytes);
            }
            Self::ReceiptsForgotten { below } => put_signed(out, *below),
            Self::Numbers(numbers) => {
                put_signed(out, numbers.run);
                put_signed(out, numbers.receipt);
                put(out, numbers.segment);
                put(out, numbers.queue_file);
                put_signed(out, numbers.rejected);
                put(out, numbers.rejected_file);
                put_signed(out, numbers.receipts_from);
                put(out, u64::from(numbers.session));
            }
            Self::RejectedCount {
                reason,
                api_code,
                events,
            } => {
                out.push(*reason as u8);
                put(out, *events);
                out.extend_from_slice(api_code.as_bytes());
            }
        }
    }
}

/// The entries of a record's payload, in order. An unknown entry that may be skipped is left out.
pub(super) fn entries(payload: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, BadEntry>> {
    let mut rest = Decoder(payload);
    let mut is_over = false;
    std::iter::from_fn(move || {
        while !is_over && !rest.is_empty() {
            let read = rest.byte().zip(rest.bytes());
            let entry = read.map_or(Err(BadEntry::Damaged), |(tag, value)| decode(tag, value));
            is_over = entry.is_err();
            match entry {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(e) => return Some(Err(e)),
            }
        }
        None
    })
}

fn decode(tag: u8, value: &[u8]) -> Result<Option<Entry<'_>>, BadEntry> {
    let mut from = Decoder(value);
    let entry = match tag {
        1..=26 => decode_known(tag, &mut from).ok_or(BadEntry::Damaged)?,
        0 | MUST_KNOW.. => return Err(BadEntry::Newer),
        _ => return Ok(None),
    };
    if from.is_empty() {
        Ok(Some(entry))
    } else {
        Err(BadEntry::Damaged)
    }
}

fn decode_known<'a>(tag: u8, from: &mut Decoder<'a>) -> Option<Entry<'a>> {
    Some(match tag {
        1 => Entry::Snapshot {
            part: from.small()?,
            of: from.small()?,
        },
        2 => Entry::Elected {
            pid: from.small()?,
            wall_ms: from.signed()?,
            session: from.small()?,
        },
        3 => Entry::Queue {
            place: place(from)?,
            position: QueuePosition {
                passed: from.signed()?,
                head: point(from)?,
                tail: from.number()?,
                last_run: from.signed()?,
                events: from.number()?,
                bytes: from.number()?,
            },
        },
        4 => Entry::QueueFiles {
            place: place(from)?,
            files: list(from, |from| {
                Some(QueueFile {
                    number: from.number()?,
                    end: from.number()?,
                })
            })?,
        },
        5 => Entry::Marks {
            place: place(from)?,
            run: from.signed()?,
            marks: u128::from_le_bytes(from.array()?),
        },
        6 => Entry::Isolation {
            place: place(from)?,
            isolation: Isolation {
                group: from.small()?,
                doubtful: from.small()?,
                belief: list(from, |from| Some(f64::from_le_bytes(from.array()?)))?,
            },
        },
        7 => Entry::InDoubt {
            lane: from.byte()?,
            in_doubt: match from.is_empty() {
                true => None,
                false => Some(InDoubt {
                    queue: from.byte()?,
                    events: from.small()?,
                    attempts: from.small()?,
                    first_ms: from.signed()?,
                    last_ms: from.signed()?,
                }),
            },
        },
        8 => Entry::Rest {
            lane: from.byte()?,
            rest: Rest {
                drawn_ms: from.signed()?,
                wait_ms: from.signed()?,
                until_ms: from.optional()?,
                connection_lost: from.flag()?,
                server_errors: from.small()?,
            },
        },
        9 => Entry::Segment {
            number: from.number()?,
            name: std::str::from_utf8(rest(from)).ok()?,
        },
        10 => Entry::Taken {
            number: from.number()?,
            upto: from.number()?,
        },
        11 => Entry::Gone {
            number: from.number()?,
        },
        12 => Entry::Suspect(Suspect {
            lane: from.byte()?,
            accepted: from.flag()?,
            waiting: from.number()?,
            user: rest(from).to_vec(),
        }),
        13 => Entry::Cleared { user: rest(from) },
        14 => Entry::RefusedInARow {
            user: std::str::from_utf8(rest(from)).ok()?,
        },
        15 => Entry::AcceptedSince,
        16 => Entry::Pause(match from.is_empty() {
            true => None,
            false => Some(pause(from)?),
        }),
        17 => Entry::Lanes(from.byte()?),
        18 => Entry::Totals(list(from, |from| Some((from.byte()?, from.number()?)))?),
        19 => Entry::RejectedFile(RejectedFile {
            number: from.number()?,
            first_id: from.signed()?,
            next_id: from.signed()?,
            end: from.number()?,
            forgotten: rest(from).to_vec(),
        }),
        20 => Entry::RejectedTail {
            number: from.number()?,
            first_id: from.signed()?,
            next_id: from.signed()?,
            end: from.number()?,
        },
        21 => {
            let mut last = 0_i64;
            Entry::Forgotten(list(from, |from| {
                last = last.wrapping_add(from.signed()?);
                Some(last)
            })?)
        }
        22 => Entry::RejectedGone {
            number: from.number()?,
        },
        23 => Entry::Receipt {
            id: from.signed()?,
            bytes: rest(from),
        },
        24 => Entry::ReceiptsForgotten {
            below: from.signed()?,
        },
        25 => Entry::Numbers(Numbers {
            run: from.signed()?,
            receipt: from.signed()?,
            segment: from.number()?,
            queue_file: from.number()?,
            rejected: from.signed()?,
            rejected_file: from.number()?,
            receipts_from: from.signed()?,
            session: from.small()?,
        }),
        26 => Entry::RejectedCount {
            reason: RejectedReason::from_number(from.byte()?)?,
            events: from.number()?,
            api_code: std::str::from_utf8(rest(from)).ok()?,
        },
        _ => return None,
    })
}

fn list<'a, T>(
    from: &mut Decoder<'a>,
    mut item: impl FnMut(&mut Decoder<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::new();
    while !from.is_empty() {
        items.push(item(from)?);
    }
    Some(items)
}

fn rest<'a>(from: &mut Decoder<'a>) -> &'a [u8] {
    std::mem::take(&mut from.0)
}

fn put_place(out: &mut Vec<u8>, place: Place) {
    out.extend_from_slice(&[place.lane, place.queue]);
}

fn place(from: &mut Decoder<'_>) -> Option<Place> {
    let (lane, queue) = (from.byte()?, from.byte()?);
    (queue <= 1).then_some(Place { lane, queue })
}

fn put_point(out: &mut Vec<u8>, point: Point) {
    put(out, point.file);
    put(out, point.offset);
}

fn point(from: &mut Decoder<'_>) -> Option<Point> {
    Some(Point {
        file: from.number()?,
        offset: from.number()?,
    })
}

fn put_pause(out: &mut Vec<u8>, pause: &PauseState) {
    put_bytes(out, pause.reason.name().as_bytes());
    put_signed(out, pause.since_ms);
    put_optional(out, pause.probe_ms);
    put_signed(out, pause.probe_wait_ms);
    put_optional(out, pause.http_status.map(i64::from));
    put_bytes(out, pause.message.as_bytes());
    for maybe in [
        pause.api_code.as_ref().map(String::as_bytes),
        pause.fingerprint.as_deref(),
    ] {
        out.push(u8::from(maybe.is_some()));
        if let Some(bytes) = maybe {
            put_bytes(out, bytes);
        }
    }
}

fn pause(from: &mut Decoder<'_>) -> Option<PauseState> {
    Some(PauseState {
        reason: PauseReason::from_name(from.text()?)?,
        since_ms: from.signed()?,
        probe_ms: from.optional()?,
        probe_wait_ms: from.signed()?,
        http_status: match from.optional()? {
            Some(status) => Some(u16::try_from(status).ok()?),
            None => None,
        },
        message: from.text()?.to_owned(),
        api_code: match from.flag()? {
            true => Some(from.text()?.to_owned()),
            false => None,
        },
        fingerprint: match from.flag()? {
            true => Some(from.bytes()?.to_vec()),
            false => None,
        },
    })
}
