//! What is taken for a store, of which version, and what is found out to be damaged.

use super::*;
use crate::error::PauseReason;

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
    let rest = Rest {
        wait_ms: 1_000,
        ..Rest::default()
    };
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
        Change::RefusedInARow { user: "u1" },
        Change::Rest {
            lane: 0,
            rest: &rest,
        },
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
        store.refused_in_a_row()?;
        store.rest(0)?;
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
        "refused_in_a_row SET user = 'u2'",
        "rests SET wait_ms = 1001",
        "rests SET until_ms = 5",
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
