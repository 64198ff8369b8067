//! More segments than a round has buffers: the order stays, and so does every event.

use super::*;

/// More than a round has buffers.
const SEGMENTS: u64 = 1_100;
const RECORDS: u64 = 4;

/// An event: its time, its segment, and its place there.
type Event = (u64, u64, u64);

/// Writes segments of which many records have the same time. Returns their paths, and the events in
/// the order in which a round has to read them.
fn write_segments(journal: &Journal) -> (Vec<PathBuf>, Vec<Event>) {
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut paths, mut events) = (Vec::new(), Vec::new());
    for number in 0..SEGMENTS {
        let header = Header {
            boot_count: 1,
            created_boot_ns: 1_000 + number,
            created_wall_ms: 0,
        };
        let mut times: Vec<u64> = (0..RECORDS).map(|_| rng.u64(5_000..7_000)).collect();
        times.sort_unstable();
        let of_segment = times.iter().zip(0..);
        let of_segment: Vec<Event> = of_segment.map(|(&time, at)| (time, number, at)).collect();
        // Large enough for several reads of a segment.
        let records = of_segment
            .iter()
            .map(|event| (event.0, format!("{:<2000}", text(event))));
        let records: Vec<_> = records.collect();
        paths.push(journal.write_segment(&header, &records));
        events.extend(of_segment);
    }
    events.sort_unstable();
    (paths, events)
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
    let expected: Vec<String> = write_segments(&journal).1.iter().map(text).collect();
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    let (events, damage) = read_rest(&mut round);
    assert!(damage.is_empty());
    assert!(events == expected, "lost, repeated, or out of order");
    assert_eq!(round.finished_segments().count() as u64, SEGMENTS);
}

#[test]
fn what_happens_to_a_segment_between_two_reads_costs_none_of_the_other_segments_events() {
    let journal = Journal::new();
    let (paths, mut expected) = write_segments(&journal);
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    // The first records of these two were found, and their buffers given up since.
    let (removed, damaged) = (3, 4);
    fs::remove_file(&paths[removed]).unwrap();
    let mut bytes = fs::read(&paths[damaged]).unwrap();
    bytes[segment::HEADER_LEN + 100] ^= 1;
    fs::write(&paths[damaged], bytes).unwrap();
    expected.retain(|&(_, number, place)| {
        number != removed as u64 && (number, place) != (damaged as u64, 0)
    });

    let (events, damage) = read_rest(&mut round);

    let expected: Vec<String> = expected.iter().map(text).collect();
    assert!(events == expected, "lost, repeated, or out of order");
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].offset, segment::HEADER_LEN as u64);
}
