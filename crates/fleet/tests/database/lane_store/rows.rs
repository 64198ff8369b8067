//! What a lane leaves in the rows of the database, and what it makes of rows that are not as they should be.

use std::sync::Arc;

use meditopia::ErrorKind;
use meditopia::internals::process::random_uuid;
use meditopia::internals::store::{
    Change, InDoubt, LaneState, Place, Receipt, Rejected, RejectedFilter, RejectedReason, Shares,
    Store, StoredRun, Suspect, Totals,
};
use meditopia_fleet::lane_store::LaneStore;

use super::kept::{InDatabase, LANE, LENGTHS};
use super::owners::run;

const REGULAR: Place = Place { lane: 0, queue: 0 };
const SUSPECTS: Place = Place { lane: 0, queue: 1 };

fn rejected(message: &str) -> Rejected {
    Rejected {
        user: "user-1".to_owned(),
        event: b"{}".to_vec(),
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: "A_2000".to_owned(),
        message: message.to_owned(),
        http_status: Some(404),
        attempts: 1,
        first_ms: 1,
        last_ms: 2,
    }
}

fn suspect(user: &[u8]) -> Suspect {
    Suspect {
        user: user.to_vec(),
        lane: 0,
        waiting: 1,
        accepted: false,
    }
}

/// Four runs that wait and are read, a suspect, a user refused alone, and a rejected event.
pub fn a_lane_with_something_of_each_kind(
    kept: &InDatabase,
    store: &mut LaneStore,
) -> (Vec<StoredRun>, (i64, Rejected)) {
    let runs = ["one", "two", "three", "four"].map(run);
    kept.sort(&runs.each_ref());
    let known = suspect(b"user-1");
    let event = rejected("no");
    store
        .commit(&[
            Change::Suspect(&known),
            Change::RefusedInARow { user: "user-1" },
            Change::Reject(&event),
        ])
        .unwrap();
    let found = store.rejected_matching(&RejectedFilter::default(), 9);
    let found = found.unwrap().remove(0);
    (store.runs(REGULAR, 0, 9).unwrap(), found)
}

/// One commit with a change of each kind.
pub fn change_something_of_each_kind(
    store: &mut LaneStore,
    runs: &[StoredRun],
    (id, event): &(i64, Rejected),
) {
    let state = LaneState {
        in_doubt: Some(InDoubt {
            queue: 0,
            events: 4,
            attempts: 1,
            first_ms: 5,
            last_ms: 5,
            status: None,
        }),
        ..LaneState::default()
    };
    let sums = Totals {
        delivered: 3,
        ..Totals::default()
    };
    let receipt = Receipt {
        time_ms: 1,
        http_status: 204,
        attempts: 1,
        events: 3,
        shares: Shares::default(),
    };
    let (known, moved, more) = (suspect(b"user-2"), run("moved"), rejected("again"));
    let leave = |events| Change::Leave {
        place: REGULAR,
        events,
        bytes: 0,
    };
    store
        .commit(&[
            Change::Settle {
                place: REGULAR,
                upto: runs[0].id,
            },
            leave(3),
            Change::Mark {
                place: REGULAR,
                run: runs[1].id,
                marks: 0b1,
            },
            leave(1),
            Change::Append {
                place: SUSPECTS,
                origin: Some(runs[1].id),
                run: &moved,
            },
            Change::Lane {
                lane: 0,
                state: &state,
            },
            Change::Totals(&sums),
            Change::Receipt(&receipt),
            Change::Reject(&more),
            Change::Forget {
                rejected: *id,
                event,
            },
            Change::Suspect(&known),
            Change::Cleared { user: b"user-1" },
            Change::AcceptedSince,
            Change::RefusedInARow { user: "user-2" },
            Change::Pause(None),
        ])
        .unwrap();
}

#[test]
fn a_step_changes_each_kind_of_row_for_its_lane_alone() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    let (runs, found) = a_lane_with_something_of_each_kind(&kept, &mut store);
    // The same ids in another lane are others.
    kept.sql("INSERT INTO meditopia.run SELECT 1, queue, id, origin, events, body, slots, checksum, marks FROM meditopia.run");
    kept.sql("INSERT INTO meditopia.suspect SELECT 1, \"user\", waiting, accepted FROM meditopia.suspect");
    change_something_of_each_kind(&mut store, &runs, &found);
    let of = |lane: i16, what: &str, table: &str| {
        kept.sql(&format!("SELECT coalesce(string_agg({what}, ' ' ORDER BY 1), 'none') FROM meditopia.{table} WHERE lane = {lane}"))
    };
    let in_runs = "queue || ':' || events || coalesce(':' || marks::text, '')";
    assert_eq!(of(1, in_runs, "run"), "0:3 0:3 0:3 0:3");
    let marks = "00".repeat(15) + "01";
    let mut expected = [
        format!("0:3:\\x{marks}"),
        "0:3".to_owned(),
        "0:3".to_owned(),
        "1:3".to_owned(),
    ];
    let mut left: Vec<String> = of(LANE, in_runs, "run")
        .split(' ')
        .map(str::to_owned)
        .collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    let users = "convert_from(\"user\", 'UTF8')";
    assert_eq!(of(1, users, "suspect"), "user-1");
    assert_eq!(of(LANE, users, "suspect"), "user-2");
    assert_eq!(of(LANE, "message", "rejected"), "again");
    assert_eq!(of(LANE, "(id % 256)::text", "rejected"), LANE.to_string());
    assert_eq!(of(LANE, "events::text", "receipt"), "3");
    let counted = "SELECT string_agg(\"user\", ' ') FROM meditopia.refused_in_a_row";
    assert_eq!(kept.sql(counted), "user-2");
    let columns = "delivered || ' ' || left_events || ' ' || in_doubt_since_ms";
    assert_eq!(of(LANE, columns, "lane"), "3 1 5");
}

