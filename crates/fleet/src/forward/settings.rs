//! The options of forwarding, from the environment and the configuration file.

use std::path::Path;
use std::time::Duration;

use meditopia::internals::client::Keep;

use crate::failure::Result;
use crate::sources::{Number, Source, Variable, variable};

const DAY_S: u64 = 86_400;

const INTERVAL_MS: Number = Number {
    key: "forward_interval_ms",
    default: 2_000,
    range: (10, 1_000 * DAY_S),
};
const KEEP_S: Number = Number {
    key: "forward_keep_s",
    default: 900,
    range: (0, 365 * DAY_S),
};
const KEEP_BYTES: Number = Number {
    key: "forward_keep_bytes",
    default: 256 * 1024 * 1024,
    range: (0, i64::MAX as u64),
};

/// What the configuration says of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long an event waits at most until it is handed over.
    pub interval: Duration,
    /// What of the forwarded events the journal keeps.
    pub keep: Keep,
}

impl Settings {
    /// The environment takes precedence over the file.
    ///
    /// # Errors
    /// It names the variable, or the file and key, that is wrong.
    pub fn read(config_file: Option<&Path>) -> Result<Self> {
        Self::read_from(&variable, config_file)
    }

    fn read_from(variable: Variable<'_>, config_file: Option<&Path>) -> Result<Self> {
        let mut sources = vec![Source::Environment(variable)];
        if let Some(file) = config_file {
            sources.push(Source::file(file)?);
        }
        Ok(Self {
            interval: Duration::from_millis(INTERVAL_MS.read(&sources)?),
            keep: Keep {
                time: Duration::from_secs(KEEP_S.read(&sources)?),
                bytes: KEEP_BYTES.read(&sources)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::tests::with_sources;

    fn read(variables: &[(&str, &str)], file: &str) -> Result<Settings> {
        with_sources(variables, file, |variable, path| {
            Settings::read_from(variable, Some(path))
        })
    }

    #[test]
    fn the_environment_takes_precedence_over_the_file_and_what_is_wrong_is_named() {
        let default = read(&[], "spool = \"/s\"\n").unwrap();
        assert_eq!(default.interval, Duration::from_secs(2));
        assert_eq!(default.keep.time, Duration::from_secs(900));
        let file = "forward_keep_s = 60\nforward_keep_bytes = \"5\"\n";
        let set = read(&[("MEDITOPIA_FORWARD_KEEP_S", "0")], file).unwrap();
        assert_eq!((set.keep.time, set.keep.bytes), (Duration::ZERO, 5));
        let wrong = read(&[("MEDITOPIA_FORWARD_INTERVAL_MS", "1")], "").unwrap_err();
        assert!(
            wrong
                .message()
                .contains("MEDITOPIA_FORWARD_INTERVAL_MS: is not a whole number from 10")
        );
        let wrong = read(&[], "forward_keep_s = -1").unwrap_err();
        assert!(
            wrong.message().contains("config.toml: forward_keep_s"),
            "{wrong}"
        );
    }
}
