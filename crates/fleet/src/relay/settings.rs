//! The options of a relay, from the environment and the configuration file.

use std::path::Path;

use crate::failure::Result;
use crate::sources::{Number, Source, Variable, variable};

const CONNECTIONS: Number = Number {
    key: "store_connections",
    default: 4,
    range: (1, 64),
};
const NAME: &str = "relay_name";
/// A longer name makes lists unreadable.
const NAME_MAX: usize = 100;

/// What the configuration says of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What lists call it; `None`: as its host.
    pub name: Option<String>,
    /// At most so many connections to the database at once, 1 to 64.
    pub connections: usize,
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
        let connections = CONNECTIONS.read(&sources)?;
        Ok(Self {
            name: name(&sources)?,
            connections: usize::try_from(connections).unwrap_or(1),
        })
    }
}

fn name(sources: &[Source<'_>]) -> Result<Option<String>> {
    let Some(found) = sources.iter().find_map(|source| source.find(NAME)) else {
        return Ok(None);
    };
    let is_name =
        |text: &str| (1..=NAME_MAX).contains(&text.len()) && !text.chars().any(|c| c.is_control());
    match found.value.as_str() {
        Some(text) if is_name(text) => Ok(Some(text.to_owned())),
        _ => Err(found.wrong(format_args!(
            "is not a text of 1 to {NAME_MAX} bytes without control characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::tests::with_sources;

    #[test]
    fn a_relay_is_named_as_its_host_unless_an_option_says_otherwise_and_what_is_wrong_is_named() {
        let read = |variables: &[(&str, &str)], file: &str| {
            with_sources(variables, file, |of, path| {
                Settings::read_from(of, Some(path))
            })
        };
        let default = read(&[], "store = \"postgres://db\"\n").unwrap();
        assert_eq!((default.name, default.connections), (None, 4));
        let file = "relay_name = \"east\"\nstore_connections = 2\n";
        let set = read(&[("MEDITOPIA_RELAY_NAME", "west")], file).unwrap();
        assert_eq!((set.name.as_deref(), set.connections), (Some("west"), 2));
        for (file, said) in [
            ("relay_name = \"a\\nb\"", "relay_name: is not a text"),
            ("relay_name = 7", "relay_name: is not a text"),
            ("store_connections = 0", "from 1 to 64"),
        ] {
            let wrong = read(&[], file).unwrap_err();
            assert!(wrong.message().contains(said), "{wrong}");
        }
    }
}
