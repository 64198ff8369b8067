//! Every statement of a relay, with no more rights than its role has, and through a pooler in transaction mode.

use std::time::Duration;

use meditopia_fleet::relay::housekeeping::Housekeeping;
use meditopia_fleet::relay::lease::{Lease, Leased};
use meditopia_fleet::relay::pool::Pool;
use meditopia_fleet::relay::sign_of_life::{SignOfLife, read_table};
use meditopia_fleet::relay::sorter::Sorter;
use meditopia_testkit::pgbouncer::PgBouncer;
use meditopia_testkit::postgres_server::PostgresServer;

use crate::fleet::{address, set_up};

const LONG: Duration = Duration::from_secs(60);

fn work_as_relay(server: &PostgresServer, database: &str, url: &str) {
    let pool = Pool::new(address(url), 2);
    let relay = SignOfLife::new("relay-1");
    server.sql(
        database,
        "SELECT meditopia.enqueue('t', 'u-1', 'video'), meditopia.enqueue('t', 'u-2', 'video');
         UPDATE meditopia.parcel SET checksum = 'x' WHERE id = 2",
    );
    let round = pool.with(|connection| {
        relay.keep(connection, None)?;
        assert_eq!(read_table(connection)?.relays.len(), 1);
        let (mut lease, _) = Lease::take(connection, Leased::Lane(0), relay.id(), LONG)?.unwrap();
        lease.renew(connection, LONG)?;
        lease.read_again(connection, LONG)?.unwrap();
        assert!(lease.give_up(connection)?);
        let mut sorter = Sorter::take(connection, relay.id())?.unwrap();
        let round = sorter.round(connection)?;
        assert!(sorter.read_again(connection)?);
        sorter.look(connection)?;
        assert!(sorter.give_up(connection)?);
        Housekeeping::new(7).keep(connection)?;
        relay.remove(connection)?;
        Ok(round)
    });
    let round = round.unwrap();
    assert_eq!((round.events, round.damaged.len()), (1, 1));
    let left =
        "SELECT (SELECT count(*) FROM meditopia.parcel), (SELECT count(*) FROM meditopia.run),
      (SELECT count(*) FROM meditopia.damaged_parcel), (SELECT count(*) FROM meditopia.relay)";
    assert_eq!(server.sql(database, left), "0|1|1|0");
}

#[test]
fn a_relay_needs_no_more_rights_than_its_role() {
    let (server, database) = set_up();
    let user = format!("worker_{database}");
    let role = format!("CREATE ROLE {user} LOGIN IN ROLE meditopia_relay");
    server.sql(&database, &role);
    work_as_relay(server, &database, &server.url_as(&user, &database));
}

#[test]
fn a_relay_works_through_a_pooler_in_transaction_mode() {
    let (server, database) = set_up();
    let pooler = PgBouncer::start(server, 2);
    work_as_relay(server, &database, &pooler.url(&database));
}
