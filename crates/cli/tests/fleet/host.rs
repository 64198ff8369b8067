//! A database with a fleet, and a host that forwards to it.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use meditopia::{Client, Fields};
use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::wait_until;
use serde_json::Value;

pub const ENDPOINT: &str = "https://api.example/v1/events";

/// Makes a database with a fleet on this server.
pub fn new_fleet(server: &PostgresServer) -> String {
    new_fleet_for(server, ENDPOINT, 4)
}

/// The same for this endpoint, with so many lanes.
pub fn new_fleet_for(server: &PostgresServer, endpoint: &str, lanes: usize) -> String {
    let database = server.create_database();
    let made = meditopia()
        .args(["fleet", "init", "--lanes", &lanes.to_string()])
        .args(["--endpoint", endpoint])
        .args(["--store", &server.url(&database)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    database
}

/// The users of all events in the database, in order of their parcels. Each parcel is as the schema says.
pub fn users_in(server: &PostgresServer, database: &str) -> Vec<String> {
    let bad = "SELECT count(*) FROM meditopia.parcel WHERE events > 100
      OR octet_length(slots) <> 12 * events OR checksum <> substr(sha256(slots || body), 1, 8)";
    assert_eq!(server.sql(database, bad), "0");
    let bodies = server.sql(
        database,
        "SELECT convert_from(body, 'UTF8') FROM meditopia.parcel ORDER BY id",
    );
    let events = bodies.lines().flat_map(|body| {
        let events: Vec<Value> = serde_json::from_str(&format!("[{body}]")).unwrap();
        events
    });
    events
        .map(|event| event["partner_user_id"].as_str().unwrap().to_owned())
        .collect()
}

/// What [`users_in`] returns if each event of these numbers is there once, in order.
pub fn users(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("u{number}")).collect()
}

/// A host with a spool.
pub struct Host {
    pub spool: TestSpool,
    pub client: Client,
    url: String,
}

impl Host {
    pub fn new(server: &PostgresServer, database: &str) -> Self {
        Self::for_endpoint(server, database, ENDPOINT)
    }

    /// The same, whose events are for another endpoint.
    pub fn for_endpoint(server: &PostgresServer, database: &str, endpoint: &str) -> Self {
        let spool = TestSpool::for_endpoint(endpoint);
        Self {
            client: spool.client(),
            spool,
            url: server.url(database),
        }
    }

    /// The same host, but it forwards to another database.
    pub fn forwarding_to(self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self
        }
    }

    pub fn enqueue(&self, numbers: Range<usize>) {
        enqueue(&self.client, numbers);
    }

    /// The command that forwards.
    pub fn forward(&self, arguments: &[&str]) -> Command {
        forward(&self.spool.path(), &self.url, arguments)
    }

    /// Forwards what is there, which succeeds.
    #[track_caller]
    pub fn forward_once(&self) -> String {
        let output = self.forward(&["--once"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a forwarder that stays.
    pub fn start(&self) -> Service {
        Service::start(self.forward(&[]).env("MEDITOPIA_FORWARD_INTERVAL_MS", "20"))
    }

    /// `meditopia status --json` of the spool.
    pub fn status(&self) -> Value {
        let mut status = meditopia();
        status.arg("status").arg(self.spool.path()).arg("--json");
        let output = status.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub fn enqueue(client: &Client, numbers: Range<usize>) {
    for user in users(numbers) {
        let fields = Fields {
            token: "token",
            partner_user_id: &user,
            event: "video",
            event_value: None,
            received_at: None,
        };
        client.enqueue(&fields).unwrap();
    }
}

/// The command that forwards a spool.
pub fn forward(spool: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = meditopia();
    command.arg("forward").arg(spool).args(["--store", url]);
    command.args(arguments);
    command
}

/// A forwarder that stays, and its log.
pub struct Service {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Service {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, written) = (
            BufReader::new(child.stderr.take().unwrap()).lines(),
            log.clone(),
        );
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait_for_line(&self, part: &str) {
        wait_until(&format!("the log says {part:?}"), || {
            self.log().contains(part)
        });
    }

    /// Sends SIGTERM and waits for the end; its exit status.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command has printed, whichever way it ended.
pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}
