//! A host of the library, for tests of delivery: a spool in a temporary directory, a client on it,
//! and shorthand for what the tests are about.

use std::path::PathBuf;
use std::time::Duration;

use meditopia::Config;
use meditopia::Fields;
use meditopia::Result;
use meditopia::{Client, Report, Row};

use crate::sandbox::Sandbox;

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A spool and how it is opened.
pub struct Host {
    dir: tempfile::TempDir,
    config: Config,
}

impl Host {
    /// A new spool whose events go to `api`; nothing is sent but by `flush`.
    pub fn of(api: &Sandbox) -> Self {
        Self::at(api.endpoint()).with("bearer_token", api.token())
    }

    pub fn at(endpoint: &str) -> Self {
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

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.set(key, value).unwrap();
        self
    }

    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn client(&self) -> Client {
        Client::open(&self.config).unwrap()
    }

    /// A client whose spool lives as long as it.
    pub fn open(self) -> Opened {
        Opened {
            client: self.client(),
            host: self,
        }
    }
}

/// A client together with its host.
pub struct Opened {
    client: Client,
    pub host: Host,
}

impl std::ops::Deref for Opened {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// What tests ask of a client, in their words.
pub trait Story {
    fn enqueue_for(&self, user: &str, number: usize);
    fn enqueue_users(&self, numbers: std::ops::Range<usize>);
    fn flushed(&self, timeout: Duration) -> Report;
    fn rejected_rows(&self) -> Vec<Row>;
    fn rejected_users(&self) -> Vec<String>;
    fn in_doubt_rows(&self) -> Vec<Row>;
}

impl Story for Client {
    /// One event of `user`; `event_value` tells its number.
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

    /// One event each of the users `u-<number>`.
    fn enqueue_users(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.enqueue_for(&format!("u-{number}"), number);
        }
    }

    fn flushed(&self, timeout: Duration) -> Report {
        let (report, outcome) = self.flush(timeout);
        outcome.unwrap();
        report
    }

    fn rejected_rows(&self) -> Vec<Row> {
        all(self.rejected(None, None, 0))
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
        all(self.in_doubt(0))
    }
}

fn all(cursor: Result<meditopia::Cursor>) -> Vec<Row> {
    let mut cursor = cursor.unwrap();
    let mut rows = Vec::new();
    while let Some(row) = cursor.next_row().unwrap() {
        rows.push(row);
    }
    rows
}
