//! What a command ends with when it did not do what was asked: a message and an exit status.
//!
//! One table of statuses for all commands, so that a script need not know which one it called.

use std::fmt;
use std::process::ExitCode;

use meditopia::{Error, ErrorKind};

use crate::output::complain;

/// It did not work; the message says why, and what to do next.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong. The same for an unknown option.
pub const USAGE: u8 = 2;
/// Nothing was done: it takes a yes, at the terminal or by `--yes`.
pub const NEEDS_YES: u8 = 3;
/// It was done, and some events are lost.
pub const EVENTS_LOST: u8 = 4;
/// There is nothing of what was looked for.
pub const NOTHING_FOUND: u8 = 5;
/// The time was over, or nobody waited; what is left is kept, and goes with the next sender.
pub const LEFT: u8 = 6;
/// Delivery is paused: all is kept, and somebody has to look at the reason.
pub const PAUSED: u8 = 7;
/// Some of what was given is bad; the rest was done.
pub const SOME_BAD: u8 = 8;
/// Some of what was given is bad, so nothing was done.
pub const NOTHING_QUEUED: u8 = 9;
/// It has stopped on the way; the same command goes on there.
pub const STOPPED: u8 = 10;

/// Why a command ends, for the person who gave it.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// A failure with its exit status and what a person reads.
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// The end of a command whose output nobody reads any more, as `head` does: no error.
    pub fn quiet() -> Self {
        Self::new(0, "")
    }

    /// The same with another exit status, for a command whose statuses have another meaning.
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// Its exit status.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    /// Prints it to standard error; gives the exit status.
    pub fn tell(&self) -> ExitCode {
        if !self.message.is_empty() {
            complain(format_args!("meditopia: {self}"));
        }
        self.code()
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
