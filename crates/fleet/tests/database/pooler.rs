//! Through a PgBouncer in transaction mode: each statement may run on another connection of the server.

use meditopia_fleet::connection::column;
use meditopia_fleet::failure::STEP_LOST;
use meditopia_fleet::place::Place;
use meditopia_fleet::schema;
use meditopia_testkit::pgbouncer::PgBouncer;
use meditopia_testkit::postgres_server::PostgresServer;

use crate::fleet::{connect, plan};
use crate::forward::{begin_spool, forward, parcel};

#[test]
fn everything_works_through_a_pooler_in_transaction_mode() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let pooler = PgBouncer::start(server, 2);
    let url = pooler.url(&database);
    schema::install(&mut connect(&url), &plan()).unwrap();
    // More clients than connections of the server, by turns.
    let mut connections: Vec<_> = (0..5).map(|_| connect(&url)).collect();
    let mut servers = std::collections::BTreeSet::new();
    for round in 0..20 {
        for (number, connection) in connections.iter_mut().enumerate() {
            Place::of(connection).unwrap();
            let spool = format!("00000000-0000-0000-0000-00000000000{number}");
            let (step, _) = begin_spool(connection, &spool).unwrap();
            assert_eq!(step, round);
            let parcels = [parcel(1)];
            assert_eq!(
                forward(connection, &spool, step, b"x", &parcels).unwrap(),
                step + 1
            );
            let lost = forward(connection, &spool, step, b"y", &parcels).unwrap_err();
            assert!(lost.is_refused_with(STEP_LOST), "{lost}");
            let row = connection
                .query_one("SELECT pg_backend_pid()", &[])
                .unwrap();
            servers.insert(column::<i32>(&row, 0).unwrap());
        }
    }
    assert!(servers.len() <= 2, "{servers:?}");
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.parcel"),
        "100"
    );
}
