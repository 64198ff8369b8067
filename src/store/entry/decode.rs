//! Entries read back from their bytes.

use super::{Entry, Isolation, MUST_KNOW, Numbers, Point, QueueFile, QueuePosition, RejectedFile};
use crate::error::PauseReason;
use crate::store::codec::Decoder;
use crate::store::{InDoubt, PauseState, Place, RejectedReason, Rest, Suspect};

/// Why bytes are no entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum BadEntry {
    /// A newer version wrote it, and it may not be skipped.
    Newer,
    /// It is not what its tag says.
    Damaged,
}

/// The entries of a record's payload, in order. An unknown entry that may be skipped is left out.
pub(in crate::store) fn entries(
    payload: &[u8],
) -> impl Iterator<Item = Result<Entry<'_>, BadEntry>> {
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
        1..=26 | 28 => decode_known(tag, &mut from).ok_or(BadEntry::Damaged)?,
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
                    status: None,
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
        28 => Entry::Answered {
            lane: from.byte()?,
            status: from.small()?,
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

fn place(from: &mut Decoder<'_>) -> Option<Place> {
    let (lane, queue) = (from.byte()?, from.byte()?);
    (queue <= 1).then_some(Place { lane, queue })
}

fn point(from: &mut Decoder<'_>) -> Option<Point> {
    Some(Point {
        file: from.number()?,
        offset: from.number()?,
    })
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
