//! What the format promises: every cut and every flipped bit is recognised as what it is.

use super::*;

const AT: Position = Position {
    created_boot_ns: 5,
    offset: HEADER_LEN as u64,
};

fn record_at(position: Position, fragments: &[&str], boot_ns: u64) -> Vec<u8> {
    let mut buffer = Vec::new();
    begin_record(&mut buffer);
    for fragment in fragments {
        push_fragment(&mut buffer, |out| {
            out.extend_from_slice(fragment.as_bytes());
            Ok::<_, ()>(())
        })
        .unwrap();
    }
    finish_record(&mut buffer, fragments.len() as u32, 0, boot_ns, position);
    buffer
}

fn record(fragments: &[&str], boot_ns: u64) -> Vec<u8> {
    record_at(AT, fragments, boot_ns)
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let bytes = record(&["one", "", "three"], 7);
    let Parsed::Record { boot_ns, payload } = parse_record(&bytes, AT) else {
        panic!("not a record");
    };
    assert_eq!(boot_ns, 7);
    let read: Vec<_> = fragments(&bytes[payload]).collect();
    assert_eq!(read, [&b"one"[..], b"", b"three"]);
}

#[test]
fn a_header_says_how_many_events_stand_before_its_record() {
    let mut bytes = record(&["one", "two"], 7);
    finish_record(&mut bytes, 2, 70_000, 7, AT);
    let header = RecordHeader::decode(&bytes, AT).unwrap();
    let expected = RecordHeader {
        payload_len: bytes.len() as u32 - RECORD_HEADER_LEN as u32,
        events: 2,
        events_before: 70_000,
        boot_ns: 7,
    };
    assert_eq!(header, expected);
    // What it says is covered by its checksum.
    bytes[13] ^= 1;
    assert_eq!(RecordHeader::decode(&bytes, AT), None);
}

#[test]
fn the_first_and_the_last_header_in_bytes_are_found_and_nothing_that_resembles_one() {
    let mut bytes = b"MREC, says the end of an event, MREC".to_vec();
    let first = bytes.len();
    bytes.extend(record_at(AT.plus(first), &["one"], 7));
    bytes.extend(record_at(AT.plus(bytes.len()), &["MREC"], 8));
    let last = bytes.len();
    bytes.extend(record_at(AT.plus(last), &["three"], 9));
    bytes.extend(b"MREC and a header that is cut");
    let found = |at: Option<(usize, RecordHeader)>| at.map(|(at, header)| (at, header.boot_ns));
    assert_eq!(found(first_header(&bytes, AT)), Some((first, 7)));
    assert_eq!(found(last_header(&bytes, AT)), Some((last, 9)));
    assert_eq!(found(last_header(&bytes, AT.plus(1))), None);
}

#[test]
fn every_cut_of_a_record_is_partial_and_never_damage() {
    let bytes = record(&["one", "two"], 7);
    for cut in 0..bytes.len() {
        match parse_record(&bytes[..cut], AT) {
            Parsed::Partial { needed } => assert!(needed > cut && needed <= bytes.len()),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_record_is_damage_and_never_a_torn_write() {
    let bytes = record(&["one", "two"], 7);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let in_payload = bit / 8 >= CHECKED_LEN + 4;
        let expected = if in_payload {
            Parsed::DamagedPayload {
                length: bytes.len(),
            }
        } else {
            Parsed::Damaged
        };
        assert_eq!(parse_record(&flipped, AT), expected, "bit {bit}");
    }
}

#[test]
fn a_record_is_valid_only_at_the_position_that_it_was_written_for() {
    let bytes = record(&["one"], 7);
    let elsewhere = [
        AT.plus(bytes.len()),
        Position {
            created_boot_ns: 6,
            ..AT
        },
    ];
    for position in elsewhere {
        assert_eq!(parse_record(&bytes, position), Parsed::Damaged);
    }
}

#[test]
fn a_payload_whose_fragments_are_not_what_its_header_says_is_damage() {
    for (first, second, events) in [(3, 3, 1), (3, 3, 3), (3, u32::MAX, 2), (4, 3, 2), (3, 2, 2)] {
        let mut bytes = record(&["one", "two"], 7);
        let payload = &mut bytes[RECORD_HEADER_LEN..];
        payload[..4].copy_from_slice(&u32::to_le_bytes(first));
        payload[7..11].copy_from_slice(&u32::to_le_bytes(second));
        finish_record(&mut bytes, events, 0, 7, AT);
        let damaged = Parsed::DamagedPayload {
            length: bytes.len(),
        };
        assert_eq!(
            parse_record(&bytes, AT),
            damaged,
            "{first} {second} {events}"
        );
    }
}

#[test]
fn a_segments_name_has_the_time_of_its_header_and_other_names_are_no_segments() {
    let header = Header {
        boot_count: 3,
        created_boot_ns: 5_000_000,
        created_wall_ms: 1_000,
    };
    let name = file_name(&header, 17, 0xBEEF);
    assert_eq!(name, "00000003-00000000000005000000-17-0000beef.segment");
    assert_eq!(parse_name(&name), Some((3, 5_000_000)));
    for foreign in [
        "access.log",
        "1-2.segment",
        "-1-2-3.segment",
        "1-2-3",
        "1-x-3-4.segment",
    ] {
        assert_eq!(parse_name(foreign), None, "{foreign}");
    }
}

#[test]
fn a_segment_header_reads_back_and_a_newer_or_damaged_one_does_not() {
    let header = Header {
        boot_count: 3,
        created_boot_ns: 5_000_000,
        created_wall_ms: 1_000,
    };
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes), Ok(header));
    assert_eq!(header.wall_ms(7_000_000), 1_002);
    assert_eq!(Header::decode(&bytes[..63]), Err(BadHeader::Short));

    let mut newer = bytes;
    newer[8] = 2;
    let crc = crc32c::crc32c(&newer[..60]);
    newer[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Header::decode(&newer), Err(BadHeader::Newer));

    let mut damaged = bytes;
    damaged[20] ^= 1;
    assert_eq!(Header::decode(&damaged), Err(BadHeader::Damaged));
}
