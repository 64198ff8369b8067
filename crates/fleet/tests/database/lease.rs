//! Leases of lanes and of the sorter: one owner, by compare-and-set, on the server's clock.

use std::time::Duration;

use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::STEP_LOST;
use meditopia_fleet::relay::lease::{FIRST_COLUMNS, Lease, Leased};
use meditopia_testkit::postgres_server::PostgresServer;

use crate::fleet::{connect, set_up};

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const OTHER: &str = "22222222-2222-2222-2222-222222222222";
const LONG: Duration = Duration::from_secs(60);

fn take(connection: &mut Connection, leased: Leased, owner: &str) -> Option<Lease> {
    let taken = Lease::take(connection, leased, owner, LONG).unwrap();
    taken.map(|(lease, _)| lease)
}

/// As if its owner had stood still for longer than the lease is.
fn end(server: &PostgresServer, database: &str, leased: Leased) {
    let table = match leased {
        Leased::Lane(lane) => {
            format!("lane SET lease_until = now() - interval '1 s' WHERE lane = {lane}")
        }
        Leased::Sorter => "sorter SET lease_until = now() - interval '1 s'".to_owned(),
    };
    server.sql(database, &format!("UPDATE meditopia.{table}"));
}

#[test]
fn a_lease_has_one_owner_until_it_ends_or_is_given_up() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for leased in [Leased::Lane(0), Leased::Lane(3), Leased::Sorter] {
        let lease = take(&mut connection, leased, ONE).unwrap();
        assert_eq!(lease.step, 1);
        assert!(lease.outlasts(Duration::from_secs(30)));
        assert!(!lease.outlasts(LONG));
        assert!(take(&mut connection, leased, OTHER).is_none());
        assert!(take(&mut connection, leased, ONE).is_none());
        assert!(lease.give_up(&mut connection).unwrap());
        let lease = take(&mut connection, leased, OTHER).unwrap();
        assert_eq!(lease.step, 3);
        end(server, &database, leased);
        assert!(take(&mut connection, leased, ONE).is_some());
    }
    let owners = "SELECT string_agg(coalesce(left(owner::text, 1), '-'), '' ORDER BY lane) FROM meditopia.lane";
    assert_eq!(server.sql(&database, owners), "1--1");
    assert!(take(&mut connection, Leased::Lane(4), ONE).is_none());
}

#[test]
fn an_owner_whose_lease_was_taken_changes_nothing_any_more() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for leased in [Leased::Lane(1), Leased::Sorter] {
        let mut old = take(&mut connection, leased, ONE).unwrap();
        end(server, &database, leased);
        let mut new = take(&mut connection, leased, OTHER).unwrap();
        // A number alone would let it pass.
        old.step = new.step;
        let lost = old.renew(&mut connection, LONG).unwrap_err();
        assert!(lost.is_refused_with(STEP_LOST), "{lost}");
        assert!(old.read_again(&mut connection, LONG).unwrap().is_none());
        assert!(!old.give_up(&mut connection).unwrap());
        new.renew(&mut connection, LONG).unwrap();
        assert_eq!(new.step, 3);
    }
}

#[test]
fn an_owner_that_stood_still_and_was_not_succeeded_goes_on() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut lease = take(&mut connection, Leased::Lane(2), ONE).unwrap();
    end(server, &database, Leased::Lane(2));
    lease.renew(&mut connection, LONG).unwrap();
    assert!(take(&mut connection, Leased::Lane(2), OTHER).is_none());
}

#[test]
fn after_an_unknown_outcome_the_row_is_read_again_and_a_late_statement_changes_nothing() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for leased in [Leased::Lane(0), Leased::Sorter] {
        let mut lease = take(&mut connection, leased, ONE).unwrap();
        let sent_at = lease.step;
        let row = lease.read_again(&mut connection, LONG).unwrap().unwrap();
        assert_eq!(column::<i64>(&row, 0).unwrap(), sent_at + 1);
        let own = lease.step;
        // What was sent before it, and arrives now.
        lease.step = sent_at;
        let lost = lease.renew(&mut connection, LONG).unwrap_err();
        assert!(lost.is_refused_with(STEP_LOST), "{lost}");
        lease.step = own;
        lease.renew(&mut connection, LONG).unwrap();
    }
}

