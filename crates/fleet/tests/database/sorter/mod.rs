//! The sorter: each event of a parcel goes over into its lane once, in the order of its spool, whatever happens.

mod damage;
mod late_commits;
mod random;
mod thread;

use std::time::Duration;

use meditopia::internals::dispatch::lane_of;
use meditopia::internals::event::user_of;
use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::{Outcome, STEP_LOST};
use meditopia_fleet::parcel::Parcel;
use meditopia_fleet::relay::sorter::{ReadBounds, Round, Sorter};
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;

use crate::fleet::{connect, plan, set_up};
use crate::forward::{begin_spool, forward};

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const OTHER: &str = "22222222-2222-2222-2222-222222222222";
const SPOOL: &str = "a81bc81b-dead-4e5d-abff-90865d1e13b1";

/// The fragment of an event of this user; `number` tells it from all others.
fn fragment(user: &str, number: usize) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
}

fn parcel_of<'a>(fragments: impl IntoIterator<Item = &'a String>) -> Parcel {
    let mut parcel = Parcel::default();
    for fragment in fragments {
        parcel.push(fragment.as_bytes(), 1_722_956_645_000);
    }
    parcel
}

/// A parcel with one event of each of these users.
fn parcel(users: std::ops::Range<usize>) -> Parcel {
    let fragments: Vec<_> = users
        .map(|user| fragment(&format!("u-{user}"), user))
        .collect();
    parcel_of(&fragments)
}

fn hand_in(connection: &mut Connection, parcels: &[Parcel]) {
    let (step, _) = begin_spool(connection, SPOOL).unwrap();
    forward(connection, SPOOL, step, b"", parcels).unwrap();
}

fn take(connection: &mut Connection, owner: &str) -> Sorter {
    Sorter::take(connection, owner)
        .unwrap()
        .expect("the lease is free")
}

/// As if the sorter had stood still for longer than its lease is.
fn end_lease(server: &PostgresServer, database: &str) {
    server.sql(
        database,
        "UPDATE meditopia.sorter SET lease_until = now() - interval '1 s'",
    );
}

/// The events of all runs, lane by lane, in their order there. Each run fits its checksum and its counts.
fn events_in_lanes(connection: &mut Connection) -> Vec<Vec<String>> {
    let mut lanes = vec![Vec::new(); usize::from(plan().lanes)];
    let rows = connection
        .query("SELECT lane, body, slots, checksum, events, origin = id AND queue = 0 FROM meditopia.run ORDER BY lane, id", &[])
        .unwrap();
    for row in &rows {
        let lane = column::<i16>(row, 0).unwrap() as usize;
        let run = Parcel::decode(
            column(row, 1).unwrap(),
            column(row, 2).unwrap(),
            column(row, 3).unwrap(),
        );
        let run = run.expect("the run is whole");
        assert_eq!(run.len(), column::<i16>(row, 4).unwrap() as usize);
        assert!(column::<bool>(row, 5).unwrap());
        for (fragment, _) in run.events() {
            assert_eq!(lane_of(user_of(fragment), lanes.len()), lane);
            lanes[lane].push(String::from_utf8(fragment.to_vec()).unwrap());
        }
    }
    let row = connection
        .query_one("SELECT appended FROM meditopia.sorter", &[])
        .unwrap();
    let counts: Vec<_> = lanes.iter().map(|lane| lane.len() as i64).collect();
    assert_eq!(column::<Vec<i64>>(&row, 0).unwrap(), counts);
    lanes
}

fn count_in_lanes(connection: &mut Connection) -> usize {
    events_in_lanes(connection).iter().map(Vec::len).sum()
}

/// Rounds until nothing is left.
fn drain(connection: &mut Connection, sorter: &mut Sorter) -> Vec<Round> {
    let mut rounds = Vec::new();
    loop {
        let round = sorter.round(connection).unwrap();
        if round.parcels == 0 && !round.is_full {
            return rounds;
        }
        rounds.push(round);
    }
}

