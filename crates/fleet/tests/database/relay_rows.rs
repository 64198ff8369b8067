//! What relays know of each other, and what the one that sorts clears up.

use std::time::Duration;

use meditopia_fleet::members;
use meditopia_fleet::relay::housekeeping::Housekeeping;
use meditopia_fleet::relay::lease::{Lease, Leased};
use meditopia_fleet::relay::shares::{Move, Standing};
use meditopia_fleet::relay::sign_of_life::{Blocked, SignOfLife, read_table};

use crate::fleet::{connect, set_up};

#[test]
fn a_relay_is_alive_while_it_says_so_and_its_row_goes_when_it_ends() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let (one, other) = (SignOfLife::new("relay-1"), SignOfLife::new("relay-2"));
    assert_ne!(one.id(), other.id());
    one.keep(&mut connection, None).unwrap();
    let blocked = Blocked {
        why: "A_1004".to_owned(),
        probe_in: Duration::from_secs(300),
    };
    other.keep(&mut connection, Some(&blocked)).unwrap();
    let table = read_table(&mut connection).unwrap();
    assert_eq!(table.relays[one.id()], Standing::Able);
    assert_eq!(table.relays[other.id()], Standing::Blocked);
    assert_eq!(table.relays.len(), 2);
    let listed = members::relays(&mut connection).unwrap();
    assert_eq!(listed[1].blocked.as_deref(), Some("A_1004"));
    assert!(listed[1].blocked_until_ms.unwrap() > listed[1].seen_ms);
    // The block is over, and the other one is silent.
    server.sql(
        &database,
        "UPDATE meditopia.relay SET seen = now() - interval '11 s'",
    );
    other.keep(&mut connection, None).unwrap();
    let table = read_table(&mut connection).unwrap();
    assert_eq!(table.relays.keys().collect::<Vec<_>>(), [other.id()]);
    assert_eq!(table.relays[other.id()], Standing::Able);
    other.remove(&mut connection).unwrap();
    assert!(read_table(&mut connection).unwrap().relays.is_empty());
}

#[test]
fn the_table_has_each_lane_with_its_owner_and_a_lane_whose_lease_has_ended_is_free() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let relay = SignOfLife::new("relay-1");
    relay.keep(&mut connection, None).unwrap();
    let mut leases = Vec::new();
    while let Some(Move::Take(lane)) = read_table(&mut connection).unwrap().next_move(relay.id()) {
        let length = Duration::from_secs(60);
        let taken = Lease::take(&mut connection, Leased::Lane(lane), relay.id(), length).unwrap();
        leases.push(taken.unwrap().0);
    }
    let owned = vec![Some(relay.id().to_owned()); 4];
    assert_eq!(read_table(&mut connection).unwrap().lanes, owned);
    server.sql(
        &database,
        "UPDATE meditopia.lane SET lease_until = now() - interval '1 s' WHERE lane = 2",
    );
    let last = leases.pop().unwrap();
    assert_eq!(last.leased, Leased::Lane(3));
    last.give_up(&mut connection).unwrap();
    let lanes = read_table(&mut connection).unwrap().lanes;
    assert_eq!(lanes, [owned[0].clone(), owned[0].clone(), None, None]);
}

#[test]
fn housekeeping_clears_up_what_is_old_and_nothing_else() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for (number, days) in [(1, 2), (2, 0)] {
        server.sql(
            &database,
            &format!(
                "INSERT INTO meditopia.relay (id, name, version, seen)
                   VALUES ('00000000-0000-0000-0000-00000000000{number}', 'relay-{number}', '1', now() - interval '{days} days');
                 INSERT INTO meditopia.command (lane, command, answer, given) VALUES
                   ({number}, '{{}}', '{{}}', now() - interval '{days} days'), ({number}, '{{}}', NULL, now() - interval '{days} days');
                 SELECT meditopia.begin_spool('10000000-0000-0000-0000-00000000000{number}', 'web', '1');
                 UPDATE meditopia.spool SET closed = true, seen = now() - interval '1 day' * 20 * {days}"
            ),
        );
        server.sql(
            &database,
            "UPDATE meditopia.spool SET seen = now() - interval '31 days' WHERE id::text LIKE '%1'",
        );
    }
    let partitions =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'meditopia.receipt'::regclass";
    let newest = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhrelid::regclass::text ~ '[0-9]$'";
    let table = server.sql(&database, newest);
    server.sql(&database, &format!("DROP TABLE {table}"));
    let mut housekeeping = Housekeeping::new(7);
    assert!(housekeeping.is_due());
    housekeeping.keep(&mut connection).unwrap();
    assert!(!housekeeping.is_due());
    assert_eq!(
        server.sql(&database, "SELECT name FROM meditopia.relay"),
        "relay-2"
    );
    let commands = "SELECT lane, answer IS NULL FROM meditopia.command ORDER BY 1, 2";
    assert_eq!(server.sql(&database, commands), "1|t\n2|f\n2|t");
    assert_eq!(
        server.sql(&database, "SELECT right(id::text, 1) FROM meditopia.spool"),
        "2"
    );
    assert_eq!(server.sql(&database, partitions), "9");
}

#[test]
fn a_dump_of_the_receipts_delays_their_housekeeping_and_no_delivery() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let newest = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhrelid::regclass::text ~ '[0-9]$'";
    let table = server.sql(&database, newest);
    server.sql(&database, &format!("DROP TABLE {table}"));
    let mut dump = connect(&server.url(&database));
    dump.run_script("BEGIN; SELECT count(*) FROM meditopia.receipt")
        .unwrap();
    let mut housekeeping = Housekeeping::new(7);
    let failure = housekeeping.keep(&mut connection).unwrap_err();
    assert!(failure.is_refused_with("55P03"), "{failure}");
    // Not before a while has passed, and what delivers does not wait for the dump.
    assert!(!housekeeping.is_due());
    server.sql(
        &database,
        "INSERT INTO meditopia.receipt VALUES (0, 1, 1, 204, 1, 1, '')",
    );
}
