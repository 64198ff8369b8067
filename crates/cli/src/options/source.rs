//! What a command of operators is about: a spool, or the store of a fleet.
//!
//! What the command line names comes first. Where it names neither, the environment and the configuration do, and a
//! spool takes precedence over a store there: a host that forwards has both.

use std::path::PathBuf;

use meditopia::Client;
use meditopia::internals::client::Purpose;
use meditopia_fleet::address::Address;
use meditopia_fleet::look::Look;

use crate::failure::{Failure, USAGE};
use crate::options::spool::SpoolOptions;
use crate::options::store::StoreNames;
use crate::options::typed::Typed;
use crate::source::Source;

/// A spool, or a store in its place.
#[derive(clap::Args)]
pub struct SourceOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    store: StoreNames,
}

impl SourceOptions {
    /// How the store is reached, if the command is about one. If root runs this process, it goes on as the user who can
    /// change what names the store.
    pub fn store(&self) -> Result<Option<(Address, Typed)>, Failure> {
        let config = self.spool.config_file();
        let is_about_store = match (self.store.is_named(), self.spool.is_named()) {
            (true, true) => {
                return Err(Failure::new(
                    USAGE,
                    "a spool and a store are named, and this command is about one of them; leave out the other",
                ));
            }
            (true, false) => true,
            (false, true) => false,
            (false, false) => !self.spool.is_configured()? && self.store.is_configured(config)?,
        };
        match is_about_store {
            true => Ok(Some((
                self.store.address(config)?,
                self.store.typed(config),
            ))),
            false => Ok(None),
        }
    }

    /// The options of the spool, where the command is about one.
    pub fn spool(&self) -> &SpoolOptions {
        &self.spool
    }

    /// Opens what the command is about, to read it.
    pub fn open_to_read(&self) -> Result<Source, Failure> {
        Ok(self.open_to_read_typed()?.0)
    }

    /// The same, and says how the caller named it.
    pub fn open_to_read_typed(&self) -> Result<(Source, Typed), Failure> {
        match self.store()? {
            Some((address, typed)) => Ok((Source::store(Look::open(&address)?), typed)),
            None => {
                let (client, typed) = self.spool.open_to_read_typed()?;
                Ok((Source::Spool(client), typed))
            }
        }
    }

    /// Opens what the command is about, to change its state.
    pub fn open_to_change_typed(&self) -> Result<(Source, Typed), Failure> {
        match self.store()? {
            Some((address, typed)) => Ok((Source::store(Look::open_to_change(&address)?), typed)),
            None => {
                let (client, typed) = self.spool.open_to_change_typed()?;
                Ok((Source::Spool(client), typed))
            }
        }
    }

    /// Opens a spool to read it, for what only a spool has; from here on this process runs as its owner.
    pub fn open_spool(&self) -> Result<(Client, PathBuf, Typed), Failure> {
        let dir = self.spool.dir_as_owner()?;
        let client = Client::open_existing(&dir, Purpose::Read)?;
        let typed = self.spool.typed(&dir);
        Ok((client, dir, typed))
    }
}
