//! A sync that fails, a record that is torn, and a torn record that cannot be cut off: acknowledged
//! events stay, later events are delivered, and a sealed segment is never used again.
//!
//! A tracer changes what system calls return to a real process: a sync fails, a write ends in the
//! middle of a record, and a truncate fails.

// The tracer reads registers by their names on this processor.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::path::PathBuf;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{CrashTrial, check_trials, sandbox_with_unknown_users};
use meditopia_testkit::fault_table::add_row;
use meditopia_testkit::ledger::Event;
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent, Tracer};

const IO: i32 = -7;
const SPOOL_FULL: i32 = -6;
/// How many bytes of a torn record are written: more than its header, and less than all.
const TORN_BYTES: u64 = 40;
const USER: &str = "u-1";

/// The outcomes of a process's enqueues, and its calls on segments.
#[derive(Debug, Default)]
struct Account {
    acknowledged: Vec<u64>,
    failed: BTreeMap<u64, i32>,
    /// The calls on each segment, in order.
    segments: Vec<(PathBuf, Vec<String>)>,
}

/// Decides which calls on segments fail, and how.
type Fault = fn(&mut CallCounts, &SystemCall) -> Option<Failure>;

enum Failure {
    Errno(i32),
    /// Only this many bytes of a write are written.
    Short(u64),
}

/// How many calls of each kind were made.
#[derive(Default)]
struct CallCounts {
    writes: u32,
    syncs: u32,
    cuts: u32,
}

#[test]
fn a_failed_sync_is_reported_and_its_segment_is_never_used_again() {
    let account = enqueue_under("power", "a segment's sync fails", |calls, call| {
        (call.number == libc::SYS_fdatasync && count_one(&mut calls.syncs) == 1)
            .then_some(Failure::Errno(libc::EIO))
    });
    assert_eq!(account.failed, BTreeMap::from([(3, IO)]));
    let [(_, first), (_, second)] = &account.segments[..] else {
        panic!("two segments: {account:#?}");
    };
    assert_untouched_after(first, "fdatasync");
    // One sync for each of two records; the first one covers the segment's header, too.
    assert_eq!(count(second, "fdatasync"), 2, "{second:?}");
}

#[test]
fn a_record_that_a_full_disk_tears_is_cut_off_and_the_next_records_follow() {
    for durability in ["process", "power"] {
        let account = enqueue_under(
            durability,
            "a record is torn by a full disk and cut off",
            torn_write,
        );
        assert_eq!(account.failed, BTreeMap::from([(3, SPOOL_FULL)]));
        let [(_, only)] = &account.segments[..] else {
            panic!("one segment: {account:#?}");
        };
        assert_eq!(count(only, "ftruncate"), 1, "{only:?}");
    }
}

#[test]
fn a_segment_whose_torn_record_cannot_be_cut_off_is_sealed_and_a_new_segment_follows() {
    for durability in ["process", "power"] {
        let account = enqueue_under(
            durability,
            "a record is torn and the cut fails",
            |calls, call| {
                if call.number == libc::SYS_ftruncate && count_one(&mut calls.cuts) == 1 {
                    return Some(Failure::Errno(libc::EIO));
                }
                torn_write(calls, call)
            },
        );
        assert_eq!(account.failed, BTreeMap::from([(3, SPOOL_FULL)]));
        let [(_, first), (_, second)] = &account.segments[..] else {
            panic!("two segments: {account:#?}");
        };
        assert_untouched_after(first, "ftruncate");
        assert!(count(second, "pwrite") >= 2, "{second:?}");
    }
}

/// The first write of the section ends in the middle of a record, and the next one finds the disk
/// full.
fn torn_write(calls: &mut CallCounts, call: &SystemCall) -> Option<Failure> {
    if call.number != libc::SYS_pwrite64 {
        return None;
    }
    match count_one(&mut calls.writes) {
        1 => Some(Failure::Short(TORN_BYTES)),
        2 => Some(Failure::Errno(libc::ENOSPC)),
        _ => None,
    }
}

/// Enqueues three events, one while calls fail, and two more. A successor must deliver what was
/// acknowledged.
fn enqueue_under(durability: &str, what: &str, fault: Fault) -> Account {
    let api = sandbox_with_unknown_users();
    let program = CProgram::compile("steps.c")
        .with_config(&api, &[("role", "enqueue"), ("durability", durability)]);
    let account = run(&program, fault);
    assert_eq!(account.acknowledged, [0, 1, 2, 4, 5]);

    let acknowledged: Vec<Event> = account
        .acknowledged
        .iter()
        .map(|n| (USER.to_owned(), *n))
        .collect();
    let trial = CrashTrial::deliver_rest(
        &api,
        &program.spool(),
        &[],
        what.to_owned(),
        [USER.to_owned()],
        acknowledged,
    );
    add_row(
        &format!("{what}, {durability}"),
        check_trials(&api, &[trial], 0),
        0,
    );
    account
}

fn run(program: &CProgram, fault: Fault) -> Account {
    let steps = ["open", "enqueue:u-1:0:3", "begin", "enqueue:u-1:3:3", "end"];
    let mut tracer = Tracer::default();
    tracer.start(program.command(&steps));
    let mut account = Account::default();
    let mut counts = CallCounts::default();
    let mut begun = false;
    let mut failure = None;
    while let Some(event) = tracer.next_event() {
        match event {
            TraceEvent::Ended(_, status) => {
                assert!(status.success(), "{status}");
                break;
            }
            TraceEvent::Entry(call) => {
                match call.mark() {
                    Some(Mark::Begin) => begun = true,
                    Some(Mark::Acknowledged { from, .. }) => account.acknowledged.push(from),
                    Some(Mark::Failed { number, status }) => {
                        account.failed.insert(number, status);
                    }
                    _ => {}
                }
                if begun && call.is_of_segment() {
                    failure = fault(&mut counts, &call);
                    match failure {
                        Some(Failure::Errno(_)) => tracer.skip(&call),
                        Some(Failure::Short(bytes)) => tracer.shorten_write(&call, bytes),
                        None => {}
                    }
                    account.note(&call);
                }
                tracer.resume(&call);
            }
            TraceEvent::Exit(call, _) => {
                if let Some(Failure::Errno(errno)) = failure.take() {
                    tracer.set_result(&call, -i64::from(errno));
                }
                tracer.resume(&call);
            }
        }
    }
    account
}

impl Account {
    fn note(&mut self, call: &SystemCall) {
        let path = call.path();
        let name = call.name();
        match self.segments.iter_mut().find(|(known, _)| *known == path) {
            Some((_, calls)) => calls.push(name),
            None => self.segments.push((path, vec![name])),
        }
    }
}

fn count_one(count: &mut u32) -> u32 {
    *count += 1;
    *count
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|known| known.starts_with(name)).count()
}

/// Checks that after the first call of this name, the segment is not written, synced or cut any
/// more.
fn assert_untouched_after(calls: &[String], name: &str) {
    let failed = calls
        .iter()
        .position(|call| call.starts_with(name))
        .unwrap();
    let touches = ["write", "pwrite", "ftruncate", "fdatasync", "fsync"];
    let touched = |call: &String| touches.iter().any(|name| call.starts_with(name));
    assert!(!calls[failed + 1..].iter().any(touched), "{calls:?}");
}
