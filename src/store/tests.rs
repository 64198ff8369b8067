//! What the sender relies on, on a real database.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::sqlite::{Reader, SqliteStore};
use super::*;
use crate::error::ErrorKind;
use crate::spool::{Belonging, NetworkFileSystem, Spool};

const REGULAR: Place = Place { lane: 0, queue: 0 };
const SUSPECTS: Place = Place { lane: 0, queue: 1 };

struct Opened {
    _dir: tempfile::TempDir,
    spool: Spool,
}

fn spool() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let belonging = Belonging {
        endpoint: "https://api.example/events",
        account: "",
    };
    let spool = Spool::open(
        &dir.path().join("spool"),
        belonging,
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
fn a_reader_that_comes_while_the_store_is_made_finds_none_or_a_sound_one() {
    for _ in 0..60 {
        let opened = spool();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| while Reader::open(&opened.spool).unwrap().is_none() {});
            let mut store = SqliteStore::open(&opened.spool).unwrap();
            store.commit(&[], CommitSafety::Process).unwrap();
            reader.join().unwrap();
        });
    }
}

/// As version 1 left it.
fn taken_back_to_version_1(opened: &Opened) {
    let raw = rusqlite::Connection::open(opened.spool.store()).unwrap();
    raw.execute_batch("DROP TABLE refused_in_a_row; DROP TABLE rests; PRAGMA user_version = 1")
        .unwrap();
}

