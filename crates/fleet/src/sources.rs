//! Where the options stand that the library does not know: in the environment, or in the configuration file.
//!
//! The library passes them over without a warning. An option's variable is its key in upper case after
//! `MEDITOPIA_`. The environment takes precedence over the file.

use std::path::Path;

use meditopia::internals::config::read_text;
use toml::Value;

use crate::failure::{Failure, Result};

/// Reads a variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable of this process. One that is not UTF-8 the library has refused before.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One place of options.
pub(crate) enum Source<'a> {
    Environment(Variable<'a>),
    File { path: &'a Path, table: toml::Table },
}

/// The value of an option, and how messages name the place where it stands.
pub(crate) struct Found {
    pub(crate) value: Value,
    pub(crate) place: String,
}

impl Found {
    /// The error that says what is wrong with the value.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        Failure::misconfigured(format_args!("{}: {what}", self.place))
    }
}

impl<'a> Source<'a> {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is no TOML; no part of it is shown.
    pub(crate) fn file(path: &'a Path) -> Result<Self> {
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::misconfigured(format_args!("{}: {what}", path.display()))
        };
        let text = read_text(path).map_err(|cause| wrong(&cause))?;
        // Its `Display` would show the line, which may hold a password.
        let table = toml::from_str(&text).map_err(|cause| wrong(&cause.message().to_owned()))?;
        Ok(Self::File { path, table })
    }

    /// The value of an option, if this source has one. An empty variable is none.
    pub(crate) fn find(&self, key: &str) -> Option<Found> {
        match self {
            Self::Environment(variable) => {
                let place = format!("MEDITOPIA_{}", key.to_uppercase());
                let text = variable(&place).filter(|text| !text.is_empty())?;
                let value = Value::String(text);
                Some(Found { value, place })
            }
            Self::File { path, table } => Some(Found {
                value: table.get(key)?.clone(),
                place: format!("{}: {key}", path.display()),
            }),
        }
    }
}

/// An option that is a whole number.
pub(crate) struct Number {
    pub(crate) key: &'static str,
    pub(crate) default: u64,
    /// The smallest and the largest value.
    pub(crate) range: (u64, u64),
}

impl Number {
    /// Its value in the first of the sources that has one, or its default.
    ///
    /// # Errors
    /// It names the variable, or the file and key, that is wrong.
    pub(crate) fn read(&self, sources: &[Source<'_>]) -> Result<u64> {
        let Some(found) = sources.iter().find_map(|source| source.find(self.key)) else {
            return Ok(self.default);
        };
        let (min, max) = self.range;
        let number = match &found.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| found.wrong(format_args!("is not a whole number from {min} to {max}")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Calls `read` with an environment of these variables, and a configuration file of this text.
    pub(crate) fn with_sources<T>(
        variables: &[(&str, &str)],
        file: &str,
        read: impl FnOnce(Variable<'_>, &Path) -> T,
    ) -> T {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let variable = |name: &str| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        read(&variable, &path)
    }

    #[test]
    fn an_empty_variable_is_no_value_and_a_file_is_refused_without_a_word_of_it() {
        let found = with_sources(
            &[("MEDITOPIA_STORE", "")],
            "store = \"quagga",
            |of, path| {
                assert!(Source::Environment(of).find("store").is_none());
                Source::file(path).err().unwrap()
            },
        );
        assert!(found.message().contains("config.toml"), "{found}");
        assert!(!found.message().contains("quagga"), "{found}");
    }
}
