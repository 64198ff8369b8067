//! The configuration of a process that only sends.
//!
//! It may share its file with hosts that only enqueue, so the role is the command's and not the file's.
//! A bearer token that nothing else names is the credential that the service manager passed.

use std::path::Path;

use meditopia::Config;
use meditopia::internals::client::check_connection;
use meditopia::internals::config::{Durability, Role, Settings, TokenSource};

use crate::failure::{Failure, USAGE};
use crate::spool_options::SpoolOptions;

/// The name of systemd's credential: `LoadCredential=bearer-token:FILE`.
const CREDENTIAL: &str = "bearer-token";

/// A configuration and what it says.
pub struct Configured {
    pub config: Config,
    pub settings: Settings,
}

impl Configured {
    /// Reads file, environment and arguments. Whoever runs this process from here on is the spool's owner.
    pub fn read(spool: &SpoolOptions, role: Role) -> Result<Self, Failure> {
        let mut config = spool.host()?;
        config.set("role", role.name())?;
        let mut settings = config.settings()?;
        if let (TokenSource::Absent, Some(credential)) = (&settings.bearer_token, credential()) {
            config.set("bearer_token_file", &credential)?;
            settings = config.settings()?;
        }
        if settings.durability == Durability::Memory {
            return Err(Failure::new(
                USAGE,
                "durability: a spool of memory is its own process's; there is nothing to send from another",
            ));
        }
        check_connection(&settings)?;
        Ok(Self { config, settings })
    }

    /// What the spool is called in messages and metrics.
    pub fn spool_name(&self) -> String {
        let spool = self.settings.spool.as_deref();
        spool.map_or_else(String::new, |dir| dir.display().to_string())
    }
}

fn credential() -> Option<String> {
    let directory = std::env::var("CREDENTIALS_DIRECTORY").ok()?;
    let file = Path::new(&directory).join(CREDENTIAL);
    let file = file.exists().then_some(file)?;
    file.to_str().map(ToOwned::to_owned)
}
