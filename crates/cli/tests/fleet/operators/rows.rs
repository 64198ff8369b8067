//! A fleet with events of a user wherever they can be, and the owner of a lane who answers.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use meditopia::internals::dispatch::lane_of;
use meditopia::internals::store::{InDoubt, SavedLane};
use meditopia_fleet::address::{Address, StoreOptions};
use meditopia_fleet::command::{self, Answer, Command};
use meditopia_fleet::connection::Connection;
use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use serde_json::Value;

use crate::host::{new_fleet, said};

pub const LANES: usize = 4;
/// The time that events of the fleet are of.
pub const LONG_AGO_MS: i64 = 1_722_956_645_000;

pub struct Fleet {
    pub server: &'static PostgresServer,
    pub database: String,
}

pub fn lane(user: &str) -> usize {
    lane_of(user.as_bytes(), LANES)
}

fn event(user: &str) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","received_at":"2024-08-06 15:04:05"}}"#
    )
}

impl Fleet {
    pub fn new() -> Self {
        let server = PostgresServer::shared();
        let database = new_fleet(server);
        Self { server, database }
    }

    pub fn url(&self) -> String {
        self.server.url(&self.database)
    }

    pub fn sql(&self, statement: &str) -> String {
        self.server.sql(&self.database, statement)
    }

    /// The command, about this fleet.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = meditopia();
        command.args(arguments).args(["--store", &self.url()]);
        command.output().unwrap()
    }

    /// What it says, which succeeds.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 0)
    }

    /// What it says, which ends with this status.
    #[track_caller]
    pub fn ends(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        said
    }

    /// The objects of a list.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.done(&[arguments, &["--json"]].concat());
        let lines = said.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A run of a user's lane with so many events.
    pub fn sorted(&self, user: &str, run: i64, events: usize) {
        let body = vec![event(user); events].join(",");
        let (lane, length) = (lane(user), event(user).len());
        self.sql(&format!(
            "INSERT INTO meditopia.run (lane, queue, id, origin, events, body, slots, checksum)
             SELECT {lane}, 0, {run}, {run}, {events}, body, slots, substr(sha256(slots || body), 1, 8) FROM (
               SELECT convert_to('{body}', 'UTF8') AS body, string_agg(int4send({length}) || int8send({LONG_AGO_MS}), '') AS slots
               FROM generate_series(1, {events})) AS made;
             UPDATE meditopia.sorter SET last_run = {run}, appended[{lane} + 1] = appended[{lane} + 1] + {events}"
        ));
    }

    pub fn rejected(&self, id: i64, user: &str, code: &str) {
        let (lane, event) = (lane(user), event(user));
        self.sql(&format!(
            "INSERT INTO meditopia.rejected VALUES ({id}, {lane}, '{user}', convert_to('{event}', 'UTF8'), 0, false, '{code}',
               'Unknown user.', 400, 1, {LONG_AGO_MS}, {LONG_AGO_MS} + {id})"
        ));
    }

    /// The first events of a user's lane are in doubt.
    pub fn in_doubt(&self, user: &str, events: u32) {
        let mut saved = SavedLane::default();
        saved.state.in_doubt = Some(InDoubt {
            queue: 0,
            events,
            attempts: 3,
            first_ms: LONG_AGO_MS,
            last_ms: LONG_AGO_MS,
            status: Some(503),
        });
        let state: String = saved
            .encode_state()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.sql(&format!(
            "UPDATE meditopia.lane SET state = '\\x{state}', in_doubt_since_ms = {LONG_AGO_MS} WHERE lane = {}",
            lane(user)
        ));
    }

    /// A relay that is alive and owns every lane.
    pub fn relay(&self, blocked: Option<&str>) {
        let blocked = blocked.map_or("NULL".to_owned(), |why| format!("'{why}'"));
        self.sql(&format!(
            "INSERT INTO meditopia.relay VALUES ('b81bc81b-dead-4e5d-abff-90865d1e13b1', 'relay-1', '1.0', now() + interval '1 hour', {blocked});
             UPDATE meditopia.lane SET owner = 'b81bc81b-dead-4e5d-abff-90865d1e13b1', lease_until = now() + interval '1 hour'"
        ));
    }

    pub fn host_behind(&self) {
        self.sql(&format!(
            "SELECT meditopia.begin_spool('a81bc81b-dead-4e5d-abff-90865d1e13b1', 'web-7', '1.0');
             UPDATE meditopia.spool SET behind_bytes = 2048, behind_since_ms = {LONG_AGO_MS}"
        ));
    }

    /// The owner of all lanes: answers every command, and says at its end which they were.
    pub fn owner(&self, answer: Answer) -> Owner {
        let options = StoreOptions {
            url: self.url().as_str().into(),
            ca_file: None,
            allow_plaintext: false,
        };
        let address = Address::read(&options).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut connection = Connection::open(&address).unwrap();
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for row in command::waiting(&mut connection, &[0, 1, 2, 3]).unwrap() {
                    command::answer(&mut connection, row.asked, &answer).unwrap();
                    seen.push((row.asked.lane, row.command.unwrap()));
                }
                sleep(Duration::from_millis(20));
            }
            seen
        });
        Owner { stop, thread }
    }
}

pub struct Owner {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(i16, Command)>>,
}

impl Owner {
    pub fn end(self) -> Vec<(i16, Command)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
