//! Why something asked of the database was not done, or not known to be.
//!
//! What came of a statement decides what its caller does next, so it is told apart here: never begun, refused
//! by the server, or unknown because the connection ended before the answer.

use std::fmt;

use meditopia::{Error, ErrorKind};
use tokio_postgres::error::{DbError, Severity};

/// What is known of the statement, or of the attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store's address, or an option about it, is wrong. Trying again does not help.
    Misconfigured,
    /// There is no connection; nothing was done.
    Unreachable,
    /// The connection ended, or the deadline passed, before the answer: it was done, or it was not.
    Unknown,
    /// The server answered with an error: it was not done.
    Refused {
        /// Its SQLSTATE.
        sqlstate: String,
    },
    /// The server did as asked, and what it answered makes no sense here.
    Unusable,
}

/// What happened, and what is known of it. No message has the store's password or an event's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    outcome: Outcome,
    message: String,
}

/// What a function of this crate returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Another process has changed the row since it was read, or the database is older than what was read.
pub const STEP_LOST: &str = "MD001";
/// An event breaks a rule of the API.
pub const INVALID_EVENT: &str = "MD002";
/// The database is not the one that the fleet was set up in, or belongs to another endpoint or account.
pub const WRONG_PLACE: &str = "MD003";

impl Failure {
    pub(crate) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
        }
    }

    pub(crate) fn misconfigured(message: impl fmt::Display) -> Self {
        Self::new(Outcome::Misconfigured, format!("store: {message}"))
    }

    /// What the server or the way to it has said. `password` does not stay in the text, whoever wrote it.
    pub(crate) fn from_driver(
        cause: &tokio_postgres::Error,
        connected: bool,
        password: Option<&str>,
    ) -> Self {
        let (outcome, message) = match cause.as_db_error() {
            Some(refusal) => (outcome_of(refusal, connected), describe_refusal(refusal)),
            None if connected => (Outcome::Unknown, describe_chain(cause)),
            None => (Outcome::Unreachable, describe_chain(cause)),
        };
        Self::new(outcome, without_password(message, password))
    }

    /// What is known of the statement.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether the server refused with this SQLSTATE.
    pub fn is_refused_with(&self, state: &str) -> bool {
        matches!(&self.outcome, Outcome::Refused { sqlstate } if sqlstate == state)
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts what was about to be done before the message.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

pub(crate) fn without_password(text: String, password: Option<&str>) -> String {
    match password {
        Some(password) => meditopia::internals::transport::without_secret(password, text),
        None => text,
    }
}

/// A server that ends the connection may have committed before: only an error within it says what came of the
/// statement.
fn outcome_of(refusal: &DbError, connected: bool) -> Outcome {
    let ends_connection = matches!(
        refusal.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic) | None
    );
    match (ends_connection, connected) {
        (true, true) => Outcome::Unknown,
        (true, false) => Outcome::Unreachable,
        (false, _) => Outcome::Refused {
            sqlstate: refusal.code().code().to_owned(),
        },
    }
}

/// Only the message and the code: the details may quote a row, with a user's token in it.
fn describe_refusal(refusal: &DbError) -> String {
    let code = refusal.code().code();
    match code.starts_with("MD") {
        true => refusal.message().to_owned(),
        false => format!("{} (SQLSTATE {code})", refusal.message()),
    }
}

fn describe_chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.outcome {
            Outcome::Misconfigured => ErrorKind::Config,
            Outcome::Refused { ref sqlstate } if sqlstate == WRONG_PLACE => {
                ErrorKind::SpoolMismatch
            }
            Outcome::Unusable => ErrorKind::Store,
            _ => ErrorKind::Io,
        };
        Self::new(kind, failure.message)
    }
}
