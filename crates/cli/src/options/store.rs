//! The store of a fleet: the options that say where the database is.

use std::path::{Path, PathBuf};

use meditopia::internals::spelling::shell_word;
use meditopia_fleet::address::Address;
use meditopia_fleet::connection::Connection;
use meditopia_fleet::failure::{Failure as StoreFailure, Outcome};
use meditopia_fleet::settings::Given;

use crate::failure::{FAILED, Failure, USAGE};
use crate::options::typed::Typed;
use crate::owner::become_controller_of;

/// The store of a command.
#[derive(clap::Args)]
pub struct StoreArguments {
    #[command(flatten)]
    store: StoreNames,
    /// A TOML file with store, store_file, store_ca_file or store_allow_plaintext; the environment takes precedence
    /// over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The same of a command that has another option for its configuration file.
#[derive(clap::Args)]
pub struct StoreNames {
    /// The store's URL, postgres://user@host/database, without a password: every user of this host can see a command
    /// line. MEDITOPIA_STORE, a file, ~/.pgpass and PGPASSWORD may hold one
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A file that holds the store's URL
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    store_file: Option<PathBuf>,
    /// A PEM file of certificate authorities to trust for the store instead of the system's
    #[arg(long, value_name = "FILE")]
    store_ca_file: Option<PathBuf>,
}

impl StoreNames {
    /// Whether the command line names a store.
    pub fn is_named(&self) -> bool {
        self.store.is_some() || self.store_file.is_some()
    }

    /// Whether the environment or the file does.
    pub fn is_configured(&self, config: Option<&Path>) -> Result<bool, Failure> {
        if let Some(config) = config {
            become_controller_of(config)?;
        }
        let mut given = Given::default();
        given.complete(config)?;
        Ok(given.names_store())
    }

    /// How the caller named it, for the commands that are advised.
    pub fn typed(&self, config: Option<&Path>) -> Typed {
        let file =
            |name: &str, path: &Path| format!("{name} {}", shell_word(&path.display().to_string()));
        let store = self.store.as_deref();
        let words = [
            store.map(|url| format!("--store {}", shell_word(url))),
            self.store_file
                .as_deref()
                .map(|path| file("--store-file", path)),
            self.store_ca_file
                .as_deref()
                .map(|path| file("--store-ca-file", path)),
            config.map(|path| file("--config", path)),
        ];
        Typed::of_store(words.into_iter().flatten().collect())
    }

    /// What the command line, the environment and the file say of the store.
    fn given(&self, config: Option<&Path>) -> Result<Given, Failure> {
        let mut given = Given {
            store: self.store.as_deref().map(Into::into),
            store_file: self.store_file.clone(),
            store_ca_file: self.store_ca_file.clone(),
            store_allow_plaintext: None,
        };
        // Root reads a file as the user who can change what its path leads to.
        if let Some(config) = config {
            become_controller_of(config)?;
        }
        given.complete(config)?;
        Ok(given)
    }

    /// How the store is reached.
    pub fn address(&self, config: Option<&Path>) -> Result<Address, Failure> {
        self.address_of(&self.given(config)?)
    }

    /// The same; `None` if no store is named.
    pub fn address_if_named(&self, config: Option<&Path>) -> Result<Option<Address>, Failure> {
        let given = self.given(config)?;
        match given.names_store() || self.store_ca_file.is_some() {
            true => self.address_of(&given).map(Some),
            false => Ok(None),
        }
    }

    fn address_of(&self, given: &Given) -> Result<Address, Failure> {
        if self.store.as_deref().is_some_and(has_password) {
            return Err(Failure::new(
                USAGE,
                "--store: every user of this host can see a password on a command line; put the URL into a file and name that with --store-file, or use MEDITOPIA_STORE",
            ));
        }
        if let Some(file) = &given.store_file {
            become_controller_of(file)?;
        }
        Ok(Address::read(&given.options()?)?)
    }
}

impl StoreArguments {
    /// How the store is reached.
    pub fn address(&self) -> Result<Address, Failure> {
        self.store.address(self.config.as_deref())
    }

    /// How the caller named it, for the commands that are advised.
    pub fn typed(&self) -> Typed {
        self.store.typed(self.config.as_deref())
    }

    /// Connects.
    pub fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(&self.address()?)?)
    }
}

/// Anything that may be one: what stands before an `@` behind a colon, or in a parameter.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || url.contains("password=")
}

impl From<StoreFailure> for Failure {
    fn from(failure: StoreFailure) -> Self {
        let status = match failure.outcome() {
            Outcome::Misconfigured => USAGE,
            _ => FAILED,
        };
        Self::new(status, failure.message())
    }
}
