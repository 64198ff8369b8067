//! Parcels that are damaged, or that the server cannot read.

use std::os::unix::fs::FileExt;

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::repository_path;

use super::{ONE, count_in_lanes, drain, hand_in, parcel, take};
use crate::fleet::{connect, plan, set_up};

#[test]
fn a_damaged_parcel_is_set_aside_and_reported_and_the_others_go_on() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(
        &mut connection,
        &[parcel(0..10), parcel(10..30), parcel(30..70)],
    );
    let before = "SELECT md5(body), encode(slots, 'hex'), encode(checksum, 'hex'), events, spool FROM meditopia.";
    server.sql(
        &database,
        "UPDATE meditopia.parcel SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE id = 2",
    );
    let row = server.sql(&database, &format!("{before}parcel WHERE id = 2"));
    let mut sorter = take(&mut connection, ONE);
    let round = sorter.round(&mut connection).unwrap();
    assert_eq!((round.parcels, round.events), (2, 50));
    let [damaged] = &round.damaged[..] else {
        panic!("{round:?}");
    };
    assert_eq!((damaged.id, damaged.events), (2, 20));
    assert_eq!(damaged.spool.as_deref(), Some(super::SPOOL));
    assert_eq!(count_in_lanes(&mut connection), 50);
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.parcel"),
        "0"
    );
    assert_eq!(
        server.sql(
            &database,
            &format!("{before}damaged_parcel WHERE parcel = 2")
        ),
        row
    );
    // Its bytes are good after all: it goes over as the page says.
    server.sql(
        &database,
        "UPDATE meditopia.damaged_parcel SET body = set_byte(body, 40, get_byte(body, 40) # 1)",
    );
    let page = std::fs::read_to_string(repository_path("docs/fleet.md")).unwrap();
    let advice = page
        .split("```sql\n")
        .find(|block| block.starts_with("WITH gone AS"));
    let (advice, _) = advice.unwrap().split_once("```").unwrap();
    server.sql(&database, advice);
    let round = sorter.round(&mut connection).unwrap();
    assert_eq!(
        (round.parcels, round.events, round.damaged.len()),
        (1, 20, 0)
    );
    assert_eq!(count_in_lanes(&mut connection), 70);
    // One that is damaged alone, with the id of an earlier one.
    server.sql(
        &database,
        "INSERT INTO meditopia.parcel (id, events, body, slots, checksum) VALUES (2, 1, 'x', 'y', 'z')",
    );
    let round = sorter.round(&mut connection).unwrap();
    assert_eq!((round.parcels, round.runs, round.damaged.len()), (0, 0, 1));
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.damaged_parcel"),
        "1"
    );
}

#[test]
fn a_damaged_parcel_stays_where_it_is_when_the_sorter_has_lost_its_lease() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    hand_in(&mut connection, &[parcel(0..10)]);
    server.sql(&database, "UPDATE meditopia.parcel SET slots = '\\x00'");
    let mut old = take(&mut connection, ONE);
    let read = old.read(&mut connection).unwrap();
    super::end_lease(server, &database);
    take(&mut connection, super::OTHER);
    old.commit(&mut connection, read).unwrap_err();
    let counts = "SELECT (SELECT count(*) FROM meditopia.parcel), (SELECT count(*) FROM meditopia.damaged_parcel)";
    assert_eq!(server.sql(&database, counts), "1|0");
}

#[test]
fn a_parcel_that_the_server_cannot_read_stays_and_is_reported_and_the_others_go_on() {
    let mut server = PostgresServer::start_with(&["autovacuum = off"]);
    let database = server.create_database();
    meditopia_fleet::schema::install(&mut connect(&server.url(&database)), &plan()).unwrap();
    let mut connection = connect(&server.url(&database));
    // Compressed, and small enough to stay in its row.
    server.sql(
        &database,
        "ALTER TABLE meditopia.parcel ALTER body SET COMPRESSION pglz",
    );
    hand_in(
        &mut connection,
        &[parcel(0..10), parcel(10..45), parcel(50..60)],
    );
    assert_eq!(
        server.sql(
            &database,
            "SELECT pg_column_size(body) < octet_length(body) FROM meditopia.parcel WHERE id = 2"
        ),
        "t"
    );
    let file = server.sql(&database, "SELECT pg_relation_filepath('meditopia.parcel')");
    server.sql(&database, "CHECKPOINT");
    let path = server.dir().join("data").join(file);
    server.stop();
    let mut bytes = std::fs::read(&path).unwrap();
    // The page's second line pointer has the place of its second row. The body begins behind 60 bytes of it.
    let pointer = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
    let row = (pointer & 0x7fff) as usize;
    bytes[row + 150..row + 300].fill(0xff);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(&bytes, 0)
        .unwrap();
    server.run();
    let mut connection = connect(&server.url(&database));
    assert!(
        !server
            .psql(
                &database,
                "SELECT sum(length(md5(body))) FROM meditopia.parcel"
            )
            .status
            .success()
    );
    let mut sorter = take(&mut connection, ONE);
    let rounds = drain(&mut connection, &mut sorter);
    let unreadable: Vec<_> = rounds
        .iter()
        .filter_map(|round| round.unreadable.clone())
        .collect();
    let [(2, why)] = &unreadable[..] else {
        panic!("{rounds:?}");
    };
    assert!(why.contains("compressed"), "{why}");
    assert_eq!(count_in_lanes(&mut connection), 20);
    assert_eq!(
        server.sql(&database, "SELECT id FROM meditopia.parcel"),
        "2"
    );
    hand_in(&mut connection, &[parcel(60..70)]);
    drain(&mut connection, &mut sorter);
    assert_eq!(count_in_lanes(&mut connection), 30);
}
