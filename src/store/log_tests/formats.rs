//! The bytes of the format: every entry there and back, headers, records, and the order of the sums.

use crate::error::PauseReason;
use crate::store::entry::{
    BadEntry, Entry, Isolation, Numbers, Point, QueueFile, QueuePosition, RejectedFile, entries,
};
use crate::store::frame::{
    BadHeader, FileHeader, Kind, Position, RecordHeader, begin_record, find_record_header,
    finish_record,
};
use crate::store::{InDoubt, Measures, PauseState, Place, Rest, Suspect, Totals};

fn number(rng: &mut fastrand::Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn signed(rng: &mut fastrand::Rng) -> i64 {
    rng.i64(..) >> rng.u32(..64)
}

/// An entry with this tag, and with any values.
pub(in crate::store) fn any_entry(tag: u8, rng: &mut fastrand::Rng) -> Option<Entry<'static>> {
    let place = Place {
        lane: rng.u8(..4),
        queue: rng.u8(..2),
    };
    let point = Point {
        file: number(rng),
        offset: number(rng),
    };
    let rejected = RejectedFile {
        number: number(rng),
        first_id: signed(rng),
        next_id: signed(rng),
        end: number(rng),
        forgotten: vec![rng.u8(..); rng.usize(..5)],
    };
    Some(match tag {
        1 => Entry::Snapshot {
            part: rng.u32(..3),
            of: rng.u32(..),
        },
        2 => Entry::Elected {
            pid: rng.u32(..),
            wall_ms: signed(rng),
            session: rng.u32(..),
        },
        3 => Entry::Queue {
            place,
            position: QueuePosition {
                passed: signed(rng),
                head: point,
                tail: number(rng),
                last_run: signed(rng),
                events: number(rng),
                bytes: number(rng),
            },
        },
        4 => Entry::QueueFiles {
            place,
            files: (0..rng.usize(..40))
                .map(|_| QueueFile {
                    number: number(rng),
                    end: number(rng),
                })
                .collect(),
        },
        5 => Entry::Marks {
            place,
            run: signed(rng),
            marks: rng.u128(..),
        },
        6 => Entry::Isolation {
            place,
            isolation: Isolation {
                group: rng.u32(..),
                doubtful: rng.u32(..),
                belief: (0..rng.usize(..40)).map(|_| rng.f64()).collect(),
            },
        },
        7 => Entry::InDoubt {
            lane: rng.u8(..),
            in_doubt: rng.bool().then(|| InDoubt {
                queue: rng.u8(..2),
                events: rng.u32(..),
                attempts: rng.u32(..),
                first_ms: signed(rng),
                last_ms: signed(rng),
                status: None,
            }),
        },
        8 => Entry::Rest {
            lane: rng.u8(..),
            rest: Rest {
                drawn_ms: signed(rng),
                wait_ms: signed(rng),
                until_ms: rng.bool().then(|| signed(rng)),
                connection_lost: rng.bool(),
                server_errors: rng.u32(..),
            },
        },
        9 => Entry::Segment {
            number: number(rng),
            name: "00000001-1-1-1.segment",
        },
        10 => Entry::Taken {
            number: number(rng),
            upto: number(rng),
        },
        11 => Entry::Gone {
            number: number(rng),
        },
        12 => Entry::Suspect(Suspect {
            user: vec![rng.u8(..); rng.usize(..300)],
            lane: rng.u8(..),
            waiting: number(rng),
            accepted: rng.bool(),
        }),
        13 => Entry::Cleared { user: b"somebody" },
        14 => Entry::RefusedInARow { user: "somebody" },
        15 => Entry::AcceptedSince,
        16 => Entry::Pause(rng.bool().then(|| PauseState {
            reason: PauseReason::Misrouted,
            since_ms: signed(rng),
            probe_ms: rng.bool().then(|| signed(rng)),
            probe_wait_ms: signed(rng),
            http_status: rng.bool().then(|| rng.u16(..)),
            api_code: rng.bool().then(|| "A_1".to_owned()),
            message: "said no".to_owned(),
            fingerprint: rng.bool().then(|| vec![1, 2, 3]),
        })),
        17 => Entry::Lanes(rng.u8(..)),
        18 => Entry::Totals(
            (0..rng.usize(..9))
                .map(|_| (rng.u8(..), number(rng)))
                .collect(),
        ),
        19 => Entry::RejectedFile(rejected),
        20 => Entry::RejectedTail {
            number: rejected.number,
            first_id: rejected.first_id,
            next_id: rejected.next_id,
            end: rejected.end,
        },
        21 => Entry::Forgotten((0..rng.usize(..9)).map(|_| signed(rng)).collect()),
        22 => Entry::RejectedGone {
            number: number(rng),
        },
        23 => Entry::Receipt {
            id: signed(rng),
            bytes: b"receipt",
        },
        24 => Entry::ReceiptsForgotten { below: signed(rng) },
        25 => Entry::Numbers(Numbers {
            run: signed(rng),
            receipt: signed(rng),
            segment: number(rng),
            queue_file: number(rng),
            rejected: signed(rng),
            rejected_file: number(rng),
            receipts_from: signed(rng),
            session: rng.u32(..),
        }),
        28 => Entry::Answered {
            lane: rng.u8(..),
            status: rng.u16(..),
        },
        _ => return None,
    })
}

