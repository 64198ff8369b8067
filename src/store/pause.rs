//! A pause as the store keeps it, and as an error tells it.

use crate::error::{Error, ErrorKind, PauseReason};

/// A pause, as it must outlast a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseState {
    /// Why.
    pub reason: PauseReason,
    /// Since when, wall time in milliseconds.
    pub since_ms: i64,
    /// When the next probe is due; `None`: an operator has to resume.
    pub probe_ms: Option<i64>,
    /// How long the next probe waits after a failed one, in milliseconds.
    pub probe_wait_ms: i64,
    /// The HTTP status that led to it.
    pub http_status: Option<u16>,
    /// The API's code that led to it.
    pub api_code: Option<String>,
    /// For people.
    pub message: String,
    /// Salt and hash of the token that was refused, to notice another one; never the token.
    pub fingerprint: Option<Vec<u8>>,
}

impl PauseState {
    /// The pause as an error for whoever waits, with the events that it keeps.
    pub fn error(&self, pending: u64, now_ms: i64) -> Error {
        let since = jiff::Timestamp::from_millisecond(self.since_ms).map_or_else(
            |_| String::new(),
            |since| format!(" since {}", since.strftime("%Y-%m-%d %H:%M:%SZ")),
        );
        let cause = self.cause();
        let advice = match (self.reason, self.http_status) {
            (PauseReason::Auth, Some(_)) => "; check the bearer token",
            (PauseReason::Ip, _) => "; ask Meditopia to allow this host's address",
            (PauseReason::Misrouted, _) => "; check endpoint, and any proxy on the way",
            (PauseReason::MassRejection, _) => "; look at the rejected events",
            _ => "",
        };
        let end = self.end(now_ms);
        let kept = match pending {
            1 => "1 event is kept".to_owned(),
            events => format!("{events} events are kept"),
        };
        let reason = self.reason;
        let message = format!("paused{since} ({reason}): {cause}{advice}; {kept}; {end}");
        Error::new(ErrorKind::Paused, message)
            .paused_for(reason)
            .answered(self.http_status, self.api_code.clone())
    }

    /// The message that led to it, with status and code.
    pub fn cause(&self) -> String {
        let message = self.message.trim_end_matches('.');
        let told: Vec<_> = [
            self.api_code.clone(),
            self.http_status.map(|status| format!("HTTP {status}")),
        ]
        .into_iter()
        .flatten()
        .filter(|part| !message.contains(part.as_str()))
        .collect();
        match told.as_slice() {
            [] => message.to_owned(),
            told => format!("{message} ({})", told.join(", ")),
        }
    }

    /// How it may end, for people.
    pub fn end(&self, now_ms: i64) -> String {
        match self.probe_ms {
            Some(at) => format!("next probe in {} s", (at - now_ms).max(0) / 1_000),
            None => "it ends when an operator resumes".to_owned(),
        }
    }
}
