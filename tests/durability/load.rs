//! Very many short-lived processes, and a long outage: they leave no files behind, later processes
//! open the spool as fast as before, and the process that sends the backlog needs no more memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::child::run_in_child;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::{Arrivals, first_disorder};
use meditopia_testkit::process::open_descriptors;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};

/// The most that a file of the spool may grow by when the same work is done again.
const GROWTH_BYTES: u64 = 64 * 1024;
/// The most that ten times the backlog may add to the peak: 4 MiB for read buffers of more
/// segments, and as much again. Without limits, a million events would add hundreds of MiB.
const MARGIN_KB: u64 = 8 * 1024;
/// The most memory that the process may have, code included.
const PEAK_KB: u64 = 40 * 1024;

#[test]
fn thousands_of_short_lived_processes_leave_no_files_behind() {
    let processes = trial_count(1_000, 10_000);
    let api = Sandbox::start();
    let program = CProgram::compile("many_processes.c").with_config(&api, &[]);
    let mut listings = Vec::new();
    for first in [0, processes] {
        run_processes(&program, first, processes);
        assert_eq!(program.segments().len() as u64, processes);
        let begun = Instant::now();
        let peak = program.run(&["drain"]);
        println!(
            "{processes} segments drained and removed in {:?}, with at most {} kB",
            begun.elapsed(),
            peak.trim_end()
        );
        assert_eq!(program.segments().len(), 0);
        listings.push(listing(&program.spool()));
    }

    let (first, second) = (&listings[0], &listings[1]);
    assert!(
        second.keys().eq(first.keys()),
        "{first:?} became {second:?}"
    );
    for (name, size) in second {
        assert!(
            *size <= first[name] + GROWTH_BYTES,
            "{first:?} became {second:?}"
        );
    }
    let delivered = assert_all_arrived(&api, 2 * processes);
    add_row(
        "one event in each of many processes",
        Outcome {
            trials: 2 * processes,
            acknowledged: 2 * processes,
            delivered,
            ..Outcome::default()
        },
        0,
    );
}

#[test]
fn a_process_opens_a_spool_as_fast_with_thousands_of_segments_waiting() {
    const OPENINGS: u64 = 40;
    let processes = trial_count(1_000, 10_000);
    let api = Sandbox::start();
    let program = CProgram::compile("many_processes.c").with_config(&api, &[]);
    let median_of_openings = |first: u64| {
        let mut times: Vec<Duration> = (first..first + OPENINGS)
            .map(|number| program.run(&["open", &number.to_string()]))
            .map(|nanoseconds| Duration::from_nanos(nanoseconds.trim_end().parse().unwrap()))
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    median_of_openings(0);

    let few = median_of_openings(OPENINGS);
    run_processes(&program, 0, processes);
    let many = median_of_openings(2 * OPENINGS);

    println!(
        "open and first enqueue: {few:?} with {} segments waiting, {many:?} with {}",
        2 * OPENINGS,
        processes + 2 * OPENINGS
    );
    assert!(many < 3 * few + Duration::from_millis(1));
}

#[test]
fn a_backlog_is_drained_with_flat_memory() {
    let events = trial_count(100_000, 1_000_000);
    let small = peak_of_draining(events / 10);
    let large = peak_of_draining(events);
    println!(
        "VmHWM {small} kB for {} events, {large} kB for {events}",
        events / 10
    );
    assert!(large < small + MARGIN_KB);
    assert!(large < PEAK_KB);
}

#[test]
fn a_process_that_goes_through_many_spools_keeps_few_of_them_open() {
    run_in_child(|| {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..1_100 {
            let path = dir.path().join(number.to_string());
            let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events")
                .with("role", "enqueue")
                .with("spool", path.to_str().unwrap());
            spool.client().enqueue_for("user", number);
        }
        let open = open_descriptors(std::process::id())
            .iter()
            .filter_map(|descriptor| fs::read_link(descriptor).ok())
            .filter(|file| file.starts_with(dir.path()))
            .count();
        assert!((1..=16).contains(&open), "{open}");
    });
}

/// The most memory that a process has while it drains `events` events, in kB.
fn peak_of_draining(events: u64) -> u64 {
    let api = Sandbox::start();
    let program = CProgram::compile("many_processes.c").with_config(&api, &[]);
    program.run(&["many", &events.to_string()]);
    let begun = Instant::now();
    let peak = program.run(&["drain"]).trim_end().parse().unwrap();
    println!("{events} events drained in {:?}", begun.elapsed());
    assert_all_arrived(&api, events);
    assert_eq!(program.segments().len(), 0);
    peak
}

/// Runs `count` processes, which enqueue one event each.
fn run_processes(program: &CProgram, first: u64, count: u64) {
    program.run(&["each", &first.to_string(), &count.to_string()]);
}

/// Checks that all events arrived once, each user's in order, and returns how many they are.
fn assert_all_arrived(api: &Sandbox, events: u64) -> u64 {
    let arrivals = Arrivals::from_sandbox(api);
    assert_eq!(arrivals.duplicates(), 0);
    let delivered = arrivals.first_appearances();
    for (user, numbers) in &delivered {
        assert_eq!(first_disorder(numbers), None, "{user}");
    }
    let count = delivered.values().map(|n| n.len() as u64).sum();
    assert_eq!(count, events);
    count
}

/// The names in the spool with the sizes of files. Directories count as 0, because they do not
/// shrink.
fn listing(spool: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(spool).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let about = entry.metadata().unwrap();
            (name, if about.is_file() { about.len() } else { 0 })
        })
        .collect()
}