#[test]
fn parcels_become_runs_of_a_hundred_by_lane_in_the_order_in_which_they_came() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(
        &mut connection,
        &[parcel(0..100), parcel(100..200), parcel(200..201)],
    );
    let many: Vec<_> = (1_000..1_250)
        .map(|number| fragment("u-3", number))
        .collect();
    let parcels: Vec<_> = many.chunks(100).map(parcel_of).collect();
    hand_in(&mut connection, &parcels);
    server.sql(
        &database,
        "SELECT meditopia.enqueue('t', 'u-3', 'video', 'last')",
    );
    let mut sorter = take(&mut connection, ONE);
    let rounds = drain(&mut connection, &mut sorter);
    assert_eq!(rounds.len(), 1);
    assert_eq!((rounds[0].parcels, rounds[0].events), (7, 452));
    let lanes = events_in_lanes(&mut connection);
    let all: Vec<_> = lanes
        .iter()
        .flatten()
        .filter(|event| event.contains("\"u-3\""))
        .collect();
    let expected: Vec<_> = std::iter::once(fragment("u-3", 3)).chain(many).collect();
    assert_eq!(all[..251], expected.iter().collect::<Vec<_>>());
    assert!(all[251].contains("\"last\""));
    // Nothing but the last run of a lane has room.
    let sizes = server.sql(
        &database,
        "SELECT count(*) FROM meditopia.run WHERE events < 100",
    );
    assert_eq!(sizes, "4");
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.parcel"),
        "0"
    );
}

#[test]
fn a_sorter_that_was_succeeded_between_its_two_statements_changes_nothing() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(&mut connection, &[parcel(0..50)]);
    let mut old = take(&mut connection, ONE);
    let read = old.read(&mut connection).unwrap();
    end_lease(server, &database);
    // The successor has not sorted yet.
    let mut new = take(&mut connection, OTHER);
    let lost = old.commit(&mut connection, read).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert_eq!(count_in_lanes(&mut connection), 0);
    // Both have read the same parcels, and the successor is first.
    let theirs = new.read(&mut connection).unwrap();
    let read = old.read(&mut connection).unwrap();
    new.commit(&mut connection, theirs).unwrap();
    let lost = old.commit(&mut connection, read).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert!(!old.read_again(&mut connection).unwrap());
    assert_eq!(count_in_lanes(&mut connection), 50);
}

#[test]
fn a_sorter_that_dies_between_its_statements_loses_and_repeats_nothing() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for round in 0..4 {
        hand_in(&mut connection, &[parcel(round * 50..round * 50 + 50)]);
        let mut sorter = take(&mut connection, ONE);
        let read = sorter.read(&mut connection).unwrap();
        if round % 2 == 0 {
            sorter.commit(&mut connection, read).unwrap();
        }
        drop(sorter);
        assert!(Sorter::take(&mut connection, OTHER).unwrap().is_none());
        end_lease(server, &database);
    }
    drain(
        &mut connection,
        &mut take(&mut connect(&server.url(&database)), OTHER),
    );
    assert_eq!(count_in_lanes(&mut connection), 200);
}

#[test]
fn after_an_unknown_outcome_the_sorter_reads_again_and_each_event_goes_over_once() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(&mut connection, &[parcel(0..60)]);
    let mut sorter = take(&mut connection, ONE);
    for will_commit in [false, true] {
        // Another transaction keeps the sorter's statement waiting.
        let mut blocker = connect(&server.url(&database));
        blocker
            .run_script("BEGIN; SELECT 1 FROM meditopia.sorter FOR UPDATE")
            .unwrap();
        let mut slow = connect(&server.url(&database));
        let row = slow.query_one("SELECT pg_backend_pid()", &[]).unwrap();
        let backend: i32 = column(&row, 0).unwrap();
        let read = sorter.read(&mut slow).unwrap();
        slow.set_statement_timeout(Duration::from_millis(100));
        let unknown = sorter.commit(&mut slow, read).unwrap_err();
        assert_eq!(*unknown.outcome(), Outcome::Unknown);
        if !will_commit {
            let ended = format!("SELECT pg_terminate_backend({backend}, 60000)");
            assert_eq!(server.sql(&database, &ended), "t");
        }
        blocker.run_script("ROLLBACK").unwrap();
        if will_commit {
            wait_until("the server has committed it", || {
                server.sql(&database, "SELECT count(*) FROM meditopia.parcel") == "0"
            });
        }
        assert!(sorter.read_again(&mut connection).unwrap());
        let done = if will_commit { 60 } else { 0 };
        assert_eq!(count_in_lanes(&mut connection), done);
    }
    hand_in(&mut connection, &[parcel(60..70)]);
    drain(&mut connection, &mut sorter);
    assert_eq!(count_in_lanes(&mut connection), 70);
}

#[test]
fn in_a_database_that_was_set_back_another_parcel_with_the_same_id_is_not_lost() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(&mut connection, &[parcel(0..10)]);
    let mut sorter = take(&mut connection, ONE);
    let read = sorter.read(&mut connection).unwrap();
    // The sorter's row is the same as in the future that is lost; the parcel's id was given again.
    hand_in(&mut connection, &[parcel(10..30)]);
    server.sql(
        &database,
        "DELETE FROM meditopia.parcel WHERE id = 1; UPDATE meditopia.parcel SET id = 1 WHERE id = 2",
    );
    let lost = sorter.commit(&mut connection, read).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert!(sorter.read_again(&mut connection).unwrap());
    drain(&mut connection, &mut sorter);
    let lanes = events_in_lanes(&mut connection);
    let mut users: Vec<_> = lanes.iter().flatten().cloned().collect();
    users.sort();
    let mut expected: Vec<_> = (10..30)
        .map(|user| fragment(&format!("u-{user}"), user))
        .collect();
    expected.sort();
    assert_eq!(users, expected);
}

