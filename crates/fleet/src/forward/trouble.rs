//! Why forwarding stands still, and whether trying again helps.

use std::fmt;

use meditopia::{Error, ErrorKind};

use crate::failure::{Failure, Outcome, WRONG_PLACE};

/// What has come in the way.
#[derive(Debug)]
pub enum Trouble {
    /// The database.
    Store(Failure),
    /// The spool.
    Spool(Error),
}

impl Trouble {
    /// Whether the same may succeed later, with nothing changed in the configuration.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(failure) => *failure.outcome() != Outcome::Misconfigured,
            Self::Spool(error) => matches!(
                error.kind(),
                ErrorKind::Io | ErrorKind::SpoolFull | ErrorKind::Timeout
            ),
        }
    }

    /// Whether the configuration, of the command or of the fleet, is wrong.
    pub fn is_misconfigured(&self) -> bool {
        match self {
            Self::Store(failure) => {
                *failure.outcome() == Outcome::Misconfigured || failure.is_refused_with(WRONG_PLACE)
            }
            Self::Spool(error) => error.kind() == ErrorKind::Config,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(failure) => failure.fmt(f),
            Self::Spool(error) => error.fmt(f),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Spool(error)
    }
}