#[test]
fn every_entry_is_read_back_as_it_was_written() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let mut payload = Vec::new();
        let written: Vec<Entry<'_>> = (1..=25)
            .chain([28])
            .map(|tag| any_entry(tag, &mut rng).unwrap())
            .collect();
        for (tag, entry) in (1..=25).chain([28_u8]).zip(&written) {
            let at = payload.len();
            entry.encode(&mut payload);
            assert_eq!(payload[at], tag, "{entry:?}");
        }
        let read: Result<Vec<Entry<'_>>, BadEntry> = entries(&payload).collect();
        assert_eq!(read, Ok(written));
        // Cut short anywhere, the last entry is none.
        let cut = rng.usize(1..payload.len());
        for entry in entries(&payload[..cut]) {
            assert_ne!(entry, Err(BadEntry::Newer));
        }
    }
    assert_eq!(any_entry(26, &mut rng), None);
}

#[test]
fn an_unknown_entry_is_skipped_below_128_and_left_to_a_newer_version_above() {
    let mut payload = vec![100, 2, 7, 7];
    Entry::Lanes(3).encode(&mut payload);
    let read: Result<Vec<Entry<'_>>, BadEntry> = entries(&payload).collect();
    assert_eq!(read, Ok(vec![Entry::Lanes(3)]));
    payload.extend([128, 0]);
    assert_eq!(entries(&payload).last(), Some(Err(BadEntry::Newer)));
}

#[test]
fn a_header_of_a_newer_version_is_told_from_a_damaged_one() {
    let header = FileHeader {
        boot_count: 3,
        number: 4,
        nonce: 5,
        created_ms: -6,
        lane: 7,
        queue: 1,
        first_id: 8,
    };
    for kind in [Kind::Ledger, Kind::Queue, Kind::Rejected] {
        let mut bytes = header.encode(kind);
        assert_eq!(FileHeader::decode(&bytes, kind), Ok(header));
        for at in 0..bytes.len() {
            bytes[at] ^= 4;
            assert_eq!(
                FileHeader::decode(&bytes, kind),
                Err(BadHeader::Damaged),
                "{at}"
            );
            bytes[at] ^= 4;
        }
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(FileHeader::decode(&bytes, kind), Err(BadHeader::Newer(2)));
    }
    let bytes = header.encode(Kind::Queue);
    assert_eq!(
        FileHeader::decode(&bytes, Kind::Ledger),
        Err(BadHeader::Damaged)
    );
}

#[test]
fn a_record_is_one_only_where_it_was_written() {
    let here = Position {
        nonce: 9,
        offset: 100,
    };
    let mut record = Vec::new();
    begin_record(&mut record);
    record.extend_from_slice(b"payload");
    finish_record(&mut record, 12, 11, here);
    let header = RecordHeader::decode(&record, here).unwrap();
    assert_eq!((header.seq, header.durable, header.length), (12, 11, 7));
    assert!(header.matches(b"payload", here));
    assert!(!header.matches(b"paxload", here));
    for other in [
        Position { nonce: 8, ..here },
        Position {
            offset: 101,
            ..here
        },
    ] {
        assert_eq!(RecordHeader::decode(&record, other), None);
        assert!(!header.matches(b"payload", other));
    }
    let mut bytes = b"LREC in the way ".to_vec();
    bytes.extend_from_slice(&record);
    let before = Position {
        nonce: 9,
        offset: 84,
    };
    assert_eq!(find_record_header(&bytes, before), Some((16, header)));
}

#[test]
fn the_sums_keep_their_numbers_in_the_ledger() {
    let mut totals = Totals::default();
    for (place, number) in totals.numbers().enumerate() {
        *number = place as u64 + 1;
    }
    let Totals { measures, .. } = totals;
    let Measures { verdicts, .. } = measures;
    let first = [
        totals.delivered,
        totals.rejected,
        totals.expired,
        totals.requests,
        totals.retried_requests,
        totals.refused_requests,
        totals.isolation_requests,
        totals.damaged_records,
        totals.torn_tails,
        totals.lost,
        verdicts.delivered,
        verdicts.refused,
        verdicts.too_large,
        verdicts.retry,
        verdicts.in_doubt,
        verdicts.pause,
        measures.sent_bytes,
        measures.pauses,
        measures.requests.counts[0],
    ];
    assert!(first.into_iter().eq(1..=first.len() as u64), "{totals:?}");
    assert_eq!((totals.pending, totals.pending_bytes), (0, 0));
    // Their place is one byte.
    assert!(totals.numbers().count() <= 256);
}
