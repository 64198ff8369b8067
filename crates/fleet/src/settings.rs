//! The options of the command that the library does not know: where the store is, and how it is used.
//!
//! They stand in the same places as the library's: the command line takes precedence over the environment, that
//! over the configuration file (`sources`).

use std::path::{Path, PathBuf};

use meditopia::internals::config::read_text;
use secrecy::SecretString;

use crate::address::StoreOptions;
use crate::failure::{Failure, Result};
use crate::sources::{Source, Variable, variable};

/// What says where the store is, each from its most important source.
#[derive(Default)]
pub struct Given {
    /// The URL itself.
    pub store: Option<SecretString>,
    /// A file that holds it.
    pub store_file: Option<PathBuf>,
    /// A PEM file of certificate authorities.
    pub store_ca_file: Option<PathBuf>,
    /// Whether there may be no TLS.
    pub store_allow_plaintext: Option<bool>,
}

const KEYS: [&str; 4] = [
    "store",
    "store_file",
    "store_ca_file",
    "store_allow_plaintext",
];

impl Given {
    /// Adds what the environment and then the file say and this does not.
    ///
    /// # Errors
    /// It names the variable, or the file and key, that is wrong.
    pub fn complete(&mut self, config_file: Option<&Path>) -> Result<()> {
        self.complete_with(&variable, config_file)
    }

    fn complete_with(&mut self, variable: Variable<'_>, config_file: Option<&Path>) -> Result<()> {
        self.complete_from(&Source::Environment(variable))?;
        // A URL and a file of one source contradict each other only if nothing more important names either.
        match config_file.filter(|_| !self.is_complete()) {
            Some(file) => self.complete_from(&Source::file(file)?),
            None => Ok(()),
        }
    }

    fn complete_from(&mut self, source: &Source<'_>) -> Result<()> {
        for key in KEYS {
            let Some(found) = source.find(key) else {
                continue;
            };
            let value = match &found.value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => return Err(found.wrong("is neither a string nor a boolean")),
            };
            self.add(key, &value).map_err(|what| found.wrong(what))?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.names_store() && self.store_ca_file.is_some() && self.store_allow_plaintext.is_some()
    }

    /// Whether a store is named at all.
    pub fn names_store(&self) -> bool {
        self.store.is_some() || self.store_file.is_some()
    }

    fn add(&mut self, key: &str, value: &str) -> std::result::Result<(), &'static str> {
        let path = Some(PathBuf::from(value));
        match key {
            "store" if !self.names_store() => self.store = Some(value.into()),
            "store_file" if !self.names_store() => self.store_file = path,
            "store_ca_file" if self.store_ca_file.is_none() => self.store_ca_file = path,
            "store_allow_plaintext" if self.store_allow_plaintext.is_none() => {
                let flag = value
                    .parse()
                    .map_err(|_| "is not one of \"true\", \"false\"")?;
                self.store_allow_plaintext = Some(flag);
            }
            _ => {}
        }
        Ok(())
    }

    /// The options of a store, which has to be named.
    ///
    /// # Errors
    /// No store is named, or its file cannot be read.
    pub fn options(&self) -> Result<StoreOptions> {
        let url = match (&self.store, &self.store_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => {
                let text = read_text(file).map_err(|cause| {
                    Failure::misconfigured(format_args!("store_file {}: {cause}", file.display()))
                })?;
                text.trim().into()
            }
            (None, None) => {
                return Err(Failure::misconfigured(
                    "none is named; give its URL: --store, --store-file, MEDITOPIA_STORE, MEDITOPIA_STORE_FILE, or store or store_file in the configuration",
                ));
            }
        };
        Ok(StoreOptions {
            url,
            ca_file: self.store_ca_file.clone(),
            allow_plaintext: self.store_allow_plaintext.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::sources::tests::with_sources;

    fn completed(given: Given, variables: &[(&str, &str)], file: &str) -> Result<StoreOptions> {
        let mut given = given;
        with_sources(variables, file, |variable, path| {
            given.complete_with(variable, Some(path))
        })?;
        given.options()
    }

    #[test]
    fn the_command_line_takes_precedence_over_the_environment_and_that_over_the_file() {
        let file = "spool = \"/s\"\nstore = \"postgres://file\"\nstore_allow_plaintext = true\n";
        let variables = [("MEDITOPIA_STORE", "postgres://variable")];
        let given = || Given {
            store: Some("postgres://argument".into()),
            ..Given::default()
        };
        let url = |options: Result<StoreOptions>| options.unwrap().url.expose_secret().to_owned();
        assert_eq!(
            url(completed(given(), &variables, file)),
            "postgres://argument"
        );
        assert_eq!(
            url(completed(Given::default(), &variables, file)),
            "postgres://variable"
        );
        assert_eq!(
            url(completed(Given::default(), &[], file)),
            "postgres://file"
        );
        assert!(completed(given(), &[], file).unwrap().allow_plaintext);
    }

    #[test]
    fn a_store_is_read_from_its_own_file_and_no_error_shows_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store");
        std::fs::write(&file, "postgres://quagga\n").unwrap();
        let config = format!("store_file = {file:?}\n");
        let options = completed(Given::default(), &[], &config).unwrap();
        assert_eq!(options.url.expose_secret(), "postgres://quagga");
        for config in [
            "store = \"quagga",
            "store = 7",
            "store_allow_plaintext = \"quagga\"",
            "",
        ] {
            let failure = completed(Given::default(), &[], config).err().unwrap();
            assert!(!failure.message().contains("quagga"), "{failure}");
        }
    }
}
