//! The spools on which examples run, the files beside them, and how the names in an example stand for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool, copy_spool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use super::make_program;
use crate::cli::run_json;

/// The user of all examples.
const USER: &str = "u-17";

/// Lasts until one batch has been refused.
const SHORT: Duration = Duration::from_millis(300);

/// A spool, its API, and a directory in which the examples are typed.
pub struct Situation {
    // Ends after what uses it.
    dir: tempfile::TempDir,
    spool: TestSpool,
    api: Sandbox,
    /// The id of an event that the example may name.
    id: Option<i64>,
    /// The URL of a database, for a fleet.
    store: Option<String>,
}

impl Situation {
    /// What `example` is about: a spool in doubt, a damaged one, one that was moved, or one in use.
    pub fn for_command(example: &str) -> Self {
        let kind = example.split_whitespace().nth(1).unwrap_or_default();
        let (api, spool) = match kind {
            "in-doubt" => in_doubt(),
            "damaged" => damaged(),
            "adopt" => moved(),
            "forward" => unsent(),
            _ => in_use(),
        };
        let list = match kind {
            "in-doubt" => "in-doubt",
            _ => "rejected",
        };
        let rows = run_json(&[list, "list", "--json"], &spool.path());
        let id = rows.first().and_then(|row| row["id"].as_i64());
        let dir = tempfile::tempdir().unwrap();
        let situation = Self {
            dir,
            store: names_store(example).then(|| store(example, api.endpoint())),
            api,
            spool,
            id,
        };
        situation.write_files();
        situation
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    fn config(&self) -> PathBuf {
        self.dir().join("shop.toml")
    }

    /// The names of an example, which `meditopia help` explains, and the ports of an example by what is there.
    pub fn fill_in(&self, example: &str) -> String {
        let id = self.id.unwrap_or_default();
        example
            .replace("/var/spool/shop", self.spool.path().to_str().unwrap())
            .replace("/etc/meditopia/shop.toml", self.config().to_str().unwrap())
            .replace(
                "/etc/meditopia/relay.toml",
                self.dir().join("relay.toml").to_str().unwrap(),
            )
            .replace("--id 17", &format!("--id {id}"))
            .replace("127.0.0.1:9464", "127.0.0.1:0")
            .replace("--port 8080", "--port 0")
            .replace(
                "/etc/meditopia/store",
                self.dir().join("store").to_str().unwrap(),
            )
            .replace(
                "postgres://admin@db/shop",
                self.store.as_deref().unwrap_or_default(),
            )
    }

    /// The configuration, and the files that the examples name.
    fn write_files(&self) {
        let write = |name: &str, text: &str| fs::write(self.dir().join(name), text).unwrap();
        let (spool, token) = (self.spool.path(), self.dir().join("token"));
        write("token", self.api.token());
        fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
        write(
            "shop.toml",
            &format!("spool = {spool:?}\nbearer_token_file = {token:?}\n"),
        );
        if let Some(store) = &self.store {
            write("store", store);
            let (endpoint, file) = (self.api.endpoint(), self.dir().join("store"));
            write(
                "relay.toml",
                &format!(
                    "endpoint = {endpoint:?}\nstore_file = {file:?}\nbearer_token_file = {token:?}\n"
                ),
            );
            fs::set_permissions(self.dir().join("store"), PermissionsExt::from_mode(0o600))
                .unwrap();
        }
        let event = |user: &str| {
            format!("{{\"token\":\"t\",\"partner_user_id\":\"{user}\",\"event\":\"video\"}}\n")
        };
        write(
            "events.ndjson",
            &[event("u-1"), event(USER), event("u-2")].concat(),
        );
        write("users.csv", "token,id,event\nt,u-1,video\n");
        write("friday.csv", "token,partner_user_id,event\nt,u-3,audio\n");
        stdout_of(Command::new("gzip").arg(self.dir().join("friday.csv")));
        let program = "#!/bin/sh\nMEDITOPIA_SPOOL=$PWD/program-spool meditopia import --flush events.ndjson\n";
        make_program(&self.dir().join("my-program"), program);
        for directory in [".zfunc", ".config/fish/completions"] {
            fs::create_dir_all(self.home().join(directory)).unwrap();
        }
    }
}

fn names_store(example: &str) -> bool {
    ["/etc/meditopia/store", "postgres://", "/relay.toml"]
        .iter()
        .any(|name| example.contains(name))
}

/// A database; with a fleet in it that has an event of the user, unless the example sets one up.
fn store(example: &str, endpoint: &str) -> String {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let url = server.url(&database);
    if !example.starts_with("meditopia fleet init") {
        stdout_of(meditopia().args(["fleet", "init", "--endpoint", endpoint, "--store", &url]));
        server.sql(
            &database,
            &format!("SELECT meditopia.enqueue('t', '{USER}', 'video')"),
        );
    }
    url
}

/// Nothing was sent from it: events wait in the journal alone.
fn unsent() -> (Sandbox, TestSpool) {
    let api = Sandbox::start();
    let spool = TestSpool::for_endpoint(api.endpoint());
    spool.client().enqueue_for(USER, 1);
    (api, spool)
}

/// Events of the user are delivered, rejected and pending.
fn in_use() -> (Sandbox, TestSpool) {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for(USER, 1);
    client.enqueue_for("u-18", 2);
    client.flush_ok(secs(30));
    api.set_unknown_users([USER]);
    client.enqueue_for(USER, 3);
    client.flush_ok(secs(30));
    api.set_unknown_users([""; 0]);
    client.enqueue_for(USER, 4);
    (api, spool)
}

/// The API fails on the event of the user, so that its batch is in doubt.
fn in_doubt() -> (Sandbox, TestSpool) {
    let api = Sandbox::start();
    api.set_unknown(json!([{ "user": USER, "status": 503, "code": "X_1" }]));
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    for user in ["u-1", USER, "u-2"] {
        client.enqueue_for(user, 1);
    }
    while client.in_doubt_rows().is_empty() {
        let _ = client.flush(SHORT);
    }
    (api, spool)
}

/// One event of three was damaged on the disk, and set aside.
fn damaged() -> (Sandbox, TestSpool) {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(16..19);
    let journal = spool.path().join("journal");
    let segment = fs::read_dir(journal)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes
        .windows(USER.len())
        .position(|bytes| bytes == USER.as_bytes());
    bytes[at.unwrap()] ^= 0x20;
    fs::write(&segment, bytes).unwrap();
    client.flush_ok(secs(30));
    (api, spool)
}

/// The spool was copied to another disk and back, and waits for `adopt`.
fn moved() -> (Sandbox, TestSpool) {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for(USER, 1);
    client.flush_ok(secs(30));
    drop(client);
    let copy = spool.path().with_extension("copy");
    copy_spool(&spool.path(), &copy);
    fs::remove_dir_all(spool.path()).unwrap();
    fs::rename(copy, spool.path()).unwrap();
    (api, spool)
}
