//! Three events, one of them bad, through a spool to the sandbox.

use std::path::Path;
use std::time::Duration;

use meditopia::{Client, Config, Error, Fields, Report};
use meditopia_sandbox::Handle;
use serde::Deserialize;

use crate::failure::{FAILED, Failure};

/// The user that the sandbox does not know.
pub const STRANGER: &str = "stranger";

/// The events, the bad one between two good ones.
pub const EVENTS: [Fields<'static>; 3] = [
    Fields {
        token: "token-of-anna",
        partner_user_id: "anna",
        event: "video",
        event_value: Some("morning calm"),
        received_at: None,
    },
    Fields {
        token: "token-of-stranger",
        partner_user_id: STRANGER,
        event: "audio",
        event_value: Some("rain"),
        received_at: None,
    },
    Fields {
        token: "token-of-ben",
        partner_user_id: "ben",
        event: "signin",
        event_value: None,
        received_at: None,
    },
];

/// Longer than three events take on any machine. Nobody should wait for longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// The spool and its one client.
pub struct Delivery<'a> {
    api: &'a Handle,
    client: Client,
}

/// A request as the sandbox saw it, and its answer. The names are those of the JSON that its page reads.
#[derive(Debug, Deserialize)]
pub struct Exchange {
    shown: Vec<EventShown>,
    pub status: Option<u16>,
    pub code: Option<String>,
    /// The API's reason.
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct EventShown {
    user: String,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    /// With the API's code and message.
    Rejected(String),
    Pending,
}

impl<'a> Delivery<'a> {
    /// Opens a new spool at `spool`. No file and no variable of the environment configures it, so it can send to `api`
    /// only; and it sends in [`flush`](Self::flush) only.
    pub fn new(api: &'a Handle, spool: &Path) -> Result<Self, Failure> {
        let spool = spool.to_str().ok_or_else(|| {
            let message = "the path of the directory for temporary files is not UTF-8; let TMPDIR name another one";
            Failure::new(FAILED, message)
        })?;
        let mut config = Config::new();
        config.set("spool", spool)?;
        config.set("endpoint", api.endpoint())?;
        config.set("bearer_token", api.token())?;
        config.set("role", "enqueue")?;
        let client = Client::open(&config)?;
        Ok(Self { api, client })
    }

    pub fn enqueue(&self) -> Result<(), Error> {
        EVENTS
            .iter()
            .try_for_each(|event| self.client.enqueue(event))
    }

    pub fn flush(&self) -> (Report, Result<(), Error>) {
        self.client.flush(FLUSH_TIMEOUT)
    }

    /// The requests that were sent, in their order.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let requests = self.api.latest_requests().into_iter();
        requests
            .filter_map(|request| serde_json::from_value(request).ok())
            .collect()
    }

    /// What became of each of [`EVENTS`], by what the sandbox has accepted and the spool has kept.
    pub fn fates(&self) -> Result<Vec<Fate>, Error> {
        let accepted: Vec<String> = self
            .api
            .ledger(|ledger| ledger.event_texts().map(user_of).collect());
        let mut rejected = Vec::new();
        let mut rows = self.client.rejected(None, None, 0)?;
        while let Some(row) = rows.next_row()? {
            let answer = format!("{} {}", row.api_code, row.message);
            rejected.push((user_of(&row.event_json), answer));
        }
        let fate = |event: &Fields<'_>| {
            let user = event.partner_user_id;
            if let Some((_, answer)) = rejected.iter().find(|(of, _)| of == user) {
                return Fate::Rejected(answer.clone());
            }
            match accepted.iter().any(|of| of == user) {
                true => Fate::Delivered,
                false => Fate::Pending,
            }
        };
        Ok(EVENTS.iter().map(fate).collect())
    }
}

impl Exchange {
    /// Whose events it had.
    pub fn users(&self) -> String {
        let users: Vec<&str> = self.shown.iter().map(|event| &*event.user).collect();
        users.join(", ")
    }

    /// The answer in words.
    pub fn answer(&self) -> String {
        let status = self
            .status
            .map_or("no answer".to_owned(), |status| format!("HTTP {status}"));
        let parts = [Some(status), self.code.clone(), self.reason.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub fn is_accepted(&self) -> bool {
        self.status == Some(204)
    }
}

/// The user of an event's JSON.
fn user_of(event: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(event).unwrap_or_default();
    event["partner_user_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