#[test]
fn a_sorter_of_a_lost_future_changes_nothing_although_its_step_came_again() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(&mut connection, &[parcel(0..10)]);
    let mut old = take(&mut connection, ONE);
    let read = old.read(&mut connection).unwrap();
    // In the database that was set back, another relay has the same step.
    server.sql(
        &database,
        "UPDATE meditopia.sorter SET lease = gen_random_uuid(), owner = gen_random_uuid()",
    );
    let lost = old.commit(&mut connection, read).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert_eq!(count_in_lanes(&mut connection), 0);
}

#[test]
fn a_database_that_was_set_back_gives_no_run_the_id_of_an_earlier_one() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let first = "SELECT step, lease, last_run FROM meditopia.sorter";
    let mut sorter = take(&mut connection, ONE);
    let before = server.sql(&database, first);
    hand_in(&mut connection, &[parcel(0..80)]);
    sorter.round(&mut connection).unwrap();
    let given = server.sql(&database, "SELECT max(id) FROM meditopia.run");
    let (step, rest) = before.split_once('|').unwrap();
    let (lease, last_run) = rest.split_once('|').unwrap();
    server.sql(
        &database,
        &format!(
            "UPDATE meditopia.sorter SET step = {step}, lease = '{lease}', last_run = {last_run}, appended = '{{0, 0, 0, 0}}';
             DELETE FROM meditopia.run"
        ),
    );
    hand_in(&mut connection, &[parcel(0..80)]);
    let lost = sorter.round(&mut connection).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert!(sorter.read_again(&mut connection).unwrap());
    sorter.round(&mut connection).unwrap();
    let later = format!("SELECT min(id) > {given} FROM meditopia.run");
    assert_eq!(server.sql(&database, &later), "t");
    // A clock that stands behind what was given does not either.
    server.sql(
        &database,
        "UPDATE meditopia.sorter SET last_run = last_run + 1000000000000",
    );
    assert!(sorter.read_again(&mut connection).unwrap());
    let last = server.sql(&database, "SELECT last_run FROM meditopia.sorter");
    hand_in(&mut connection, &[parcel(0..1)]);
    sorter.round(&mut connection).unwrap();
    let next = format!("SELECT max(id) = {last} + 1 FROM meditopia.run");
    assert_eq!(server.sql(&database, &next), "t");
}

#[test]
fn a_round_is_bounded_by_bytes_and_by_parcels_and_takes_a_large_parcel_alone() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let value = "x".repeat(50_000);
    let large: Vec<_> = (0..40)
        .map(|user| fragment(&format!("u-{user}"), user).replace("video", &value))
        .collect();
    let large = parcel_of(&large);
    let bytes = large.body().len() as i64;
    let mut parcels = vec![parcel(0..1), large.clone(), parcel(1..2)];
    parcels.extend((0..5).map(|user| parcel(user..user + 1)));
    hand_in(&mut connection, &parcels);
    let small = parcels[0].body().len() as i64;
    let bounds = ReadBounds {
        parcels: 3,
        bytes: small + 1,
    };
    let mut sorter = take(&mut connection, ONE).with_bounds(bounds);
    let taken: Vec<_> = drain(&mut connection, &mut sorter)
        .iter()
        .map(|round| round.parcels)
        .collect();
    // One more byte than the first takes the large one with it, and then no other.
    assert_eq!(taken, [2, 2, 2, 2]);
    assert!(bytes > 2_000_000);
    hand_in(&mut connection, &parcels);
    let mut sorter = sorter.with_bounds(ReadBounds {
        parcels: 3,
        bytes: small,
    });
    let taken: Vec<_> = drain(&mut connection, &mut sorter)
        .iter()
        .map(|round| round.parcels)
        .collect();
    assert_eq!(taken, [1; 8]);
    hand_in(&mut connection, &parcels);
    let mut sorter = sorter.with_bounds(ReadBounds {
        parcels: 3,
        bytes: i64::MAX,
    });
    let taken: Vec<_> = drain(&mut connection, &mut sorter)
        .iter()
        .map(|round| round.parcels)
        .collect();
    assert_eq!(taken, [3, 3, 2]);
}
