//! More segments than a round has buffers: the order stays, and so does every event.

use super::super::segment::{Header, Position};
use super::*;

/// More than a round has buffers.
const SEGMENTS: u64 = 1_500;
const RECORDS: u64 = 4;

/// An event: its time, its segment, and its place there.
type Event = (u64, u64, u64);

/// Writes segments by hand, so that their times are known: many records of different segments have
/// the same one. Returns their events in the order in which a round has to read them.
fn write_segments(journal: &Journal) -> Vec<Event> {
    append(&journal.writer(), &["the journal's directory"]);
    fs::remove_file(journal.segments().remove(0)).unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    let mut events = Vec::new();
    for number in 0..SEGMENTS {
        let header = Header {
            boot_count: 1,
            created_boot_ns: 1_000 + number,
            created_wall_ms: 0,
        };
        let mut times: Vec<u64> = (0..RECORDS).map(|_| rng.u64(5_000..7_000)).collect();
        times.sort_unstable();
        let mut bytes = header.encode().to_vec();
        for (place, time) in times.into_iter().enumerate() {
            let event = (time, number, place as u64);
            bytes.extend(record(event, &header, bytes.len()));
            events.push(event);
        }
        fs::write(path(journal, number), bytes).unwrap();
    }
    events.sort_unstable();
    events
}

fn record(event: Event, header: &Header, offset: usize) -> Vec<u8> {
    let mut record = Vec::new();
    segment::begin_record(&mut record);
    segment::push_fragment(&mut record, |out| {
        out.extend_from_slice(format!("{event:?}").as_bytes());
        // Large enough for several reads of a segment.
        out.resize(2_000, b' ');
        Ok::<_, Error>(())
    })
    .unwrap();
    let position = Position {
        created_boot_ns: header.created_boot_ns,
        offset: offset as u64,
    };
    segment::finish_record(&mut record, 1, event.2 as u32, event.0, position);
    record
}

fn path(journal: &Journal, number: u64) -> PathBuf {
    let header = Header {
        boot_count: 1,
        created_boot_ns: 1_000 + number,
        created_wall_ms: 0,
    };
    let name = segment::file_name(&header, 1, 0);
    journal.spool.journal_dir().join(name)
}

fn text(event: &Event) -> String {
    format!("{event:?}")
}

fn read_rest(round: &mut Round) -> (Vec<String>, Vec<Damage>) {
    let (mut events, mut damage) = (Vec::new(), Vec::new());
    loop {
        let chunk = round
            .read_chunk(100_000, |fragment, _| {
                let text = String::from_utf8(fragment.to_vec()).unwrap();
                events.push(text.trim_end().to_owned());
            })
            .unwrap();
        damage.extend(chunk.damage);
        if !chunk.more {
            return (events, damage);
        }
    }
}

#[test]
fn more_segments_than_buffers_are_merged_in_the_order_of_enqueue() {
    let journal = Journal::new();
    let expected: Vec<String> = write_segments(&journal).iter().map(text).collect();
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    let (events, damage) = read_rest(&mut round);
    assert!(damage.is_empty());
    assert!(events == expected, "lost, repeated, or out of order");
    assert_eq!(round.finished_segments().count() as u64, SEGMENTS);
}

#[test]
fn what_happens_to_a_segment_between_two_reads_costs_none_of_the_other_segments_events() {
    let journal = Journal::new();
    let mut expected = write_segments(&journal);
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    // The first records of these two were found, and their buffers given up since.
    let (removed, damaged) = (3, 4);
    fs::remove_file(path(&journal, removed)).unwrap();
    let mut bytes = fs::read(path(&journal, damaged)).unwrap();
    bytes[segment::HEADER_LEN + 100] ^= 1;
    fs::write(path(&journal, damaged), bytes).unwrap();
    expected.retain(|(_, number, place)| *number != removed && (*number, *place) != (damaged, 0));

    let (events, damage) = read_rest(&mut round);

    let expected: Vec<String> = expected.iter().map(text).collect();
    assert!(events == expected, "lost, repeated, or out of order");
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].offset, segment::HEADER_LEN as u64);
}
