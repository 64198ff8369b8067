//! How grave what the library has to say is.

/// How grave a record of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Events are at risk or are not being delivered.
    Error,
    /// Something an operator should look at.
    Warn,
    /// What the library does, a few lines an hour.
    Info,
    /// Every request.
    Debug,
}

impl Level {
    pub(crate) const NAMES: [&'static str; 5] = ["off", "error", "warn", "info", "debug"];

    /// Every level, the gravest first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The name used in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// What the option `log_level` means: `off` is no level. Nothing if it is neither.
    pub(crate) fn from_option(name: &str) -> Option<Option<Self>> {
        match name {
            "off" => Some(None),
            name => Self::ALL
                .into_iter()
                .find(|level| level.name() == name)
                .map(Some),
        }
    }
}
