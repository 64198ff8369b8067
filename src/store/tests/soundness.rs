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

/// As an earlier version left it.
fn taken_back_to(version: usize, opened: &Opened) {
    const STEPS_BACK: [&str; 2] = [
        "DROP TABLE receipts; ALTER TABLE state DROP COLUMN measures; PRAGMA user_version = 2",
        "DROP TABLE refused_in_a_row; DROP TABLE rests; PRAGMA user_version = 1",
    ];
    let raw = rusqlite::Connection::open(opened.spool.store_path()).unwrap();
    for step in &STEPS_BACK[..3 - version] {
        raw.execute_batch(step).unwrap();
    }
}

#[test]
fn a_store_of_an_earlier_version_is_read_as_it_is_and_upgraded_by_its_sender() {
    for version in [1, 2] {
        let opened = spool();
        let rows = [rejected("u1", "A"), rejected("u2", "B")];
        let waits = run(&["{}"]);
        let totals = Totals {
            pending: 1,
            ..Totals::default()
        };
        let mut store = SqliteStore::open(&opened.spool).unwrap();
        let mut changes: Vec<_> = rows.iter().map(Change::Reject).collect();
        changes.push(append(REGULAR, &waits));
        changes.push(Change::Totals(&totals));
        store.commit(&changes, CommitSafety::Process).unwrap();
        drop(store);
        taken_back_to(version, &opened);

        let all = RejectedFilter::default();
        let reader = Reader::open(&opened.spool).unwrap().unwrap();
        let before = reader.rejected(&all, 9).unwrap();
        assert_eq!(before.len(), 2);
        assert_eq!(reader.totals().unwrap(), totals);
        assert_eq!(reader.receipts(&ReceiptFilter::default(), 9).unwrap(), []);
        for number in 1..3 {
            let mut store = SqliteStore::open(&opened.spool).unwrap();
            assert_eq!(store.rejected_matching(&all, 9).unwrap(), before);
            assert_eq!(store.runs(REGULAR, 0, 9).unwrap()[0].run, waits);
            assert_eq!(store.totals().unwrap(), totals);
            let delivered = receipt(number);
            let changes = [
                Change::RefusedInARow { user: "u1" },
                Change::Receipt(&delivered),
            ];
            store.commit(&changes, CommitSafety::Process).unwrap();
            assert_eq!(store.refused_in_a_row().unwrap(), ["u1"]);
            let reader = Reader::open(&opened.spool).unwrap().unwrap();
            let kept = reader.receipts(&ReceiptFilter::default(), 9).unwrap();
            assert_eq!(kept.len() as i64, number, "version {version}");
        }
    }
}

#[test]
fn what_is_recovered_of_a_store_of_an_earlier_version_is_of_this_one() {
    for version in [1, 2, 3] {
        let opened = spool();
        filled(&opened);
        taken_back_to(version, &opened);
        let raw = rusqlite::Connection::open(opened.spool.store_path()).unwrap();
        raw.execute("UPDATE pause SET message = 'held!'", [])
            .unwrap();
        drop(raw);
        let found = recover::recover(&opened.spool, recover::Repair::Replace, |_, _| 0).unwrap();
        assert!(found.kept.is_some(), "{found:?}");
        assert_eq!(found.forgotten.len(), 1, "the pause: {found:?}");
        assert_eq!(found.receipts, u64::from(version == 3));
        drop(SqliteStore::open(&opened.spool).unwrap());
        let reader = Reader::open(&opened.spool).unwrap().unwrap();
        let kept = reader.receipts(&ReceiptFilter::default(), 9).unwrap();
        assert_eq!(kept.len(), usize::from(version == 3));
    }
}

#[test]
fn a_store_of_a_newer_version_or_of_another_program_is_left_alone() {
    let opened = spool();
    drop(SqliteStore::open(&opened.spool).unwrap());
    let raw = rusqlite::Connection::open(opened.spool.store_path()).unwrap();
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
        opened.spool.store_path(),
        "this is not a database, by far".repeat(100),
    )
    .unwrap();
    let before = fs::read(opened.spool.store_path()).unwrap();
    let error = SqliteStore::open(&opened.spool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(fs::read(opened.spool.store_path()).unwrap(), before);
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
    let delivered = receipt(1);
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
        Change::Receipt(&delivered),
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
        store.rejected(&[1])?;
        let reader = Reader::open(spool)?.unwrap();
        reader.receipts(&ReceiptFilter::default(), 9).map(drop)
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
        "receipts SET time_ms = 5",
        "receipts SET shares = zeroblob(20)",
        "state SET pending = 3",
        "state SET lanes = 2",
        "state SET measures = zeroblob(320)",
        "rejected SET message = 'yes'",
        "rejected SET event = 'text'",
    ] {
        let opened = spool();
        filled(&opened);
        let raw = rusqlite::Connection::open(opened.spool.store_path()).unwrap();
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
            .open(opened.spool.store_path())
            .unwrap();
        file.set_len(length).unwrap();
        let error = SqliteStore::open(&opened.spool).unwrap_err();
        assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
        assert_eq!(
            fs::metadata(opened.spool.store_path()).unwrap().len(),
            length
        );
    }
    let opened = spool();
    let store = SqliteStore::open(&opened.spool).unwrap();
    fs::remove_file(opened.spool.store_path()).unwrap();
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
            fs::copy(opened.spool.store_path(), copy.spool.store_path()).unwrap();
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

/// Changes each sector of `log` back to what it was `before`, from the second page on, or not.
fn torn(log: &[u8], before: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    const SECTOR: usize = 512;
    let mut torn = log.to_vec();
    for (number, sector) in torn.chunks_mut(SECTOR).enumerate() {
        let from = number * SECTOR;
        if number > 0 && rng.bool() && from + sector.len() <= before.len() {
            sector.copy_from_slice(&before[from..from + sector.len()]);
        }
    }
    torn
}

#[test]
fn a_log_that_was_begun_anew_hides_nothing_that_is_in_the_store_however_it_is_cut_or_torn() {
    let opened = spool();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let large = run(&[&"x".repeat(1024 * 1024)]);
    let log_path = opened.spool.dir().join("store.db-wal");
    let store_bytes = || fs::metadata(opened.spool.store_path()).unwrap().len();
    let runs_with = |log: &[u8]| {
        let copy = spool();
        fs::copy(opened.spool.store_path(), copy.spool.store_path()).unwrap();
        fs::write(copy.spool.dir().join("store.db-wal"), log).unwrap();
        let copied = SqliteStore::open(&copy.spool).unwrap();
        copied.runs(REGULAR, 0, 100).unwrap().len()
    };
    let mut before = Vec::new();
    let mut bytes = store_bytes();
    let mut moved = None;
    for committed in 1..=30 {
        store
            .commit(&[append(REGULAR, &large)], CommitSafety::Process)
            .unwrap();
        let log = fs::read(&log_path).unwrap();
        if store_bytes() > bytes {
            bytes = store_bytes();
            moved = Some(committed);
        }
        if let Some(moved) = moved {
            assert_eq!(runs_with(&[]), moved);
            for length in (0..log.len())
                .step_by(3 * 1024 * 1024)
                .chain([16, 32, 4_152])
            {
                let found = runs_with(&log[..length]);
                assert!(found >= moved, "cut at {length} of {committed}: {found}");
            }
            let found = runs_with(&torn(&log, &before, &mut rng));
            assert!(found >= moved, "torn, {committed} committed: {found}");
            if committed == moved + 3 {
                return;
            }
        }
        before = log;
    }
    panic!("the log was never moved");
}
