//! A fleet with an API to deliver to, and relays as real processes.

use std::process::Command;

use meditopia::Fields;
use meditopia_testkit::ledger::{Arrivals, Event, first_disorder, lost_events};
use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::Service;
use meditopia_testkit::wait::wait_until;

use super::host::{Host, new_fleet_for};

/// A fleet of this many lanes, unless a test says otherwise.
pub const LANES: usize = 4;

enum Server {
    /// With other tests.
    Shared(&'static PostgresServer),
    Own(PostgresServer),
}

/// A database with a fleet, and what its events are delivered to.
pub struct Fleet {
    server: Server,
    database: String,
    pub api: Sandbox,
}

impl Fleet {
    pub fn new() -> Self {
        Self::with_api(Sandbox::start())
    }

    pub fn with_api(api: Sandbox) -> Self {
        Self::on(Server::Shared(PostgresServer::shared()), api)
    }

    /// On a server of its own, which may be crashed.
    pub fn with_server(server: PostgresServer) -> Self {
        Self::on(Server::Own(server), Sandbox::start())
    }

    fn on(server: Server, api: Sandbox) -> Self {
        let database = new_fleet_for(server.get(), api.endpoint(), LANES);
        Self {
            server,
            database,
            api,
        }
    }

    /// Crashes the server, and starts it again.
    pub fn crash_server(&mut self) {
        let Server::Own(server) = &mut self.server else {
            panic!("other tests use this server");
        };
        server.crash();
        server.run();
    }

    /// Ends every other connection to the database.
    pub fn cut_connections(&self) {
        self.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND datname = current_database()",
        );
    }

    pub fn host(&self) -> Host {
        Host::for_endpoint(self.server.get(), &self.database, self.api.endpoint())
    }

    /// The command of a relay.
    pub fn relay_command(&self, name: &str) -> Command {
        relay_command(&self.server.get().url(&self.database), &self.api, name)
    }

    /// Starts a relay.
    pub fn relay(&self, name: &str) -> Service {
        Service::start(self.relay_command(name))
    }

    pub fn sql(&self, sql: &str) -> String {
        self.server.get().sql(&self.database, sql)
    }

    /// How many lanes each relay owns, in order of their names.
    pub fn lanes_owned(&self) -> Vec<(String, usize)> {
        let counts = self.sql(
            "SELECT r.name, count(*) FROM meditopia.lane l JOIN meditopia.relay r ON r.id = l.owner
             WHERE l.lease_until > clock_timestamp() GROUP BY r.name ORDER BY r.name",
        );
        let count = |line: &str| {
            let (name, count) = line.split_once('|').unwrap();
            (name.to_owned(), count.parse().unwrap())
        };
        counts.lines().map(count).collect()
    }

    /// Waits until each of these relays owns so many lanes, and no other relay owns one.
    pub fn wait_for_lanes(&self, wanted: &[(&str, usize)]) {
        let wanted: Vec<_> = wanted.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        wait_until(&format!("{wanted:?} lanes are owned"), || {
            self.lanes_owned() == wanted
        });
    }

    /// Has others forget a dead relay of this name, and lets the leases end that it has left, as time would.
    pub fn forget_relay(&self, name: &str) {
        self.sql(&format!(
            "DELETE FROM meditopia.relay WHERE name = '{name}'"
        ));
        // One may be of a relay that died before it had a row.
        for table in ["lane", "sorter"] {
            self.sql(&format!(
                "UPDATE meditopia.{table} t SET lease_until = '-infinity'
                 WHERE NOT EXISTS (SELECT FROM meditopia.relay r WHERE r.id = t.owner)"
            ));
        }
    }

    /// Waits until nothing is left in the database that a relay could deliver.
    pub fn wait_until_drained(&self) {
        wait_until("the database is drained", || {
            self.sql("SELECT (SELECT count(*) FROM meditopia.parcel) + (SELECT count(*) FROM meditopia.run)")
                == "0"
        });
    }

    /// Checks the API's ledger: every one of these events has arrived, each user's in their order, and what came twice
    /// came in a repetition of its whole request.
    pub fn assert_delivered(&self, enqueued: &[Event]) -> Arrivals {
        let arrivals = Arrivals::from_sandbox(&self.api);
        let delivered = arrivals.first_appearances();
        let lost = lost_events(enqueued, &[&delivered]);
        assert!(lost.is_empty(), "lost: {lost:?}");
        arrivals.assert_only_whole_requests_came_twice();
        for (user, numbers) in &delivered {
            assert_eq!(first_disorder(numbers), None, "{user}");
        }
        arrivals
    }
}

impl Server {
    fn get(&self) -> &PostgresServer {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
        }
    }
}

/// The command of a relay of a fleet at this URL. Its timeouts are short, so that its leases are.
pub fn relay_command(url: &str, api: &Sandbox, name: &str) -> Command {
    let mut command = meditopia();
    command
        .args(["run", "--store", url, "--listen", "127.0.0.1:0"])
        .env("MEDITOPIA_ENDPOINT", api.endpoint())
        .env("MEDITOPIA_BEARER_TOKEN", api.token())
        .env("MEDITOPIA_RELAY_NAME", name)
        .env("MEDITOPIA_CONNECT_TIMEOUT_MS", "1000")
        .env("MEDITOPIA_REQUEST_TIMEOUT_MS", "1000")
        .env("MEDITOPIA_FLUSH_INTERVAL_MS", "20");
    command
}

/// Numbers the events of some users, in the order in which they are enqueued.
#[derive(Default)]
pub struct Numbers {
    next: u64,
    pub enqueued: Vec<Event>,
}

/// Over so many users, which is more than there are lanes.
const USERS: u64 = 20;

impl Numbers {
    /// Enqueues so many events at a host.
    pub fn enqueue(&mut self, host: &Host, events: u64) {
        for _ in 0..events {
            let (user, number) = self.draw();
            let fields = Fields {
                token: "token",
                partner_user_id: &user,
                event: "video",
                event_value: Some(&number.to_string()),
                received_at: None,
            };
            host.client.enqueue(&fields).unwrap();
            self.enqueued.push((user, number));
        }
    }

    /// Enqueues so many events by SQL, in one transaction.
    pub fn enqueue_by_sql(&mut self, fleet: &Fleet, events: u64) {
        let drawn: Vec<Event> = (0..events).map(|_| self.draw()).collect();
        let calls = drawn.iter().map(|(user, number)| {
            format!("SELECT meditopia.enqueue('token', '{user}', 'video', '{number}');\n")
        });
        fleet.sql(&format!("BEGIN;\n{}COMMIT;", calls.collect::<String>()));
        self.enqueued.extend(drawn);
    }

    fn draw(&mut self) -> Event {
        self.next += 1;
        (format!("u{}", self.next % USERS), self.next)
    }

    pub fn count(&self) -> u64 {
        self.next
    }
}
