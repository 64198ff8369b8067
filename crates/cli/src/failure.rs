//! How a command ends when it did not do what was asked: with a message and an exit status.
//!
//! All commands share one table of statuses, so that a script can read a status without knowing
//! which command it called.

use std::fmt;
use std::process::ExitCode;

use meditopia::{Error, ErrorKind};

use crate::output::print_error;

/// The command failed; the message says why, and what to do next.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong. clap uses the same status for an unknown option.
pub const USAGE: u8 = 2;
/// Nothing was done, because the action has to be confirmed at the terminal or with `--yes`.
pub const NEEDS_YES: u8 = 3;
/// The action was carried out, and some events are lost.
pub const EVENTS_LOST: u8 = 4;
/// Nothing matches the search.
pub const NOTHING_FOUND: u8 = 5;
/// The command ended before everything was done: the next sender delivers the rest, or the same command goes on.
pub const EVENTS_LEFT: u8 = 6;
/// Delivery is paused: every event is kept, and an operator has to look at the reason.
pub const PAUSED: u8 = 7;
/// Some records are bad; the others were enqueued.
pub const SOME_BAD: u8 = 8;
/// Some records are bad, so nothing was enqueued.
pub const NOTHING_QUEUED: u8 = 9;
/// The import stopped on the way; the same command continues from there.
pub const STOPPED: u8 = 10;

/// Why a command ends, for the person who ran it.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// Ends a command successfully and silently because the reader of its output, such as `head`,
    /// has closed the pipe.
    pub fn reader_gone() -> Self {
        Self::new(0, "")
    }

    /// Replaces the exit status, for a command that gives the statuses another meaning.
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    /// Prints the message to standard error and returns the exit status.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            print_error(format_args!("meditopia: {self}"));
        }
        self.exit_code()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config => USAGE,
            _ => FAILED,
        };
        Self::new(status, error.message())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(FAILED, message)
    }
}
