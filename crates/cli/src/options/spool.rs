//! The spool that a command is about, and the configuration of a command that opens it as an
//! application does.
//!
//! A directory on the command line takes precedence over the environment, which takes precedence
//! over the file. A command that only reads a spool or changes its state needs nothing but the
//! directory: the spool itself knows its endpoint and account, so an operator does not have to
//! repeat them.

use std::path::{Path, PathBuf};

use meditopia::internals::client::Purpose;
use meditopia::internals::spool;
use meditopia::{Client, Config};

use crate::failure::{Failure, USAGE};
use crate::output::print_error;
use crate::owner::become_owner_of;

/// The spool of a command, by position or by name.
#[derive(clap::Args)]
pub struct SpoolOptions {
    /// The spool's directory; without it, that of --spool, MEDITOPIA_SPOOL or the configuration file
    #[arg(value_name = "SPOOL", conflicts_with = "spool")]
    positional: Option<PathBuf>,
    #[command(flatten)]
    named: NamedSpool,
}

/// The spool of a command by name, for a command that takes another positional argument.
#[derive(clap::Args)]
pub struct NamedSpool {
    /// The spool's directory
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// A TOML file with the library's options; the environment takes precedence over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SpoolOptions {
    /// The spool's directory. From here on this process runs as the spool's owner.
    pub fn dir_as_owner(&self) -> Result<PathBuf, Failure> {
        self.sources().dir_as_owner()
    }

    /// Opens the spool to read it; nothing in it is changed.
    pub fn open_to_read(&self) -> Result<Client, Failure> {
        let dir = self.dir_as_owner()?;
        Ok(Client::open_existing(&dir, Purpose::Read)?)
    }

    /// Opens the spool to change its state.
    pub fn open_to_change(&self) -> Result<Client, Failure> {
        let dir = self.dir_as_owner()?;
        Ok(Client::open_existing(&dir, Purpose::Change)?)
    }

    /// See [`NamedSpool::config_as_owner`]. The caller reports the configuration's warnings.
    pub fn config_as_owner(&self) -> Result<Config, Failure> {
        self.sources().config_as_owner()
    }

    /// Like [`config_as_owner`](Self::config_as_owner), and prints the configuration's warnings.
    pub fn config_with_printed_warnings(&self) -> Result<Config, Failure> {
        let config = self.config_as_owner()?;
        for warning in config.warnings() {
            print_error(format_args!("meditopia: warning: {warning}"));
        }
        Ok(config)
    }

    /// The file that --config names.
    pub fn config_file(&self) -> Option<&Path> {
        self.named.config.as_deref()
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            dir: self.positional.as_deref().or(self.named.spool.as_deref()),
            file: self.named.config.as_deref(),
        }
    }
}

impl NamedSpool {
    /// The configuration with which [`Client::open`] opens the spool as an application does.
    ///
    /// It consists of what the command line, the environment and the file set, and otherwise of the
    /// endpoint and account that the spool belongs to. The file is read with the rights that the
    /// command was started with; from here on this process runs as the spool's owner.
    pub fn config_as_owner(&self) -> Result<Config, Failure> {
        self.sources().config_as_owner()
    }

    /// What the command line, the environment and the file set, whether they name a spool or not.
    pub fn load_config(&self) -> Result<Config, Failure> {
        self.sources().load_config()
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            dir: self.spool.as_deref(),
            file: self.config.as_deref(),
        }
    }
}

/// What the command line says about the spool and its configuration.
struct Sources<'a> {
    dir: Option<&'a Path>,
    file: Option<&'a Path>,
}

impl Sources<'_> {
    fn dir_as_owner(&self) -> Result<PathBuf, Failure> {
        let dir = match self.dir {
            Some(dir) => dir.to_owned(),
            None => configured_spool(&self.load_config()?)?,
        };
        become_owner_of(&dir)?;
        Ok(dir)
    }

    fn config_as_owner(&self) -> Result<Config, Failure> {
        // Loaded before root is given up, because only root may be able to read the file.
        let config = self.load_config()?;
        let dir = configured_spool(&config)?;
        become_owner_of(&dir)?;
        let Ok(known) = spool::describe(&dir) else {
            // There is no spool yet, or opening the client will say what is wrong with it.
            return Ok(config);
        };
        let mut own = Config::new();
        own.set("endpoint", &known.endpoint)?;
        own.set("account", &known.account)?;
        own.override_with(&config);
        Ok(own)
    }

    fn load_config(&self) -> Result<Config, Failure> {
        let mut config = Config::new();
        if let Some(file) = self.file {
            config.load_file(file)?;
        }
        config.load_process_env()?;
        if let Some(dir) = self.dir {
            let dir = dir.to_str().ok_or_else(|| {
                Failure::new(
                    USAGE,
                    format!(
                        "spool {}: the path is not UTF-8; use another one",
                        dir.display()
                    ),
                )
            })?;
            config.set("spool", dir)?;
        }
        Ok(config)
    }
}

fn configured_spool(config: &Config) -> Result<PathBuf, Failure> {
    match config.get("spool")? {
        none if none.is_empty() => Err(Failure::new(
            USAGE,
            "no spool is given; name its directory, use --config FILE, or set MEDITOPIA_SPOOL",
        )),
        dir => Ok(PathBuf::from(dir)),
    }
}
