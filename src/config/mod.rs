//! Configuration: options are set by name, from code, a file or the environment, and read as one
//! typed [`Settings`].
//!
//! A value is checked when it is set, so that the error can name its source. What depends on
//! several options (is there a spool?) is checked by [`Config::settings`]. Later calls win. An
//! unknown key in code is an error. In a file or the environment it is a warning, because a newer
//! version may share them. Nothing is read unasked, not even the environment.
//!
//! ```
//! use meditopia::Config;
//!
//! # fn main() -> meditopia::Result<()> {
//! let mut config = Config::new();
//! config.load_env([("MEDITOPIA_FLUSH_INTERVAL_MS".into(), "2000".into())])?;
//! config.set("spool", "/var/lib/shop/meditopia")?;
//! config.set("bearer_token_file", "/etc/shop/meditopia.token")?;
//!
//! let settings = config.settings()?;
//! assert_eq!(settings.flush_interval.as_secs(), 2);
//! assert_eq!(settings.batch_max, 100);
//! # Ok(())
//! # }
//! ```

mod address;
mod current_token;
mod load;
mod options;
mod settings;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, ErrorKind, Result};
use crate::event::UtcOffset;
use crate::log::Level;
use crate::spelling::{hint, quoted};

pub use address::{Endpoint, Proxy};
pub use current_token::CurrentToken;
pub(crate) use current_token::{FileState, UNTOLD};
pub use load::{OPTIONS_OF_FLEET, read_text};
pub(crate) use options::LANES_MAX;
pub use options::{OptionDoc, markdown, reference};
pub use settings::{Durability, Role, Settings, conflict, differences};
pub use token::{BearerToken, TokenSource};

/// The options that were set. `Debug` shows no values.
#[derive(Clone, Default)]
pub struct Config {
    /// Every value is kept as a secret, which is simpler than keeping only the two secret ones so.
    values: BTreeMap<&'static str, SecretString>,
    warnings: Vec<String>,
}

impl Config {
    /// Every option at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one option. An empty value unsets an option that has no default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such key (the error names the most similar one) or the
    /// value is out of range. Nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let doc = find_option(key)?;
        self.store(doc, value)
            .map_err(|wrong| config_error(format!("config: {key}: {wrong}")))
    }

    /// The value of an option, or its default; empty if it has neither.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such key, or if it is a secret.
    pub fn get(&self, key: &str) -> Result<String> {
        let doc = find_option(key)?;
        if doc.is_secret() {
            return Err(config_error(format!(
                "config: {key}: is a secret and cannot be read back"
            )));
        }
        Ok(self.value(doc).to_owned())
    }

    /// Sets everything that `later` has set, as a later call would.
    pub fn override_with(&mut self, later: &Self) {
        self.values.extend(later.values.clone());
        self.warnings.extend_from_slice(&later.warnings);
    }

    /// Warnings about keys in the environment and in files that are not options, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// All options, typed and complete.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no `spool` and `durability` is not `memory`.
    pub fn settings(&self) -> Result<Settings> {
        let durability = self.typed("durability", Durability::from_name)?;
        let spool = match durability {
            Durability::Memory => None,
            Durability::Process | Durability::Power => {
                let missing = || {
                    let what =
                        "config: spool: is required; name the directory that keeps the events";
                    // A misspelt key in a file or the environment is only a warning, and may be the
                    // cause.
                    let ignored = self.warnings.iter().map(|warning| format!(" ({warning})"));
                    config_error(what.to_owned() + &ignored.collect::<String>())
                };
                Some(self.path("spool")?.ok_or_else(missing)?)
            }
        };
        let bearer_token = match (self.path("bearer_token_file")?, self.text("bearer_token")?) {
            (Some(path), _) => TokenSource::File(path),
            (None, "") => TokenSource::Absent,
            (None, token) => TokenSource::Given(BearerToken::new(token)?),
        };
        let proxy = match self.text("proxy")? {
            "" => None,
            _ => Some(self.typed("proxy", |text| Proxy::parse(text).ok())?),
        };
        Ok(Settings {
            endpoint: self.typed("endpoint", |text| Endpoint::parse(text).ok())?,
            names_endpoint: self.values.contains_key("endpoint"),
            account: self.text("account")?.to_owned(),
            bearer_token,
            spool,
            durability,
            role: self.typed("role", Role::from_name)?,
            flush_interval: self.millis("flush_interval_ms")?,
            batch_max: self.number("batch_max")?,
            lanes: self.number("lanes")?,
            connect_timeout: self.millis("connect_timeout_ms")?,
            request_timeout: self.millis("request_timeout_ms")?,
            proxy,
            ca_file: self.path("ca_file")?,
            max_spool_bytes: NonZeroU64::new(self.number("max_spool_bytes")?),
            max_event_bytes: self.number("max_event_bytes")?,
            utc_offset: self.typed("utc_offset", UtcOffset::parse)?,
            receipts_kept: NonZeroU64::new(self.number("receipts_days")?)
                .map(|days| Duration::from_secs(days.get() * 86_400)),
            event_ttl: NonZeroU64::new(self.number("event_ttl_s")?)
                .map(|seconds| Duration::from_secs(seconds.get())),
            max_requests_per_s: NonZeroU32::new(self.number("max_requests_per_s")?),
            brake_users: NonZeroU32::new(self.number("brake_users")?),
            log_level: self.typed("log_level", Level::from_option)?,
            allow_network_spool: self.typed("allow_network_spool", |text| text.parse().ok())?,
            trust_group: self.typed("trust_group", |text| text.parse().ok())?,
        })
    }

    fn store(&mut self, doc: &'static OptionDoc, value: &str) -> std::result::Result<(), String> {
        doc.check(value)?;
        self.values.insert(doc.key, value.into());
        Ok(())
    }

    fn value(&self, doc: &OptionDoc) -> &str {
        self.values
            .get(doc.key)
            .map_or(doc.default, |value| value.expose_secret())
    }

    fn text(&self, key: &str) -> Result<&str> {
        find_option(key).map(|doc| self.value(doc))
    }

    /// An option as `parse` reads it. `set` has checked the value already.
    fn typed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let defect = || {
            let what = format!("config: {key}: was accepted by set but cannot be read");
            Error::new(ErrorKind::Internal, what)
        };
        parse(self.text(key)?).ok_or_else(defect)
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> Result<T> {
        self.typed(key, |text| T::try_from(options::parse_whole(text)?).ok())
    }

    fn millis(&self, key: &str) -> Result<Duration> {
        self.number(key).map(Duration::from_millis)
    }

    /// A path, made absolute so that a later change of the working directory does not change its
    /// meaning.
    fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        match self.text(key)? {
            "" => Ok(None),
            path => std::path::absolute(path)
                .map(Some)
                .map_err(|cause| config_error(format!("config: {key}: {cause}"))),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn find_option(key: &str) -> Result<&'static OptionDoc> {
    options::find(key).ok_or_else(|| {
        let hint = hint(key, reference().map(|doc| doc.key));
        config_error(format!("config: unknown key {}{hint}", quoted(key)))
    })
}

fn config_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
