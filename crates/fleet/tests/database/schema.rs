//! The schema: what a DBA can run by hand, and which database it is.

use meditopia_fleet::failure::WRONG_PLACE;
use meditopia_fleet::place::{self, Place};
use meditopia_fleet::schema::{self, VERSION, install_script};
use meditopia_testkit::postgres_server::{PostgresServer, SUPERUSER, program};

use crate::fleet::{connect, plan, set_up};

#[test]
fn a_fleet_that_is_set_up_says_what_it_is() {
    let (server, database) = set_up();
    let place = Place::of(&mut connect(&server.url(&database))).unwrap();
    assert_eq!(place.version, VERSION);
    assert_eq!(place.lanes, plan().lanes);
    assert_eq!(place.endpoint, plan().endpoint);
    assert_eq!(place.account, plan().account);
    assert!(place.is_at_home);
}

#[test]
fn a_database_that_has_a_fleet_gets_no_second_one_and_a_failed_setup_leaves_nothing() {
    let (server, database) = set_up();
    let before = catalogue(server, &database);
    let refused = schema::install(&mut connect(&server.url(&database)), &plan()).unwrap_err();
    assert!(
        refused.message().contains("has a schema meditopia already"),
        "{refused}"
    );
    assert_eq!(catalogue(server, &database), before);

    let empty = server.create_database();
    let wrong = schema::Plan {
        utc_offset_minutes: 2_000,
        ..plan()
    };
    schema::install(&mut connect(&server.url(&empty)), &wrong).unwrap_err();
    assert_eq!(
        server.sql(&empty, "SELECT to_regnamespace('meditopia') IS NULL"),
        "t"
    );
}

#[test]
fn what_a_dba_runs_by_hand_makes_the_same_catalogue_as_init() {
    let (server, database) = set_up();
    let by_hand = server.create_database();
    server.sql(&by_hand, &install_script(&plan()));
    assert_eq!(catalogue(server, &by_hand), catalogue(server, &database));
    let rows = "SELECT version, lanes, endpoint, account, max_event_bytes, database = current_database() FROM meditopia.meta;
      SELECT count(*), min(lane), max(lane) FROM meditopia.lane; SELECT appended FROM meditopia.sorter";
    assert_eq!(server.sql(&by_hand, rows), server.sql(&database, rows));
    Place::of(&mut connect(&server.url(&by_hand))).unwrap();
}

#[test]
fn an_ordinary_user_who_may_create_roles_can_set_a_fleet_up() {
    let server = PostgresServer::start();
    let database = server.create_database();
    server.sql(
        &database,
        &format!("CREATE ROLE dba LOGIN CREATEROLE; GRANT CREATE ON DATABASE {database} TO dba"),
    );
    let mut connection = connect(&server.url_as("dba", &database));
    schema::install(&mut connection, &plan()).unwrap();
    assert_eq!(schema::upgrade(&mut connection).unwrap(), VERSION);
    place::adopt(&mut connection, None, None).unwrap();
    // Once more in the same server, whose roles are there already.
    let second = server.create_database();
    server.sql(
        &second,
        &format!("GRANT CREATE ON DATABASE {second} TO dba"),
    );
    let mut connection = connect(&server.url_as("dba", &second));
    schema::install(&mut connection, &plan()).unwrap();
}

#[test]
fn a_database_in_another_encoding_is_refused_with_what_to_do() {
    let server = PostgresServer::shared();
    server.sql(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    );
    let refused = schema::install(&mut connect(&server.url("latin")), &plan()).unwrap_err();
    assert!(refused.message().contains("ENCODING 'UTF8'"), "{refused}");
}

#[test]
fn a_copy_of_the_database_is_refused_until_it_is_adopted() {
    let (server, database) = set_up();
    let copy = format!("{database}_staging");
    server.sql(
        "postgres",
        &format!("CREATE DATABASE {copy} TEMPLATE {database}"),
    );
    let mut connection = connect(&server.url(&copy));
    let refused = Place::of(&mut connection).unwrap_err();
    assert!(refused.is_refused_with(WRONG_PLACE), "{refused}");
    assert!(refused.message().contains("meditopia fleet adopt"));
    place::adopt(&mut connection, Some("https://other.example/"), None).unwrap();
    let place = Place::of(&mut connection).unwrap();
    assert_eq!(place.endpoint, "https://other.example/");
    assert_eq!(place.account, plan().account);

    // The same name on another server.
    server.sql(
        &copy,
        "UPDATE meditopia.meta SET system_identifier = system_identifier + 1",
    );
    let refused = Place::of(&mut connection).unwrap_err();
    assert!(refused.is_refused_with(WRONG_PLACE), "{refused}");
}

#[test]
fn a_database_without_a_fleet_and_a_newer_one_are_refused_with_what_to_do() {
    let (server, database) = set_up();
    let empty = server.create_database();
    let refused = Place::of(&mut connect(&server.url(&empty))).unwrap_err();
    assert!(
        refused.message().contains("meditopia fleet init"),
        "{refused}"
    );
    server.sql(&database, "CREATE ROLE stranger LOGIN");
    let refused = Place::of(&mut connect(&server.url_as("stranger", &database))).unwrap_err();
    assert!(refused.message().contains("meditopia_forward"), "{refused}");
    server.sql(
        &database,
        &format!("UPDATE meditopia.meta SET version = {VERSION} + 1"),
    );
    let refused = Place::of(&mut connect(&server.url(&database))).unwrap_err();
    assert!(refused.message().contains("use a newer one"), "{refused}");
}

#[test]
fn receipts_are_kept_by_the_day_and_dropped_whole() {
    let (server, database) = set_up();
    let partitions =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'meditopia.receipt'::regclass";
    // A day each for today and the next seven, and one for every other time.
    assert_eq!(server.sql(&database, partitions), "9");
    let today = server.sql(
        &database,
        "SELECT floor(extract(epoch FROM now()) / 86400)::bigint",
    );
    let old = today.parse::<i64>().unwrap() - 9;
    let (from, to) = (old * 86_400_000, (old + 1) * 86_400_000);
    server.sql(
        &database,
        &format!(
            "CREATE TABLE meditopia.receipt_{old} PARTITION OF meditopia.receipt FOR VALUES FROM ({from}) TO ({to});
             INSERT INTO meditopia.receipt VALUES (0, 1, {from}, 204, 1, 1, '')"
        ),
    );
    server.sql(&database, "SELECT meditopia.keep_receipts(9)");
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.receipt"),
        "1"
    );
    server.sql(&database, "SELECT meditopia.keep_receipts(8)");
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.receipt"),
        "0"
    );
    assert_eq!(server.sql(&database, partitions), "9");
}

/// Everything in the schema, its owners and rights.
fn catalogue(server: &PostgresServer, database: &str) -> String {
    let dumped = std::process::Command::new(program("pg_dump"))
        .args(["--schema-only", "--schema=meditopia", "--host"])
        .arg(server.dir())
        .args([
            "--port",
            &server.port().to_string(),
            "--username",
            SUPERUSER,
            database,
        ])
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{dumped:?}");
    let text = String::from_utf8(dumped.stdout).unwrap();
    assert!(text.contains("CREATE TABLE meditopia.parcel") && text.contains("meditopia_forward"));
    // These lines have a random word.
    let lines = text.lines().filter(|line| !line.starts_with("\\"));
    lines.collect::<Vec<_>>().join("\n")
}
