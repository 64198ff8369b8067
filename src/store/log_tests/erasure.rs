//! Files that are copied without what has left them, and finished ledgers without a user.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::event::mark_of_user;
use crate::store::disk::{Disk, Folder};
use crate::store::erasure::{erase_receipts, has_mark, ledger_names, ledgers_naming};
use crate::store::spool_disk::SpoolDisk;
use crate::store::{Reader, ReceiptFilter, Suspect, pending_event_id};

fn fragment(user: &str, number: usize) -> Vec<u8> {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
    .into_bytes()
}

/// Events of ten users in turn.
fn mixed(first: usize, events: usize) -> Run {
    let mut run = Run::default();
    for number in first..first + events {
        run.push(
            &fragment(&format!("u{}", number % 10), number),
            number as i64,
        );
    }
    run
}

fn rejected_of(user: &str, number: usize) -> Rejected {
    Rejected {
        user: user.to_owned(),
        event: fragment(user, number),
        ..rejected(number)
    }
}

fn receipt(run: &Run) -> Receipt {
    Receipt {
        time_ms: crate::clock::wall_ms(),
        http_status: 204,
        attempts: 1,
        events: run.slots.len() as u32,
        shares: Shares::of(run.events().map(|(fragment, _)| fragment)),
    }
}

/// The files below `dir` in which `bytes` stand.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if std::fs::read(&path)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Events by the numbers that lists call them by, and rejected events by their ids.
type Lists = (Vec<(i64, Vec<u8>)>, Vec<(i64, Rejected)>);

fn lists(store: &mut LogStore) -> Lists {
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        let runs = store.runs(PLACE, after, 32).unwrap();
        let Some(last) = runs.last() else { break };
        after = last.id;
        for run in &runs {
            events.extend(run.waiting().map(|(place, fragment, _)| {
                (pending_event_id(run.id, place, fragment), fragment.to_vec())
            }));
        }
    }
    let rejected = store.rejected_matching(&RejectedFilter::default(), usize::MAX);
    (events, rejected.unwrap())
}

/// Everything of `u3` has left the store, whose files still have its bytes.
fn without_u3(spool: &Spool) -> LogStore {
    let mut store = LogStore::open(spool).unwrap();
    let runs: Vec<Run> = (0..6).map(|run| mixed(run * 100, 100)).collect();
    let appends = runs.iter().map(|run| Change::Append {
        place: PLACE,
        origin: None,
        run,
    });
    let (of_u3, of_u4) = (rejected_of("u3", 9_003), rejected_of("u4", 9_004));
    let suspect = Suspect {
        user: b"u3".to_vec(),
        lane: 0,
        waiting: 0,
        accepted: false,
    };
    let mut changes: Vec<Change<'_>> = appends.collect();
    changes.extend([
        Change::Reject(&of_u3),
        Change::Reject(&of_u4),
        Change::Suspect(&suspect),
        Change::RefusedInARow { user: "u3" },
    ]);
    store.commit(&changes).unwrap();
    let receipt = receipt(&runs[0]);
    let read = store.runs(PLACE, 0, 32).unwrap();
    let upto = read[0].id;
    let mut changes = vec![
        Change::Receipt(&receipt),
        Change::Settle { place: PLACE, upto },
        Change::Forget {
            rejected: 1,
            event: &of_u3,
        },
        Change::Cleared { user: b"u3" },
        Change::AcceptedSince,
    ];
    let (mut events, mut bytes) = (100, runs[0].body.len() as u64 - 99);
    for run in &read[1..] {
        let of_u3 = run
            .run
            .events()
            .enumerate()
            .filter(|(place, _)| place % 10 == 3);
        let mut marks = 0;
        for (place, (fragment, _)) in of_u3 {
            marks |= 1 << place;
            events += 1;
            bytes += fragment.len() as u64;
        }
        changes.push(Change::Mark {
            place: PLACE,
            run: run.id,
            marks,
        });
    }
    changes.push(Change::Leave {
        place: PLACE,
        events,
        bytes,
    });
    store.commit(&changes).unwrap();
    store
}

fn rewrite_all(store: &mut LogStore) {
    let named = store.named_files();
    store.rewrite(named);
    assert!(store.wants_next_ledger());
    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    assert!(!store.wants_next_ledger());
}