#[test]
fn a_store_of_an_earlier_version_is_read_as_it_is_and_upgraded_by_its_sender() {
    let opened = spool();
    let rows = [rejected("u1", "A"), rejected("u2", "B")];
    let waits = run(&["{}"]);
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let mut changes: Vec<_> = rows.iter().map(Change::Reject).collect();
    changes.push(append(REGULAR, &waits));
    store.commit(&changes, CommitSafety::Process).unwrap();
    drop(store);
    taken_back_to_version_1(&opened);

    let all = RejectedFilter::default();
    let reader = Reader::open(&opened.spool).unwrap().unwrap();
    let before = reader.rejected(&all, 9).unwrap();
    assert_eq!(before.len(), 2);
    for _ in 0..2 {
        let mut store = SqliteStore::open(&opened.spool).unwrap();
        assert_eq!(store.rejected_matching(&all, 9).unwrap(), before);
        assert_eq!(store.runs(REGULAR, 0, 9).unwrap()[0].run, waits);
        let refused = Change::RefusedInARow { user: "u1" };
        store.commit(&[refused], CommitSafety::Process).unwrap();
        assert_eq!(store.refused_in_a_row().unwrap(), ["u1"]);
    }
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
fn a_store_of_a_newer_version_or_of_another_program_is_left_alone() {
    let opened = spool();
    drop(SqliteStore::open(&opened.spool).unwrap());
    let raw = rusqlite::Connection::open(opened.spool.store()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&opened.spool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    // Only the version differs: that is a damaged version.
    assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    raw.execute_batch("ALTER TABLE runs ADD COLUMN trace BLOB")
        .unwrap();
    let error = SqliteStore::open(&opened.spool).unwrap_err();
    assert!(error.message().contains("newer"), "{error}");
    assert_eq!(error.pause_reason(), None);
    assert_eq!(
        Reader::open(&opened.spool).unwrap_err().kind(),
        ErrorKind::Store
    );

    raw.pragma_update(None, "user_version", 2).unwrap();
    raw.pragma_update(None, "application_id", 5).unwrap();
    assert_eq!(
        SqliteStore::open(&opened.spool).unwrap_err().kind(),
        ErrorKind::Store
    );
}

#[test]
fn a_file_that_is_no_database_stops_the_sender_and_is_not_touched() {
    let opened = spool();
    fs::write(
        opened.spool.store(),
        "this is not a database, by far".repeat(100),
    )
    .unwrap();
    let before = fs::read(opened.spool.store()).unwrap();
    let error = SqliteStore::open(&opened.spool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(fs::read(opened.spool.store()).unwrap(), before);
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

/// A store with something in every table.
fn filled(opened: &Opened) {
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let events = run(&["a", "bb"]);
    let state = LaneState::default();
    let totals = Totals {
        pending: 2,
        ..Totals::default()
    };
    let suspect = Suspect {
        user: b"u1".to_vec(),
        lane: 0,
        waiting: 1,
        accepted: false,
    };
    let pause = PauseState {
        reason: PauseReason::Hold,
        since_ms: 1,
        probe_ms: None,
        probe_wait_ms: 1,
        http_status: None,
        api_code: None,
        message: "held".to_owned(),
        fingerprint: None,
    };
    let event = rejected("u1", "A");
    let changes = [
        append(REGULAR, &events),
        Change::Lane {
            lane: 0,
            state: &state,
        },
        Change::Totals(&totals),
        Change::Taken {
            segment: "s.log",
            upto: 64,
        },
        Change::Suspect(&suspect),
        Change::Pause(Some(&pause)),
        Change::Reject(&event),
    ];
    store.commit(&changes, CommitSafety::Process).unwrap();
}

#[test]
fn a_value_that_was_changed_behind_the_stores_back_is_damage_wherever_it_is() {
    let read_all = |spool: &Spool| -> Result<()> {
        let store = SqliteStore::open(spool)?;
        store.runs(REGULAR, 0, 10)?;
        store.lane(0)?;
        store.offsets()?;
        store.suspects()?;
        store.pause()?;
        store.totals()?;
        store.rejected(&[1]).map(drop)
    };
    let opened = spool();
    filled(&opened);
    read_all(&opened.spool).unwrap();
    for change in [
        "runs SET body = x'612C6263'",
        "runs SET slots = zeroblob(24)",
        "runs SET lane = 0, crc = crc + 1",
        "lanes SET regular_skip = 1",
        "lanes SET in_doubt_events = 1, in_doubt_queue = 0, in_doubt_attempts = 1, in_doubt_first_ms = 0, in_doubt_last_ms = 0",
        "segments SET upto = 65",
        "segments SET name = 't.log'",
        "suspects SET waiting = 2",
        "pause SET message = 'held!'",
        "pause SET probe_ms = 5",
        "state SET pending = 3",
        "state SET lanes = 2",
        "rejected SET message = 'yes'",
        "rejected SET event = 'text'",
    ] {
        let opened = spool();
        filled(&opened);
        let raw = rusqlite::Connection::open(opened.spool.store()).unwrap();
        raw.execute(&format!("UPDATE {change}"), []).unwrap();
        drop(raw);
        let error = read_all(&opened.spool).expect_err(change);
        assert_eq!(error.kind(), ErrorKind::Store, "{change}: {error}");
        assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    }
}

#[test]
fn a_store_that_has_shrunk_or_lost_a_part_is_damaged_and_never_made_anew() {
    for length in [0, 100, 511] {
        let opened = spool();
        filled(&opened);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(opened.spool.store())
            .unwrap();
        file.set_len(length).unwrap();
        let error = SqliteStore::open(&opened.spool).unwrap_err();
        assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
        assert_eq!(fs::metadata(opened.spool.store()).unwrap().len(), length);
    }
    let opened = spool();
    let store = SqliteStore::open(&opened.spool).unwrap();
    fs::remove_file(opened.spool.store()).unwrap();
    let error = SqliteStore::open(&opened.spool).unwrap_err();
    assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    assert!(Reader::open(&opened.spool).is_err());
    drop(store);
}

#[test]
fn a_log_that_is_cut_anywhere_hides_nothing_that_was_committed_before_a_checkpoint() {
    const EVENTS: usize = 5;
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let event = run(&["a"]);
    for _ in 0..EVENTS {
        store
            .commit(&[append(REGULAR, &event)], CommitSafety::Power)
            .unwrap();
    }
    assert!(store.checkpoint().unwrap());
    for more in 0..3 {
        let log = fs::read(opened.spool.dir().join("store.db-wal")).unwrap();
        for length in (0..=log.len()).step_by(512) {
            let copy = spool();
            fs::copy(opened.spool.store(), copy.spool.store()).unwrap();
            fs::write(copy.spool.dir().join("store.db-wal"), &log[..length]).unwrap();
            let copied = SqliteStore::open(&copy.spool).unwrap();
            let runs = copied.runs(REGULAR, 0, 100).unwrap().len();
            assert!(runs >= EVENTS, "{more} more, cut at {length}: {runs}");
        }
        store
            .commit(&[append(REGULAR, &event)], CommitSafety::Process)
            .unwrap();
    }
}

#[test]
fn the_log_is_moved_into_the_store_before_it_grows_large() {
    let opened = spool();
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let large = run(&[&"x".repeat(1024 * 1024)]);
    for _ in 0..20 {
        store
            .commit(&[append(REGULAR, &large)], CommitSafety::Process)
            .unwrap();
        let log = fs::metadata(opened.spool.dir().join("store.db-wal")).unwrap();
        assert!(log.len() < 5 * 1024 * 1024, "{}", log.len());
    }
}
