//! A spool in a temporary directory, a client on it, and shorthand for what tests do with a client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use meditopia::Config;
use meditopia::Fields;
use meditopia::Result;
use meditopia::{Client, Report, Row};

use crate::sandbox::Sandbox;

/// A spool and the configuration that opens it.
pub struct TestSpool {
    dir: tempfile::TempDir,
    config: Config,
}

impl TestSpool {
    /// A new spool whose events go to `api`; its clients send only in `flush`.
    pub fn for_sandbox(api: &Sandbox) -> Self {
        Self::for_endpoint(api.endpoint()).with("bearer_token", api.token())
    }

    /// A new spool whose events go to `endpoint`; its clients send only in `flush`.
    pub fn for_endpoint(endpoint: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        Self {
            dir,
            config: Config::new(),
        }
        .with("endpoint", endpoint)
        .with("spool", spool.to_str().unwrap())
        .with("role", "enqueue")
    }

    /// Sets one option.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.set(key, value).unwrap();
        self
    }

    /// The directory of the spool, unless the option `spool` was set.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Opens one more client.
    pub fn client(&self) -> Client {
        Client::open(&self.config).unwrap()
    }

    /// Opens a client that keeps the spool's directory for as long as it lives.
    pub fn into_client(self) -> SpoolClient {
        SpoolClient {
            client: self.client(),
            spool: self,
        }
    }
}

/// Copies a spool to `copy` with `cp -a`.
pub fn copy_spool(spool: &Path, copy: &Path) {
    let copied = Command::new("cp").arg("-a").args([spool, copy]).status();
    assert!(copied.unwrap().success());
}

/// A client together with its spool.
pub struct SpoolClient {
    client: Client,
    pub spool: TestSpool,
}

impl std::ops::Deref for SpoolClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Shorthand for what tests do with a client.
pub trait ClientExt {
    /// Enqueues one event of `user`; its `event_value` is `number`.
    fn enqueue_for(&self, user: &str, number: usize);

    /// Enqueues one event each of the users `u-<number>`.
    fn enqueue_users(&self, numbers: std::ops::Range<usize>);

    /// A flush that must succeed.
    fn flush_ok(&self, timeout: Duration) -> Report;

    fn rejected_rows(&self) -> Vec<Row>;

    /// The users of the rejected events, in their order.
    fn rejected_users(&self) -> Vec<String>;

    fn in_doubt_rows(&self) -> Vec<Row>;

    /// The pid of the sender that published the last heartbeat.
    fn sender_pid(&self) -> Option<u32>;
}

impl ClientExt for Client {
    fn enqueue_for(&self, user: &str, number: usize) {
        self.enqueue(&Fields {
            token: "token",
            partner_user_id: user,
            event: "video",
            event_value: Some(&number.to_string()),
            received_at: Some("2024-08-06 15:04:05"),
        })
        .unwrap();
    }

    fn enqueue_users(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.enqueue_for(&format!("u-{number}"), number);
        }
    }

    fn flush_ok(&self, timeout: Duration) -> Report {
        let (report, outcome) = self.flush(timeout);
        outcome.unwrap();
        report
    }

    fn rejected_rows(&self) -> Vec<Row> {
        all_rows(self.rejected(None, None, 0))
    }

    fn rejected_users(&self) -> Vec<String> {
        self.rejected_rows()
            .iter()
            .map(|row| {
                let event: serde_json::Value = serde_json::from_str(&row.event_json).unwrap();
                event["partner_user_id"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    fn in_doubt_rows(&self) -> Vec<Row> {
        all_rows(self.in_doubt(0))
    }

    fn sender_pid(&self) -> Option<u32> {
        self.stats().unwrap().sender_pid
    }
}

fn all_rows(cursor: Result<meditopia::Cursor>) -> Vec<Row> {
    let mut cursor = cursor.unwrap();
    let mut rows = Vec::new();
    while let Some(row) = cursor.next_row().unwrap() {
        rows.push(row);
    }
    rows
}
