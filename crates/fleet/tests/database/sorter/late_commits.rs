//! Parcels whose ids were drawn before others and that are committed after them.

use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::relay::sorter::Low;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;

use super::{ONE, count_in_lanes, drain, hand_in, parcel, take};
use crate::fleet::{connect, plan, set_up};

/// An application that has enqueued and not committed yet.
fn enqueue_in_transaction(connection: &mut Connection) {
    connection
        .run_script("BEGIN; SELECT meditopia.enqueue('t', 'u-late', 'video')")
        .unwrap();
}

fn look(connection: &mut Connection, low: &mut Low, step: &mut i64) {
    *step += 1;
    low.look(connection, *step).unwrap();
}

/// Other tests have transactions on the same server, which keep it low for a while.
fn look_until(connection: &mut Connection, low: &mut Low, step: &mut i64, expected: i64) {
    wait_until("no smaller id can appear", || {
        look(connection, low, step);
        low.get() == expected
    });
}

#[test]
fn a_parcel_that_is_committed_after_later_ones_were_sorted_is_not_skipped() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut sorter = take(&mut connection, ONE);
    let mut application = connect(&server.url(&database));
    enqueue_in_transaction(&mut application);
    for round in 0..3 {
        hand_in(&mut connection, &[parcel(round * 10..round * 10 + 10)]);
        drain(&mut connection, &mut sorter);
    }
    assert_eq!(count_in_lanes(&mut connection), 30);
    application.run_script("COMMIT").unwrap();
    drain(&mut connection, &mut sorter);
    assert_eq!(count_in_lanes(&mut connection), 31);
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.parcel"),
        "0"
    );
}

#[test]
fn what_needs_no_reading_moves_up_only_when_no_smaller_id_can_appear_any_more() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let (mut low, mut step) = (Low::default(), 0);
    hand_in(&mut connection, &[parcel(0..1), parcel(1..2)]);
    server.sql(&database, "DELETE FROM meditopia.parcel WHERE id = 1");
    look(&mut connection, &mut low, &mut step);
    assert_eq!(low.get(), 0);
    // What is still there has to be read.
    look_until(&mut connection, &mut low, &mut step, 1);
    let mut application = connect(&server.url(&database));
    enqueue_in_transaction(&mut application);
    hand_in(&mut connection, &[parcel(2..3)]);
    server.sql(&database, "DELETE FROM meditopia.parcel");
    low.taken(Some(4));
    for _ in 0..5 {
        look(&mut connection, &mut low, &mut step);
    }
    // Parcel 3 may still come.
    assert!(low.get() < 3, "{}", low.get());
    application.run_script("COMMIT").unwrap();
    look_until(&mut connection, &mut low, &mut step, 2);
    server.sql(&database, "DELETE FROM meditopia.parcel");
    look_until(&mut connection, &mut low, &mut step, 4);
}

#[test]
fn without_a_step_of_the_sorter_nothing_moves_up() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut low = Low::default();
    hand_in(&mut connection, &[parcel(0..1)]);
    server.sql(&database, "DELETE FROM meditopia.parcel");
    low.taken(Some(1));
    for _ in 0..5 {
        low.look(&mut connection, 7).unwrap();
    }
    assert_eq!(low.get(), 0);
    look_until(&mut connection, &mut low, &mut 7, 1);
}

#[test]
fn a_long_reader_does_not_keep_it_low() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut dump = connect(&server.url(&database));
    dump.run_script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM meditopia.parcel")
        .unwrap();
    let (mut low, mut step) = (Low::default(), 0);
    hand_in(&mut connection, &[parcel(0..1)]);
    server.sql(&database, "DELETE FROM meditopia.parcel");
    low.taken(Some(1));
    look_until(&mut connection, &mut low, &mut step, 1);
}

/// The end of a snapshot is behind the last transaction that has ended, and a running one may be further.
#[test]
fn a_transaction_with_a_larger_number_than_all_that_have_ended_keeps_it_low() {
    let server = PostgresServer::start_with(&["autovacuum = off"]);
    let database = server.create_database();
    let url = server.url(&database);
    meditopia_fleet::schema::install(&mut connect(&url), &plan()).unwrap();
    let mut connection = connect(&url);
    let (mut earlier, mut later) = (connect(&url), connect(&url));
    earlier
        .run_script("BEGIN; SELECT pg_current_xact_id()")
        .unwrap();
    later
        .run_script("BEGIN; SELECT pg_current_xact_id()")
        .unwrap();
    later
        .run_script("SELECT meditopia.enqueue('t', 'u-late', 'video')")
        .unwrap();
    earlier
        .run_script("SELECT meditopia.enqueue('t', 'u-1', 'video'); COMMIT")
        .unwrap();
    let mut low = Low::default();
    low.look(&mut connection, 1).unwrap();
    let row = connection
        .query_one("SELECT min(id) FROM meditopia.parcel", &[])
        .unwrap();
    assert_eq!(column::<i64>(&row, 0).unwrap(), 2);
    for step in 2..5 {
        low.look(&mut connection, step).unwrap();
    }
    later.run_script("COMMIT").unwrap();
    assert_eq!(low.get(), 0, "parcel 1 would be skipped");
}

/// A transaction may draw an id before it writes anything, and then it has no number by itself.
#[test]
fn a_transaction_that_draws_a_parcels_id_has_its_number_before() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut other = connect(&server.url(&database));
    // Most draws write nothing that would give the transaction a number: the sequence logs 32 at once.
    server.sql(&database, "SELECT meditopia.next_parcel_id()");
    other
        .run_script("BEGIN; SELECT meditopia.next_parcel_id()")
        .unwrap();
    let (mut low, mut step) = (Low::default(), 0);
    low.taken(Some(3));
    for _ in 0..3 {
        look(&mut connection, &mut low, &mut step);
    }
    assert_eq!(low.get(), 0);
    other.run_script("ROLLBACK").unwrap();
    look_until(&mut connection, &mut low, &mut step, 3);
}

#[test]
fn a_sorter_skips_no_late_parcel_although_it_has_looked_many_times() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut sorter = take(&mut connection, ONE);
    let mut application = connect(&server.url(&database));
    enqueue_in_transaction(&mut application);
    for round in 0..5 {
        hand_in(&mut connection, &[parcel(round..round + 1)]);
        sorter.look(&mut connection).unwrap();
        sorter.round(&mut connection).unwrap();
    }
    assert!(sorter.low() < 1);
    application.run_script("COMMIT").unwrap();
    drain(&mut connection, &mut sorter);
    assert_eq!(count_in_lanes(&mut connection), 6);
    wait_until("no smaller id can appear", || {
        hand_in(&mut connection, &[parcel(0..1)]);
        sorter.look(&mut connection).unwrap();
        sorter.round(&mut connection).unwrap();
        sorter.low() >= 6
    });
    // A sorter that reads again begins at the head.
    assert!(sorter.read_again(&mut connection).unwrap());
    assert_eq!(sorter.low(), 0);
}