#[test]
fn of_eight_relays_that_ask_at_once_one_gets_the_lease() {
    let (server, database) = set_up();
    let mut connections: Vec<_> = (0..8).map(|_| connect(&server.url(&database))).collect();
    for leased in [Leased::Lane(0), Leased::Lane(1), Leased::Sorter] {
        let got = std::thread::scope(|scope| {
            let asked: Vec<_> = connections
                .iter_mut()
                .map(|connection| scope.spawn(move || take(connection, leased, ONE).is_some()))
                .collect();
            asked
                .into_iter()
                .filter_map(|thread| thread.join().unwrap().then_some(()))
                .count()
        });
        assert_eq!(got, 1, "{leased}");
    }
}

#[test]
fn a_lease_of_an_older_database_is_lost() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let mut lease = take(&mut connection, Leased::Lane(0), ONE).unwrap();
    let older = server.sql(
        &database,
        "SELECT step, lease FROM meditopia.lane WHERE lane = 0",
    );
    for _ in 0..5 {
        lease.renew(&mut connection, LONG).unwrap();
    }
    let (step, id) = older.split_once('|').unwrap();
    server.sql(
        &database,
        &format!("UPDATE meditopia.lane SET step = {step}, lease = '{id}' WHERE lane = 0"),
    );
    let lost = lease.renew(&mut connection, LONG).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    // The database still knows its lease: it goes on from what the database is now.
    let row = lease.read_again(&mut connection, LONG).unwrap().unwrap();
    assert_eq!(column::<i64>(&row, 0).unwrap(), 2);
    lease.renew(&mut connection, LONG).unwrap();
    // What was sent before, at a step that this database has reached again, and arrives now.
    let own = std::mem::replace(&mut lease.id, id.to_owned());
    let lost = lease.renew(&mut connection, LONG).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    lease.id = own;
    lease.renew(&mut connection, LONG).unwrap();
}

#[test]
fn the_row_that_comes_with_a_lease_is_the_owners_and_has_the_servers_time() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    server.sql(&database, "UPDATE meditopia.lane SET first_run = 17, last_rejected = 19, left_events = 23 WHERE lane = 1;
      UPDATE meditopia.sorter SET last_run = 29, appended = '{1, 2, 3, 4}'");
    let (_, row) = Lease::take(&mut connection, Leased::Lane(1), ONE, LONG)
        .unwrap()
        .unwrap();
    assert_eq!(column::<i64>(&row, FIRST_COLUMNS).unwrap(), 17);
    assert_eq!(column::<i64>(&row, FIRST_COLUMNS + 3).unwrap(), 19);
    assert_eq!(column::<i64>(&row, FIRST_COLUMNS + 9).unwrap(), 23);
    let (_, row) = Lease::take(&mut connection, Leased::Sorter, ONE, LONG)
        .unwrap()
        .unwrap();
    assert_eq!(column::<i64>(&row, FIRST_COLUMNS).unwrap(), 29);
    assert_eq!(
        column::<Vec<i64>>(&row, FIRST_COLUMNS + 1).unwrap(),
        [1, 2, 3, 4]
    );
    let server_ms: i64 = column(&row, 1).unwrap();
    let since = server.sql(
        &database,
        "SELECT floor(extract(epoch FROM now() - '2025-01-01Z'::timestamptz) * 1000)::bigint",
    );
    assert!(
        since.parse::<i64>().unwrap().abs_diff(server_ms) < 600_000,
        "{since} {server_ms}"
    );
}
