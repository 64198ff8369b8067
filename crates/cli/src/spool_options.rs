//! Which spool a command is about, and how a command that works like a host of it is configured.
//!
//! A directory on the command line goes before the environment, and that before the file. A command that
//! only looks at a spool or acts on it needs no more than its directory: to which endpoint and account a
//! spool belongs it says itself, so that an operator at night has nothing to repeat.

use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia::Config;
use meditopia::internals::client::Purpose;
use meditopia::internals::spool;

use crate::failure::{Failure, USAGE};
use crate::output::complain;
use crate::owner::become_owner_of;

/// A command's spool, by position or by name.
#[derive(clap::Args)]
pub struct SpoolOptions {
    /// The spool's directory; else that of --spool, MEDITOPIA_SPOOL or the configuration
    #[arg(value_name = "SPOOL", conflicts_with = "spool")]
    place: Option<PathBuf>,
    #[command(flatten)]
    named: NamedSpool,
}

/// A command's spool by name, for commands whose positions are taken.
#[derive(clap::Args)]
pub struct NamedSpool {
    /// The spool's directory
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// A TOML file with the library's options; what the environment says goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SpoolOptions {
    /// Where the spool is. Whoever runs this process from here on is its owner.
    pub fn own_dir(&self) -> Result<PathBuf, Failure> {
        self.find().own_dir()
    }

    /// The spool, to look at: nothing in it is changed.
    pub fn look(&self) -> Result<Client, Failure> {
        let dir = self.own_dir()?;
        Ok(Client::open_existing(&dir, Purpose::Read)?)
    }

    /// The spool, to act on.
    pub fn act(&self) -> Result<Client, Failure> {
        let dir = self.own_dir()?;
        Ok(Client::open_existing(&dir, Purpose::Change)?)
    }

    /// The configuration of a host of this spool; see [`NamedSpool::host`]. Its warnings are the caller's to tell.
    pub fn host(&self) -> Result<Config, Failure> {
        self.find().host()
    }

    /// The same, with its warnings told on standard error.
    pub fn told_host(&self) -> Result<Config, Failure> {
        let config = self.host()?;
        for warning in config.warnings() {
            complain(format_args!("meditopia: warning: {warning}"));
        }
        Ok(config)
    }

    /// The file that --config names.
    pub fn config_file(&self) -> Option<&Path> {
        self.named.config.as_deref()
    }

    fn find(&self) -> Sources<'_> {
        Sources {
            dir: self.place.as_deref().or(self.named.spool.as_deref()),
            file: self.named.config.as_deref(),
        }
    }
}

impl NamedSpool {
    /// The configuration of a host of this spool, for [`Client::open`]: the file's, the environment's, and
    /// where they are silent the spool's own endpoint and account. Whoever runs this process from here on
    /// is the spool's owner; the file was read before that.
    pub fn host(&self) -> Result<Config, Failure> {
        self.find().host()
    }

    /// What the command line, the environment and the file say, whether they name a spool or not.
    pub fn loaded(&self) -> Result<Config, Failure> {
        self.find().loaded(Config::new())
    }

    fn find(&self) -> Sources<'_> {
        Sources {
            dir: self.spool.as_deref(),
            file: self.config.as_deref(),
        }
    }
}

struct Sources<'a> {
    dir: Option<&'a Path>,
    file: Option<&'a Path>,
}

impl Sources<'_> {
    fn own_dir(&self) -> Result<PathBuf, Failure> {
        let dir = match self.dir {
            Some(dir) => dir.to_owned(),
            None => spool_of(&self.loaded(Config::new())?)?,
        };
        become_owner_of(&dir)?;
        Ok(dir)
    }

    fn host(&self) -> Result<Config, Failure> {
        // Also what only root can read.
        let config = self.loaded(Config::new())?;
        let dir = spool_of(&config)?;
        become_owner_of(&dir)?;
        let Ok(known) = spool::describe(&dir) else {
            // There is none yet, or the client's opening says what is wrong with it.
            return Ok(config);
        };
        let mut own = Config::new();
        own.set("endpoint", &known.endpoint)?;
        own.set("account", &known.account)?;
        own.override_with(&config);
        Ok(own)
    }

    fn loaded(&self, mut config: Config) -> Result<Config, Failure> {
        if let Some(file) = self.file {
            config.load_file(file)?;
        }
        config.load_process_env()?;
        if let Some(dir) = self.dir {
            let dir = dir.to_str().ok_or_else(|| {
                Failure::new(
                    USAGE,
                    format!("spool {}: is not UTF-8; use another path", dir.display()),
                )
            })?;
            config.set("spool", dir)?;
        }
        Ok(config)
    }
}

fn spool_of(config: &Config) -> Result<PathBuf, Failure> {
    match config.get("spool")? {
        none if none.is_empty() => Err(Failure::new(
            USAGE,
            "no spool is named; give its directory, --config FILE, or set MEDITOPIA_SPOOL",
        )),
        dir => Ok(PathBuf::from(dir)),
    }
}
