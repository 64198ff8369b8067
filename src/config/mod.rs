//! Configuration: options set by name, from code, a file or the environment, and read as one typed
//! [`Settings`].
//!
//! A value is checked where it is set, so that the error can say who set it; what only makes sense
//! together (is there a spool?) is checked by [`Config::settings`]. Later calls win. Code that sets
//! an unknown key has a mistake and gets an error; a file or an environment that does may be shared
//! with a newer version, so there it is a warning. Nothing is read by itself: not even the
//! environment, unless asked.
//!
//! ```
//! use meditopia::config::Config;
//!
//! # fn main() -> meditopia::error::Result<()> {
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
mod options;
mod settings;
mod token;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, ErrorKind, Result};
use crate::event::UtcOffset;
use crate::log::Level;
use crate::spelling::{did_you_mean, hint, nearest, quoted};

pub use address::{Endpoint, Proxy};
pub use options::{OptionDoc, markdown, reference};
pub use settings::{Durability, Role, Settings, conflict, differences};
pub use token::{BearerToken, TokenSource};

/// The most lanes that a spool can have.
pub(crate) const LANES_MAX: u8 = 16;
/// What the variables of the environment start with.
const PREFIX: &str = "MEDITOPIA_";

/// Options being gathered. Its `Debug` shows no values.
#[derive(Clone, Default)]
pub struct Config {
    /// Every value is kept as a secret, which is simpler than telling the two secret ones apart.
    values: BTreeMap<&'static str, SecretString>,
    warnings: Vec<String>,
}

impl Config {
    /// Every option at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one option. An empty value unsets what has no default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such key (the nearest is named) or the value is not in
    /// its range. Nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let doc = known(key)?;
        self.store(doc, value)
            .map_err(|wrong| config(format!("config: {key}: {wrong}")))
    }

    /// The value of an option, or its default; empty if it has neither.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no such key, or if it is a secret.
    pub fn get(&self, key: &str) -> Result<String> {
        let doc = known(key)?;
        if doc.is_secret() {
            return Err(config(format!(
                "config: {key}: is a secret and never given back"
            )));
        }
        Ok(self.value(doc).to_owned())
    }

    /// Sets what these variables say: `MEDITOPIA_SPOOL` is `spool`. Others are not looked at, and a
    /// `MEDITOPIA_` variable that is no option adds to the [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the variable whose value is not in its range. Nothing is changed
    /// then.
    pub fn load_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut loaded = self.clone();
        for (name, value) in vars {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            match options::find(&key.to_ascii_lowercase()) {
                // Tells the packages for other languages where this library is.
                _ if key == "LIBRARY" => {}
                Some(doc) if doc.variable() == name => loaded
                    .store(doc, &value)
                    .map_err(|wrong| config(format!("{name}: {wrong}")))?,
                _ => {
                    let meant = nearest(key, reference().map(|doc| doc.key));
                    let variable = meant.and_then(options::find).map(OptionDoc::variable);
                    loaded.warn(&name, did_you_mean(variable.as_deref()));
                }
            }
        }
        *self = loaded;
        Ok(())
    }

    /// Sets what this process's environment says: see [`load_env`](Self::load_env).
    ///
    /// # Errors
    /// As [`load_env`](Self::load_env); also if a `MEDITOPIA_` variable is not UTF-8.
    pub fn load_process_env(&mut self) -> Result<()> {
        let mut vars = Vec::new();
        for (name, value) in std::env::vars_os() {
            if let Some(var) = our_variable(name, value)? {
                vars.push(var);
            }
        }
        self.load_env(vars)
    }

    /// Sets what a TOML file says: a flat table of the keys, with strings, integers and booleans.
    /// A key that is no option adds to the [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the file, and the key or the line, if it cannot be read, is not
    /// TOML, or a value is not in its range. Nothing is changed then.
    pub fn load_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let shown = path.display();
        let wrong = |what: &dyn fmt::Display| config(format!("{shown}: {what}"));
        let text = std::fs::read_to_string(path).map_err(|cause| wrong(&cause))?;
        let table: toml::Table = toml::from_str(&text).map_err(|cause| {
            // Not its `Display`: that shows the line, which may hold the bearer token.
            let before = cause.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
            wrong(&format!("line {line}: {}", cause.message()))
        })?;
        let mut loaded = self.clone();
        for (key, value) in table {
            let Some(doc) = options::find(&key) else {
                let hint = hint(&key, reference().map(|doc| doc.key));
                loaded.warn(format_args!("{shown}: {}", quoted(&key)), hint);
                continue;
            };
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                other => {
                    let what = other.type_str();
                    return Err(wrong(&format!(
                        "{key}: is of type {what}, not a string, integer or boolean"
                    )));
                }
            };
            loaded
                .store(doc, &value)
                .map_err(|what| wrong(&format!("{key}: {what}")))?;
        }
        *self = loaded;
        Ok(())
    }

    /// Sets everything that `later` has set, as a later call would.
    pub fn override_with(&mut self, later: &Self) {
        self.values.extend(later.values.clone());
        self.warnings.extend_from_slice(&later.warnings);
    }

    /// What the environment and files said that is no option, for the log.
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
                    // A misspelt key in a file is only a warning, and may be the reason.
                    let ignored = self.warnings.iter().map(|warning| format!(" ({warning})"));
                    config(what.to_owned() + &ignored.collect::<String>())
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
        })
    }

    fn store(&mut self, doc: &'static OptionDoc, value: &str) -> std::result::Result<(), String> {
        doc.check(value)?;
        self.values.insert(doc.key, value.into());
        Ok(())
    }

    fn warn(&mut self, place: impl fmt::Display, hint: String) {
        self.warnings
            .push(format!("{place}: is no option and was ignored{hint}"));
    }

    fn value(&self, doc: &OptionDoc) -> &str {
        self.values
            .get(doc.key)
            .map_or(doc.default, |value| value.expose_secret())
    }

    fn text(&self, key: &str) -> Result<&str> {
        known(key).map(|doc| self.value(doc))
    }

    /// The value that `parse` makes of an option. `set` has checked it already.
    fn typed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let defect = || {
            let what = format!("config: {key}: was taken by set but cannot be read");
            Error::new(ErrorKind::Internal, what)
        };
        parse(self.text(key)?).ok_or_else(defect)
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> Result<T> {
        self.typed(key, |text| T::try_from(options::whole(text)?).ok())
    }

    fn millis(&self, key: &str) -> Result<Duration> {
        self.number(key).map(Duration::from_millis)
    }

    /// A path, made absolute so that a later change of the working directory does not move it.
    fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        match self.text(key)? {
            "" => Ok(None),
            path => std::path::absolute(path)
                .map(Some)
                .map_err(|cause| config(format!("config: {key}: {cause}"))),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn known(key: &str) -> Result<&'static OptionDoc> {
    options::find(key).ok_or_else(|| {
        let hint = hint(key, reference().map(|doc| doc.key));
        config(format!("config: unknown key {}{hint}", quoted(key)))
    })
}

/// A variable that this library reads; an error if it is ours but not UTF-8.
fn our_variable(name: OsString, value: OsString) -> Result<Option<(String, String)>> {
    let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) => Ok(Some((name.to_owned(), value))),
        Err(_) => Err(config(format!("{name}: is not UTF-8"))),
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
