//! What the sender relies on, on a real database.

mod receipts;
mod soundness;

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::sqlite::{Reader, SqliteStore, recover};
use super::*;
use crate::error::ErrorKind;
use crate::spool::{Destination, NetworkFileSystem, Spool};

const REGULAR: Place = Place { lane: 0, queue: 0 };
const SUSPECTS: Place = Place { lane: 0, queue: 1 };

struct Opened {
    _dir: tempfile::TempDir,
    spool: Spool,
}

fn spool() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let destination = Destination {
        endpoint: "https://api.example/events",
        account: "",
    };
    let spool = Spool::open(
        &dir.path().join("spool"),
        destination,
        NetworkFileSystem::Refuse,
    )
    .unwrap();
    Opened { _dir: dir, spool }
}

fn run(fragments: &[&str]) -> Run {
    let mut run = Run::default();
    for fragment in fragments {
        run.push(fragment.as_bytes(), 7);
    }
    run
}

fn append(place: Place, run: &Run) -> Change<'_> {
    Change::Append {
        place,
        origin: None,
        run,
    }
}

fn rejected(user: &str, code: &str) -> Rejected {
    Rejected {
        user: user.to_owned(),
        event: b"{}".to_vec(),
        reason: RejectedReason::Refused,
        may_be_delivered: true,
        api_code: code.to_owned(),
        message: "no".to_owned(),
        http_status: Some(404),
        attempts: 3,
        first_ms: 1,
        last_ms: 2,
    }
}

fn receipt(time_ms: i64) -> Receipt {
    let fragment = br#"{"token":"t","partner_user_id":"u1","event":"video","event_value":null}"#;
    Receipt {
        time_ms,
        http_status: 204,
        attempts: 1,
        events: 1,
        shares: Shares::of([fragment.as_slice()].into_iter()),
    }
}

#[test]
fn a_commit_happens_as_a_whole_and_outlasts_the_connection() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let first = run(&["a", "bb"]);
    let state = LaneState {
        in_doubt: Some(InDoubt {
            queue: 0,
            events: 2,
            attempts: 1,
            first_ms: 3,
            last_ms: 4,
        }),
        queues: [
            QueueState {
                skip: 1,
                group: 2,
                doubtful: 1,
                belief: vec![0.25, 0.75],
            },
            QueueState::default(),
        ],
    };
    let totals = Totals {
        pending: 2,
        damaged_records: 9,
        ..Totals::default()
    };
    let changes = [
        append(REGULAR, &first),
        Change::Lane {
            lane: 0,
            state: &state,
        },
        Change::Totals(&totals),
        Change::Taken {
            segment: "s.log",
            upto: 64,
        },
    ];
    store.commit(&changes, CommitSafety::Process).unwrap();
    drop(store);

    let store = SqliteStore::open(&opened.spool).unwrap();
    let runs = store.runs(REGULAR, 0, 10).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].run, first);
    assert_eq!(runs[0].run.body, b"a,bb");
    assert_eq!(store.lane(0).unwrap(), state);
    assert_eq!(store.lane(1).unwrap(), LaneState::default());
    assert_eq!(store.totals().unwrap(), totals);
    assert_eq!(store.offsets().unwrap()["s.log"], 64);
}

#[test]
fn joint_commits_happen_together_or_not_at_all() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let (first, second) = (run(&["a"]), run(&["b"]));
    let seen_by_others = || {
        let reader = Reader::open(&opened.spool).unwrap().unwrap();
        reader.runs(REGULAR, 0, 10).unwrap().len()
    };
    let commit = |store: &mut SqliteStore, changes: &[Change<'_>]| {
        store.commit(changes, CommitSafety::Process)
    };
    store.begin_joint_commit();
    store.end_joint_commit().unwrap();
    store.begin_joint_commit();
    commit(&mut store, &[append(REGULAR, &first)]).unwrap();
    commit(&mut store, &[append(REGULAR, &second)]).unwrap();
    assert_eq!(seen_by_others(), 0);
    assert_eq!(store.runs(REGULAR, 0, 10).unwrap().len(), 2);
    store.end_joint_commit().unwrap();
    assert_eq!(seen_by_others(), 2);

    store.begin_joint_commit();
    let id = store.runs(REGULAR, 0, 1).unwrap()[0].id;
    commit(&mut store, &[Change::Remove { id }]).unwrap();
    let another = SqliteStore::open(&opened.spool);
    assert_eq!(another.unwrap_err().kind(), ErrorKind::Timeout);
    drop(store);
    assert_eq!(
        seen_by_others(),
        2,
        "a death between the commits undoes both"
    );
}

