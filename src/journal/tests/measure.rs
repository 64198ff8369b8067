//! Time and peak memory of a round, printed for a commit message. Not run by itself: it takes long,
//! and its figures are only good on a quiet machine.

use std::time::Instant;

use super::*;

/// A figure of this process in kB, as the kernel counts it.
fn status_kb(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().trim_matches(|c: char| !c.is_ascii_digit());
    number.parse().unwrap()
}

/// The bytes of `segments` segments, of which each in turn gets an event of 180 bytes.
fn fill(journal: &Journal, segments: usize, events: usize, in_a_row: usize) {
    let event = "x".repeat(148);
    if segments * in_a_row == events {
        for _ in 0..segments {
            let writer = journal.writer();
            (0..in_a_row).for_each(|_| append(&writer, &[&event]));
        }
        return;
    }
    let writers: Vec<_> = (0..segments).map(|_| journal.writer()).collect();
    for number in 0..events / in_a_row {
        for _ in 0..in_a_row {
            append(&writers[number % segments], &[&event]);
        }
    }
}

fn measure(segments: usize, events: usize, in_a_row: usize) {
    let journal = Journal::new();
    fill(&journal, segments, events, in_a_row);
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let rss = status_kb("VmRSS:");
    let begun = Instant::now();
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    let began = begun.elapsed();
    let mut read = 0;
    while round
        .read_chunk(1024 * 1024, |_, _| read += 1)
        .unwrap()
        .more
    {}
    let took = begun.elapsed();
    let peak = status_kb("VmHWM:") - rss;
    println!(
        "{segments} segments, {events} events, {in_a_row} in a row: {peak} kB more, {began:?} to begin, {took:?} in all"
    );
    assert_eq!(read, events);
}

#[test]
#[ignore = "prints time and memory of rounds"]
fn the_time_and_memory_of_a_round() {
    let figures = std::env::var("MEASURE").unwrap();
    let numbers: Vec<usize> = figures.split(' ').map(|n| n.parse().unwrap()).collect();
    measure(numbers[0], numbers[1], numbers[2]);
}
