//! A fleet in a database of the test's own.

use meditopia_fleet::address::{Address, StoreOptions};
use meditopia_fleet::connection::Connection;
use meditopia_fleet::schema::{self, Plan};
use meditopia_testkit::postgres_server::PostgresServer;

pub fn address(url: &str) -> Address {
    let options = StoreOptions {
        url: url.into(),
        ca_file: None,
        allow_plaintext: false,
    };
    Address::read(&options).unwrap()
}

pub fn connect(url: &str) -> Connection {
    Connection::open(&address(url)).unwrap()
}

pub fn plan() -> Plan {
    Plan {
        lanes: 4,
        endpoint: "https://api.example/v1/events".to_owned(),
        account: "the shop's".to_owned(),
        utc_offset_minutes: 0,
        max_event_bytes: 65_536,
    }
}

/// A database with a fleet on the server that tests share.
pub fn set_up() -> (&'static PostgresServer, String) {
    let server = PostgresServer::shared();
    (server, set_up_on(server))
}

/// The same on another server.
pub fn set_up_on(server: &PostgresServer) -> String {
    let database = server.create_database();
    schema::install(&mut connect(&server.url(&database)), &plan()).unwrap();
    database
}