#[test]
fn a_run_that_is_damaged_in_the_database_is_named_with_its_lane() {
    let kept = InDatabase::new();
    kept.sort(&[&run("one"), &run("two")]);
    for damage in [
        "body = set_byte(body, 0, 33)",
        "slots = set_byte(slots, 11, 99)",
        "checksum = set_byte(checksum, 0, (get_byte(checksum, 0) + 1) % 256)",
        "events = 2",
        "marks = '\\x01'",
    ] {
        let mut store = kept.take_over();
        let good = store.runs(REGULAR, 0, 1).unwrap();
        kept.sql("CREATE TABLE public.whole AS SELECT * FROM meditopia.run");
        kept.sql(&format!(
            "UPDATE meditopia.run SET {damage} WHERE id > {}",
            good[0].id
        ));
        let error = store.runs(REGULAR, good[0].id, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{damage}");
        let expected = format!(
            "lane 3: run {} of the regular queue is damaged",
            good[0].id + 1
        );
        assert!(error.message().contains(&expected), "{damage}: {error}");
        kept.sql("DELETE FROM meditopia.run");
        kept.sql("INSERT INTO meditopia.run SELECT * FROM public.whole");
        kept.sql("DROP TABLE public.whole");
        assert_eq!(store.runs(REGULAR, good[0].id, 9).unwrap().len(), 1);
    }
}

#[test]
fn a_state_that_is_damaged_gives_the_lane_back_and_says_so() {
    let kept = InDatabase::new();
    drop(kept.take_over());
    kept.sql(&format!(
        "UPDATE meditopia.lane SET state = '\\x63', lease_until = '-infinity' WHERE lane = {LANE}"
    ));
    let open = || LaneStore::open(Arc::clone(&kept.pool), LANE, &random_uuid(), LENGTHS);
    for _ in 0..2 {
        let error = open().unwrap_err();
        assert!(error.message().contains("lane 3: its state"), "{error}");
    }
    kept.sql("UPDATE meditopia.lane SET state = ''");
    assert!(open().unwrap().is_some());
}

#[test]
fn a_text_that_the_database_cannot_keep_does_not_keep_the_lane_from_its_step() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    store
        .commit(&[Change::Reject(&rejected("a \0 in it"))])
        .unwrap();
    let found = store.rejected_matching(&RejectedFilter::default(), 9);
    assert_eq!(found.unwrap()[0].1.message, "a \u{fffd} in it");
}

#[test]
fn users_refused_by_another_lane_are_known_with_the_next_lone_refusal() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    kept.sql("INSERT INTO meditopia.refused_in_a_row VALUES ('far'), ('same')");
    assert!(store.refused_in_a_row().is_empty());
    for user in ["near", "same"] {
        store.commit(&[Change::RefusedInARow { user }]).unwrap();
    }
    assert_eq!(store.refused_in_a_row(), ["far", "near", "same"]);
    assert_eq!(kept.take_over().refused_in_a_row(), ["far", "near", "same"]);
    store = kept.take_over();
    store.commit(&[Change::AcceptedSince]).unwrap();
    assert_eq!(
        kept.sql("SELECT count(*)::text FROM meditopia.refused_in_a_row"),
        "0"
    );
}

#[test]
fn runs_that_the_sorter_appends_are_counted_when_they_are_read() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    assert_eq!(store.totals().pending, 0);
    kept.sort(&[&run("one")]);
    store.begin_joint_commit();
    let read = store.runs(REGULAR, 0, 9).unwrap();
    assert_eq!((read.len(), store.totals().pending), (1, 3));
    let (upto, place) = (read[0].id, REGULAR);
    let leave = Change::Leave {
        place,
        events: 3,
        bytes: 0,
    };
    store
        .commit(&[Change::Settle { place, upto }, leave])
        .unwrap();
    kept.sort(&[&run("two")]);
    let read = store.runs(REGULAR, upto, 9).unwrap();
    assert_eq!((read.len(), store.totals().pending), (1, 3));
    store.end_joint_commit().unwrap();
    assert_eq!(kept.sql("SELECT count(*)::text FROM meditopia.run"), "1");
}
