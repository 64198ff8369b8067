//! A failed sync, a cut record and a sealed segment: what was acknowledged stays, nothing that comes after is
//! skipped, and the segment is never trusted again.
//!
//! The kernel's answers are changed on the way back to a real process: a sync that fails, a write that
//! ends in the middle of a record, and then a cut that fails too.

// What the tracer knows of a processor's registers.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::path::PathBuf;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{CrashTrial, check_trials, sandbox_with_unknown_users};
use meditopia_testkit::fault_table::add_row;
use meditopia_testkit::ledger::Event;
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent as Seen, Tracer};

const IO: i32 = -7;
const SPOOL_FULL: i32 = -6;
/// Of a record: more than its header, less than all.
const TORN: u64 = 40;
const USER: &str = "u-1";

/// What a process was told, and what it did with its segments.
#[derive(Debug, Default)]
struct Account {
    acknowledged: Vec<u64>,
    failed: BTreeMap<u64, i32>,
    /// The calls on each segment by its path, in order.
    segments: Vec<(PathBuf, Vec<String>)>,
}

/// Which of the calls on segments in the section fail, and how.
type Fault = fn(&mut Faults, &SystemCall) -> Option<Answer>;

enum Answer {
    Errno(i32),
    /// Only so many bytes of a write.
    Short(u64),
}

/// How many calls of each kind were hit.
#[derive(Default)]
struct Faults {
    writes: u32,
    syncs: u32,
    cuts: u32,
}

#[test]
fn a_failed_sync_is_told_and_its_segment_is_never_used_again() {
    let account = enqueue_under("power", "a segment's sync fails", |faults, call| {
        (call.number == libc::SYS_fdatasync && counted(&mut faults.syncs) == 1)
            .then_some(Answer::Errno(libc::EIO))
    });
    assert_eq!(account.failed, BTreeMap::from([(3, IO)]));
    let [(_, first), (_, second)] = &account.segments[..] else {
        panic!("two segments: {account:#?}");
    };
    assert_untouched_after(first, "fdatasync");
    // The second is synced as often as it is appended to, its header with the first record.
    assert_eq!(count(second, "fdatasync"), 2, "{second:?}");
}

#[test]
fn a_record_that_the_disk_has_no_room_for_is_cut_off_and_the_next_ones_follow() {
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
fn a_segment_whose_torn_record_cannot_be_cut_off_is_sealed_and_a_new_one_follows() {
    for durability in ["process", "power"] {
        let account = enqueue_under(
            durability,
            "a record is torn and the cut fails",
            |faults, call| {
                if call.number == libc::SYS_ftruncate && counted(&mut faults.cuts) == 1 {
                    return Some(Answer::Errno(libc::EIO));
                }
                torn_write(faults, call)
            },
        );
        assert_eq!(account.failed, BTreeMap::from([(3, SPOOL_FULL)]));
        let [(_, first), (_, second)] = &account.segments[..] else {
            panic!("two segments: {account:#?}");
        };
        assert_untouched_after(first, "ftruncate");
        assert!(count(second, "write") >= 2, "{second:?}");
    }
}

/// The first write of the section ends in the middle, and its rest finds no room.
fn torn_write(faults: &mut Faults, call: &SystemCall) -> Option<Answer> {
    if call.number != libc::SYS_write {
        return None;
    }
    match counted(&mut faults.writes) {
        1 => Some(Answer::Short(TORN)),
        2 => Some(Answer::Errno(libc::ENOSPC)),
        _ => None,
    }
}

/// Enqueues three events, then one under the fault, then two more; a successor delivers all.
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
    let mut faults = Faults::default();
    let mut begun = false;
    let mut promised = None;
    while let Some(event) = tracer.next_event() {
        match event {
            Seen::Ended(_, status) => {
                assert!(status.success(), "{status}");
                break;
            }
            Seen::Entry(call) => {
                match call.mark() {
                    Some(Mark::Begin) => begun = true,
                    Some(Mark::Acknowledged { from, .. }) => account.acknowledged.push(from),
                    Some(Mark::Failed { number, status }) => {
                        account.failed.insert(number, status);
                    }
                    _ => {}
                }
                if begun && call.is_of_segment() {
                    promised = fault(&mut faults, &call);
                    match promised {
                        Some(Answer::Errno(_)) => tracer.skip(&call),
                        Some(Answer::Short(bytes)) => tracer.shorten_write(&call, bytes),
                        None => {}
                    }
                    account.note(&call);
                }
                tracer.resume(&call);
            }
            Seen::Exit(call, _) => {
                if let Some(Answer::Errno(errno)) = promised.take() {
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
        let seen = call.name();
        match self.segments.iter_mut().find(|(known, _)| *known == path) {
            Some((_, calls)) => calls.push(seen),
            None => self.segments.push((path, vec![seen])),
        }
    }
}

fn counted(count: &mut u32) -> u32 {
    *count += 1;
    *count
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|known| known.starts_with(name)).count()
}

/// Nothing is written to a segment, synced or cut behind the first call of this name: only let go.
fn assert_untouched_after(calls: &[String], name: &str) {
    let failed = calls
        .iter()
        .position(|call| call.starts_with(name))
        .unwrap();
    let touches = ["write", "pwrite", "ftruncate", "fdatasync", "fsync"];
    let touched = |call: &String| touches.iter().any(|name| call.starts_with(name));
    assert!(!calls[failed + 1..].iter().any(touched), "{calls:?}");
}
