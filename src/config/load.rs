//! Options from the environment and from files.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use super::options::{self, OptionDoc, VARIABLE_PREFIX, reference};
use super::{Config, config_error};
use crate::error::Result;
use crate::process::read_file;
use crate::spelling::{did_you_mean, hint, nearest, quoted};

/// A file of every option, with comments, has a hundredth of this.
const FILE_BYTES: u64 = 1024 * 1024;

/// What the command alone knows.
pub const OPTIONS_OF_FLEET: [&str; 9] = [
    "store",
    "store_file",
    "store_ca_file",
    "store_allow_plaintext",
    "store_connections",
    "forward_interval_ms",
    "forward_keep_s",
    "forward_keep_bytes",
    "relay_name",
];

impl Config {
    /// Sets options from these variables: `MEDITOPIA_SPOOL` is `spool`. Variables with another
    /// prefix are ignored. A `MEDITOPIA_` variable that is not an option adds to the
    /// [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) names the variable whose value is out
    /// of range. Nothing is changed then.
    pub fn load_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut loaded = self.clone();
        for (name, value) in vars {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            match options::find(&key.to_ascii_lowercase()) {
                // The packages for other languages read the path of this library from it.
                _ if key == "LIBRARY" || is_variable_of_fleet(key) => {}
                Some(doc) if doc.variable() == name => loaded
                    .store(doc, &value)
                    .map_err(|wrong| config_error(format!("{name}: {wrong}")))?,
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

    /// Sets options from the environment of this process: see [`load_env`](Self::load_env).
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

    /// Sets options from a TOML file: a flat table of keys, with strings, integers and booleans. A
    /// key that is not an option adds to the [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if the file cannot be read or is not
    /// TOML, or if a value is out of range; it names the file, and the key or the line. Nothing is
    /// changed then.
    pub fn load_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let shown = path.display();
        let wrong = |what: &dyn fmt::Display| config_error(format!("{shown}: {what}"));
        let text = read_text(path).map_err(|cause| wrong(&cause))?;
        let table: toml::Table = toml::from_str(&text).map_err(|cause| {
            // Its `Display` would show the line, which may hold the bearer token.
            let before = cause.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
            wrong(&format!("line {line}: {}", cause.message()))
        })?;
        let mut loaded = self.clone();
        for (key, value) in table {
            let Some(doc) = options::find(&key) else {
                if is_of_fleet(&key) {
                    continue;
                }
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

    fn warn(&mut self, place: impl fmt::Display, hint: String) {
        self.warnings
            .push(format!("{place}: is not an option and was ignored{hint}"));
    }
}

/// Whether the command reads this key, for a fleet: the library passes it over.
fn is_of_fleet(key: &str) -> bool {
    OPTIONS_OF_FLEET.contains(&key)
}

fn is_variable_of_fleet(name: &str) -> bool {
    let key = name.to_ascii_lowercase();
    name == key.to_ascii_uppercase() && is_of_fleet(&key)
}

/// The text of a configuration or another small file that is named, up to a bound that none of them reaches.
///
/// # Errors
/// It cannot be read, is no UTF-8, or is longer; or it is a pipe to which nobody writes.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut content = Vec::new();
    read_file(path, FILE_BYTES + 1, &mut content)?;
    if content.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!(
            "has more than {FILE_BYTES} bytes, which no such file has; name another file"
        )));
    }
    let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "is no text in UTF-8");
    String::from_utf8(content).map_err(no_text)
}

/// The variable, if it has the prefix of this library; then it must be UTF-8.
pub(super) fn our_variable(name: OsString, value: OsString) -> Result<Option<(String, String)>> {
    let Some(name) = name
        .to_str()
        .filter(|name| name.starts_with(VARIABLE_PREFIX))
    else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) => Ok(Some((name.to_owned(), value))),
        Err(_) => Err(config_error(format!("{name}: is not UTF-8"))),
    }
}
