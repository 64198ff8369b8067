#![allow(clippy::unwrap_used)]

use super::*;
use crate::journal::segment::{begin_record, file_name, finish_record, push_fragment};

const EVENT: &str = r#"{"token":"t","partner_user_id":"u","event":"audio","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;

const HEADER: Header = Header {
    boot_count: 1,
    created_boot_ns: 77,
    created_wall_ms: 0,
};

/// A segment with three records of two events each, and where each begins.
fn segment() -> (Vec<u8>, Vec<u64>) {
    let (mut bytes, mut begins) = (HEADER.encode().to_vec(), Vec::new());
    for number in 0..3 {
        let mut record = Vec::new();
        begin_record(&mut record);
        for _ in 0..2 {
            push_fragment(&mut record, |out| {
                out.extend_from_slice(EVENT.as_bytes());
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        begins.push(bytes.len() as u64);
        let position = Position {
            created_boot_ns: HEADER.created_boot_ns,
            offset: bytes.len() as u64,
        };
        finish_record(&mut record, 2, 2 * number, 100, position);
        bytes.extend(record);
    }
    (bytes, begins)
}

fn content(name: &str, bytes: &[u8]) -> (Vec<u64>, u64) {
    let content = Content::of(bytes, &Named::of(name));
    let offsets = content.events.iter().map(|event| event.offset);
    (offsets.collect(), content.unreadable_at_most)
}

#[test]
fn a_name_says_what_a_file_is_and_where_it_was() {
    let segment = file_name(&HEADER, 5, 6);
    for (behind, kind, offset) in [
        ("", DamagedKind::Segment, 0),
        (".requeued", DamagedKind::Segment, 0),
        ("-2", DamagedKind::Segment, 0),
        ("-0", DamagedKind::Piece, 0),
        ("-4096", DamagedKind::Piece, 4096),
        ("-4096-2.requeued", DamagedKind::Piece, 4096),
        (".from-640", DamagedKind::Segment, 640),
        (".from-640-2", DamagedKind::Segment, 640),
        (".from-", DamagedKind::Foreign, 0),
        (".new", DamagedKind::Foreign, 0),
    ] {
        let name = format!("{segment}{behind}");
        let named = Named::of(&name);
        assert_eq!((named.kind, named.offset), (kind, offset), "{behind}");
        let is_ours = kind != DamagedKind::Foreign;
        assert_eq!(named.segment, if is_ours { &*segment } else { "" });
    }
    assert_eq!(Named::of("notes.txt").kind, DamagedKind::Foreign);
}

#[test]
fn only_whole_records_count_that_no_sender_has_read() {
    let (bytes, begins) = segment();
    let name = file_name(&HEADER, 5, 6);
    let all: Vec<u64> = begins.iter().flat_map(|at| [*at, *at]).collect();
    assert_eq!(content(&name, &bytes), (all.clone(), 0));
    let from = format!("{name}.from-{}", begins[1]);
    assert_eq!(content(&from, &bytes), (all[2..].to_vec(), 0));
    // A piece has the checksums of its place, and no others.
    let piece = &bytes[begins[1] as usize..];
    let at = |offset: u64| content(&format!("{name}-{offset}"), piece);
    assert_eq!(at(begins[1]), (all[2..].to_vec(), 0));
    let elsewhere = at(begins[1] + 1);
    assert_eq!(elsewhere.0, [0_u64; 0]);
    assert!(elsewhere.1 >= 4, "{elsewhere:?}");
}

#[test]
fn what_cannot_be_read_counts_as_many_events_as_its_header_says_or_as_fit_into_it() {
    let (bytes, begins) = segment();
    let name = file_name(&HEADER, 5, 6);
    let flipped = |at: u64| {
        let mut bytes = bytes.clone();
        bytes[at as usize] ^= 1;
        content(&name, &bytes)
    };
    let others: Vec<u64> = [begins[0], begins[0], begins[2], begins[2]].into();
    assert_eq!(flipped(begins[1] + 60), (others.clone(), 2));
    let (found, at_most) = flipped(begins[1] + 3);
    assert_eq!((found, at_most), (others, 2));
    // The beginning of a record that was cut says how many it was to have; zeros hold none.
    let cut = &bytes[..begins[2] as usize + 50];
    assert_eq!(content(&name, cut).1, 2);
    let zeros = [&bytes[..begins[1] as usize], &[0; 8192]].concat();
    assert_eq!(content(&name, &zeros).1, 0);
    assert_eq!(
        content(&format!("{name}-0"), &bytes[..HEADER_LEN]),
        (Vec::new(), 0)
    );
}

#[test]
fn no_event_is_shorter_than_the_shortest_one() {
    assert_eq!(SHORTEST_EVENT, (FRAGMENT_PREFIX_LEN + EVENT.len()) as u64);
    let fields = crate::event::Fields {
        token: "t",
        partner_user_id: "u",
        event: "audio",
        event_value: None,
        received_at: Some("2024-08-06 15:04:05"),
    };
    let mut fragment = Vec::new();
    crate::event::encode(&fields, &crate::event::Rules::default(), 0, &mut fragment).unwrap();
    assert!(
        fragment.len() >= EVENT.len(),
        "{}",
        String::from_utf8_lossy(&fragment)
    );
}