#[test]
fn a_sender_that_was_succeeded_changes_nothing_any_more() {
    let opened = spool();
    let mut old = SqliteStore::open(&opened.spool).unwrap();
    let mut new = SqliteStore::open(&opened.spool).unwrap();
    let event = run(&["a"]);

    let error = old
        .commit(&[append(REGULAR, &event)], CommitSafety::Process)
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Store);
    new.commit(&[append(REGULAR, &event)], CommitSafety::Power)
        .unwrap();
    assert_eq!(new.runs(REGULAR, 0, 10).unwrap().len(), 1);
}

#[test]
fn moved_events_keep_the_origin_that_a_flush_waits_for() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let events = run(&["a"]);
    for _ in 0..3 {
        store
            .commit(&[append(REGULAR, &events)], CommitSafety::Process)
            .unwrap();
    }
    let moved = Change::Append {
        place: SUSPECTS,
        origin: Some(1),
        run: &events,
    };
    store
        .commit(&[moved, Change::Remove { id: 1 }], CommitSafety::Process)
        .unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(1));
    assert_eq!(store.last_run().unwrap(), 4);
    store
        .commit(&[Change::Remove { id: 4 }], CommitSafety::Process)
        .unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(2));
    // A row number is never given twice, or a flush could wait for the wrong one.
    store
        .commit(&[append(REGULAR, &events)], CommitSafety::Process)
        .unwrap();
    assert_eq!(store.last_run().unwrap(), 5);
}

#[test]
fn rejected_events_are_read_by_page_user_and_code_while_the_sender_works() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let rows = [
        rejected("u1", "A"),
        rejected("u2", "B"),
        rejected("u1", "B"),
    ];
    let changes: Vec<_> = rows.iter().map(Change::Reject).collect();
    store.commit(&changes, CommitSafety::Process).unwrap();

    let reader = Reader::open(&opened.spool).unwrap().unwrap();
    let ids = |filter: RejectedFilter, after: i64, limit: usize| -> Vec<i64> {
        let filter = RejectedFilter {
            after_id: after,
            ..filter
        };
        let page = reader.rejected(&filter, limit).unwrap();
        page.into_iter().map(|(id, _)| id).collect()
    };
    let everybody = RejectedFilter::default;
    assert_eq!(ids(everybody(), 0, 2), [1, 2]);
    assert_eq!(ids(everybody(), 2, 2), [3]);
    let u1 = RejectedFilter {
        user: Some("u1".to_owned()),
        ..everybody()
    };
    assert_eq!(ids(u1.clone(), 0, 9), [1, 3]);
    let u1_b = RejectedFilter {
        api_code: Some("B".to_owned()),
        ..u1
    };
    assert_eq!(ids(u1_b, 0, 9), [3]);
    assert_eq!(
        store.rejected(&[3, 99, 1]).unwrap(),
        [(3, rows[2].clone()), (1, rows[0].clone())]
    );
}

#[test]
fn users_refused_in_a_row_outlast_the_sender_until_something_is_accepted() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let refused = |user| Change::RefusedInARow { user };
    let changes = [refused("a"), refused("b"), refused("a")];
    store.commit(&changes, CommitSafety::Process).unwrap();
    drop(store);
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    assert_eq!(store.refused_in_a_row().unwrap(), ["a", "b"]);
    store
        .commit(&[Change::AcceptedSince], CommitSafety::Process)
        .unwrap();
    assert!(store.refused_in_a_row().unwrap().is_empty());
}

#[test]
fn nobody_else_can_read_the_store() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let event = run(&["a"]);
    store
        .commit(&[append(REGULAR, &event)], CommitSafety::Process)
        .unwrap();
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        let mode = fs::metadata(opened.spool.dir().join(file)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_commit_for_a_power_cut_writes_the_log_also_when_nothing_has_changed() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let event = run(&["a"]);
    store
        .commit(&[append(REGULAR, &event)], CommitSafety::Process)
        .unwrap();
    let log = opened.spool.dir().join("store.db-wal");
    let before = fs::metadata(&log).unwrap().len();
    // SQLite syncs what it writes, and writes nothing for a transaction without a change: then a
    // segment could be removed before what was read from it is on the disk.
    store.commit(&[], CommitSafety::Power).unwrap();
    assert!(fs::metadata(&log).unwrap().len() > before);
}

#[test]
fn the_log_is_moved_into_the_store_before_it_grows_large() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let large = run(&[&"x".repeat(1024 * 1024)]);
    for _ in 0..60 {
        store
            .commit(&[append(REGULAR, &large)], CommitSafety::Process)
            .unwrap();
        let log = fs::metadata(opened.spool.dir().join("store.db-wal")).unwrap();
        assert!(log.len() < 26 * 1024 * 1024, "{}", log.len());
    }
}
