//! The options of forwarding, from the environment and the configuration file.

use std::path::Path;
use std::time::Duration;

use meditopia::internals::client::Keep;
use meditopia::internals::config::read_text;

use crate::failure::{Failure, Result};

/// An option: its key, its default, and the smallest and largest value.
struct Number {
    key: &'static str,
    default: u64,
    range: (u64, u64),
}

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
        Self::read_from(&|name| std::env::var(name).ok(), config_file)
    }

    fn read_from(
        variable: &dyn Fn(&str) -> Option<String>,
        config_file: Option<&Path>,
    ) -> Result<Self> {
        let table = match config_file {
            Some(file) => read_table(file)?,
            None => toml::Table::new(),
        };
        let number = |option: &Number| {
            let name = format!("MEDITOPIA_{}", option.key.to_uppercase());
            if let Some(value) = variable(&name).filter(|value| !value.is_empty()) {
                return option.parse(&name, value.parse().ok());
            }
            let Some(value) = table.get(option.key) else {
                return Ok(option.default);
            };
            let shown = config_file.map_or_else(String::new, |file| file.display().to_string());
            let value = match value {
                toml::Value::Integer(number) => u64::try_from(*number).ok(),
                toml::Value::String(text) => text.parse().ok(),
                _ => None,
            };
            option.parse(&format!("{shown}: {}", option.key), value)
        };
        Ok(Self {
            interval: Duration::from_millis(number(&INTERVAL_MS)?),
            keep: Keep {
                time: Duration::from_secs(number(&KEEP_S)?),
                bytes: number(&KEEP_BYTES)?,
            },
        })
    }
}

impl Number {
    fn parse(&self, place: &str, value: Option<u64>) -> Result<u64> {
        let (min, max) = self.range;
        value
            .filter(|value| (min..=max).contains(value))
            .ok_or_else(|| {
                Failure::misconfigured(format_args!(
                    "{place}: is not a whole number from {min} to {max}"
                ))
            })
    }
}

fn read_table(file: &Path) -> Result<toml::Table> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::misconfigured(format_args!("{}: {what}", file.display()))
    };
    let text = read_text(file).map_err(|cause| wrong(&cause))?;
    // Its `Display` would show the line, which may hold a password.
    toml::from_str(&text).map_err(|cause| wrong(&cause.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], file: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let variable = |name: &str| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        Settings::read_from(&variable, Some(&path))
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
