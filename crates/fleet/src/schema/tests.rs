use meditopia_testkit::postgres_server::PostgresServer;

use super::*;
use crate::address::{Address, StoreOptions};

fn connect(url: &str) -> Connection {
    let options = StoreOptions {
        url: url.into(),
        ca_file: None,
        allow_plaintext: false,
    };
    Connection::open(&Address::read(&options).unwrap()).unwrap()
}

fn set_up() -> (&'static PostgresServer, String) {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let plan = Plan {
        lanes: 2,
        endpoint: String::new(),
        account: "it's \\ 'here'".to_owned(),
        utc_offset_minutes: 0,
        max_event_bytes: 256,
    };
    install(&mut connect(&server.url(&database)), &plan).unwrap();
    assert_eq!(
        server.sql(&database, "SELECT account FROM meditopia.meta"),
        plan.account
    );
    (server, database)
}

const SECOND: Step = Step(&["CREATE TABLE meditopia.second (a int); SELECT pg_sleep(0.1);"]);
const FAILING: Step = Step(&["CREATE TABLE meditopia.third (a int); SELECT 1 / 0;"]);

#[test]
fn an_upgrade_takes_each_missing_step_or_none_and_two_at_once_take_them_once() {
    let (server, database) = set_up();
    let url = server.url(&database);
    let version = || server.sql(&database, "SELECT version FROM meditopia.meta");
    assert_eq!(upgrade(&mut connect(&url)).unwrap(), VERSION);

    upgrade_by(&mut connect(&url), &[STEPS[0], SECOND, FAILING]).unwrap_err();
    assert_eq!(version(), "1");
    assert_eq!(
        server.sql(&database, "SELECT to_regclass('meditopia.second') IS NULL"),
        "t"
    );

    let upgrades = [(); 3].map(|()| {
        let mut connection = connect(&url);
        std::thread::spawn(move || upgrade_by(&mut connection, &[STEPS[0], SECOND]))
    });
    let outcomes = upgrades.map(|upgrade| upgrade.join().unwrap());
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(refused.is_refused_with("MD005"), "{refused}");
    }
    assert_eq!(version(), "2");
    let right = "SELECT has_table_privilege('meditopia_read', 'meditopia.second', 'SELECT')";
    assert_eq!(server.sql(&database, right), "t");
    let newer = upgrade(&mut connect(&url)).unwrap_err();
    assert!(newer.message().contains("use a newer one"), "{newer}");
}
