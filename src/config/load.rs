//! Options from the environment and from files.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::options::{self, OptionDoc, VARIABLE_PREFIX, reference};
use super::{Config, config};
use crate::error::Result;
use crate::spelling::{did_you_mean, hint, nearest, quoted};

impl Config {
    /// Sets what these variables say: `MEDITOPIA_SPOOL` is `spool`. Others are not looked at, and a
    /// `MEDITOPIA_` variable that is no option adds to the [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the variable whose value is not in its range. Nothing is changed
    /// then.
    pub fn load_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut loaded = self.clone();
        for (name, value) in vars {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else {
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

    fn warn(&mut self, place: impl fmt::Display, hint: String) {
        self.warnings
            .push(format!("{place}: is no option and was ignored{hint}"));
    }
}

/// A variable that this library reads; an error if it is ours but not UTF-8.
pub(super) fn our_variable(name: OsString, value: OsString) -> Result<Option<(String, String)>> {
    let Some(name) = name
        .to_str()
        .filter(|name| name.starts_with(VARIABLE_PREFIX))
    else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) => Ok(Some((name.to_owned(), value))),
        Err(_) => Err(config(format!("{name}: is not UTF-8"))),
    }
}