#[test]
fn files_are_copied_without_what_has_left_them_and_all_else_is_read_as_before() {
    let (parent, spool) = spool();
    let mut store = without_u3(&spool);
    let mut reader = Reader::open(&spool).unwrap().unwrap();
    let mark = mark_of_user(b"u3");
    assert_eq!(
        files_with(parent.path(), &mark).len(),
        2,
        "a queue and a file of rejected events"
    );
    let (before, totals) = (lists(&mut store), store.totals());
    rewrite_all(&mut store);
    assert_eq!(files_with(parent.path(), &mark), [""; 0]);
    assert_eq!(lists(&mut store), before);
    assert_eq!(store.totals(), totals);
    // Of whoever reads the files that were there before.
    assert_eq!(reader.first_runs_with(PLACE, usize::MAX).unwrap().len(), 5);
    let rejected = reader.rejected(&RejectedFilter::default(), usize::MAX);
    assert_eq!(rejected.unwrap(), before.1);
    drop(store);
    let mut store = LogStore::open(&spool).unwrap();
    assert_eq!(lists(&mut store), before);
    assert_eq!(store.totals(), totals);
    // What comes next stands behind it.
    let (more, of_u4) = (mixed(600, 100), rejected_of("u4", 9_005));
    let append = Change::Append {
        place: PLACE,
        origin: None,
        run: &more,
    };
    store.commit(&[append, Change::Reject(&of_u4)]).unwrap();
    let after = lists(&mut store);
    assert_eq!(after.0[..before.0.len()], before.0);
    assert_eq!(after.0.len(), before.0.len() + 100);
    assert_eq!(after.1.len(), before.1.len() + 1);
}

#[test]
fn what_has_left_a_copied_run_does_not_wait_in_it_whatever_becomes_of_the_ledger() {
    let (_parent, spool) = spool();
    let mut store = without_u3(&spool);
    rewrite_all(&mut store);
    let (name, queue) = {
        let file = store.fold.queue(PLACE).files[0];
        (
            file.number,
            file.end.max(store.fold.queue(PLACE).position.tail),
        )
    };
    let mut reader =
        crate::store::queue_file::QueueReader::open(&*store.disk(), PLACE, name, queue).unwrap();
    let (run, _) = reader
        .run_at(crate::store::frame::HEADER_LEN as u64)
        .unwrap()
        .unwrap();
    assert_eq!(run.waiting_count(), 90);
    assert!(run.waiting().all(|(_, fragment, _)| !fragment.is_empty()));
}

#[test]
fn a_finished_ledger_keeps_the_receipts_of_all_but_an_erased_user() {
    let (parent, spool) = spool();
    let mut store = without_u3(&spool);
    let alone = receipt(&{
        let mut run = Run::default();
        run.push(&fragment("u3", 1), 1);
        run
    });
    store.commit(&[Change::Receipt(&alone)]).unwrap();
    rewrite_all(&mut store);
    assert_eq!(ledgers_naming(&spool, b"u3").unwrap().len(), 1);
    let disk = SpoolDisk::new(&spool);
    assert!(!ledger_names(&disk, b"u3").unwrap());
    // A copy that a sender left which was killed.
    drop(disk.open(
        Folder::Receipts,
        "copy.new",
        crate::store::disk::Access::Create,
    ));
    assert_eq!(erase_receipts(&disk, b"u3", || Ok(())).unwrap(), 2);
    assert_eq!(erase_receipts(&disk, b"u3", || Ok(())).unwrap(), 0);
    assert!(ledgers_naming(&spool, b"u3").unwrap().is_empty());
    assert_eq!(
        files_with(&parent.path().join("spool/receipts"), b"u3"),
        [""; 0]
    );
    let reader = Reader::open(&spool).unwrap().unwrap();
    let receipts = reader.receipts(&ReceiptFilter::default(), 10).unwrap();
    assert_eq!(receipts.len(), 1, "that of the erased user alone is gone");
    assert_eq!(receipts[0].1.events, 90);
    let users: BTreeSet<&[u8]> = receipts[0]
        .1
        .shares
        .iter()
        .map(|share| share.user)
        .collect();
    assert_eq!(users.len(), 9);
    drop(store);
    LogStore::open(&spool).unwrap();
}

#[test]
fn a_mark_is_found_wherever_a_window_ends() {
    let mark = mark_of_user(b"somebody");
    for at in (0..600_000_usize)
        .step_by(50_021)
        .chain([262_144 - 20, 262_144])
    {
        let mut bytes = vec![b'_'; 600_000];
        bytes.extend_from_slice(&mark);
        bytes.rotate_left(at);
        let read = |buffer: &mut [u8], offset: u64| {
            let left = &bytes[(offset as usize).min(bytes.len())..];
            let got = left.len().min(buffer.len());
            buffer[..got].copy_from_slice(&left[..got]);
            Ok(got)
        };
        let is_whole = at <= 600_000;
        assert_eq!(
            has_mark(read, (0, u64::MAX), &mark).unwrap(),
            is_whole,
            "{at}"
        );
        let start = 600_000 - at as u64;
        assert!(!has_mark(read, (start + 1, u64::MAX), &mark).unwrap());
        let end = start + mark.len() as u64;
        assert!(has_mark(read, (0, end), &mark).unwrap());
        assert!(!has_mark(read, (0, end - 1), &mark).unwrap());
    }
}
