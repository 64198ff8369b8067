//! The configuration of a command that sends.
//!
//! The command may share its configuration file with applications that only enqueue, so it sets the
//! role itself. If nothing else configures a bearer token, the credential of the service manager is
//! used.

use std::path::Path;

use meditopia::Config;
use meditopia::internals::client::check_connection;
use meditopia::internals::config::{Durability, Role, Settings, TokenSource};

use crate::failure::{Failure, USAGE};
use crate::options::spool::{NamedSpool, SpoolOptions, TokenUse};

/// The name of the systemd credential: `LoadCredential=bearer-token:FILE`.
const CREDENTIAL: &str = "bearer-token";

/// A configuration, and the settings that it stands for.
pub struct SenderConfig {
    pub config: Config,
    pub settings: Settings,
}

impl SenderConfig {
    /// Reads the file, the environment and the command line. From here on this process runs as the
    /// spool's owner.
    pub fn read(spool: &SpoolOptions, role: Role) -> Result<Self, Failure> {
        Self::of(spool.config_as_owner(TokenUse::Sent)?, role)
    }

    /// Like [`read`](Self::read), for a command that names the spool only by an option.
    pub fn read_named(spool: &NamedSpool, role: Role) -> Result<Self, Failure> {
        Self::of(spool.config_to_send()?, role)
    }

    /// The configuration of a relay, which has a store and no spool.
    pub fn read_for_relay(spool: &SpoolOptions) -> Result<Self, Failure> {
        Self::with_token(spool.config_of_relay()?)
    }

    fn of(mut config: Config, role: Role) -> Result<Self, Failure> {
        config.set("role", role.name())?;
        let sender = Self::with_token(config)?;
        if sender.settings.durability == Durability::Memory {
            return Err(Failure::new(
                USAGE,
                "durability: a spool with durability = memory is private to its process, so this command cannot send from it; set process or power",
            ));
        }
        Ok(sender)
    }

    fn with_token(mut config: Config) -> Result<Self, Failure> {
        let mut settings = config.settings()?;
        if let (TokenSource::Absent, Some(file)) = (&settings.bearer_token, credential_file()) {
            config.set("bearer_token_file", &file)?;
            settings = config.settings()?;
        }
        check_connection(&settings)?;
        Ok(Self { config, settings })
    }

    /// The name of the spool in messages and metrics.
    pub fn spool_name(&self) -> String {
        let spool = self.settings.spool.as_deref();
        spool.map_or_else(String::new, |dir| dir.display().to_string())
    }
}

/// Whether the service manager has passed this file.
pub fn is_credential(file: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    directory.is_some_and(|directory| file.starts_with(directory))
}

fn credential_file() -> Option<String> {
    let directory = std::env::var("CREDENTIALS_DIRECTORY").ok()?;
    let file = Path::new(&directory).join(CREDENTIAL);
    let file = file.exists().then_some(file)?;
    file.to_str().map(ToOwned::to_owned)
}
