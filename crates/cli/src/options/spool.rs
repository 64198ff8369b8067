//! The spool that a command is about, and the configuration of a command that opens it as an
//! application does.
//!
//! A directory on the command line takes precedence over the environment, which takes precedence
//! over the file. A command that only reads a spool or changes its state needs nothing but the
//! directory: the spool itself knows its endpoint and account, so an operator does not have to
//! repeat them.
//!
//! The spool itself is its owner's word. A bearer token that the owner cannot read, because it is in root's
//! environment or in a file of root's, is never sent where only the spool says.

use std::path::{Path, PathBuf};

use meditopia::internals::client::Purpose;
use meditopia::internals::config::{Durability, TokenSource};
use meditopia::internals::spool;
use meditopia::{Client, Config};

use crate::failure::{Failure, USAGE};
use crate::options::typed::Typed;
use crate::output::print_error;
use crate::owner::{
    become_controller_of, become_owner_of, check_spool_of_controller, current_user, gave_up_root,
    is_unreadable,
};

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

    /// Opens the spool to read it; nothing in it is changed. Says how the caller named it.
    pub fn open_to_read_typed(&self) -> Result<(Client, Typed), Failure> {
        let dir = self.dir_as_owner()?;
        let client = Client::open_existing(&dir, Purpose::Read)?;
        Ok((client, self.typed(&dir)))
    }

    /// Opens the spool to change its state.
    pub fn open_to_change(&self) -> Result<Client, Failure> {
        let dir = self.dir_as_owner()?;
        Ok(Client::open_existing(&dir, Purpose::Change)?)
    }

    /// Opens the spool to change its state, and says how the caller named it.
    pub fn open_to_change_typed(&self) -> Result<(Client, Typed), Failure> {
        let dir = self.dir_as_owner()?;
        let client = Client::open_existing(&dir, Purpose::Change)?;
        Ok((client, self.typed(&dir)))
    }

    /// See [`NamedSpool::config_as_owner`]. The caller reports the configuration's warnings.
    pub fn config_as_owner(&self, token: TokenUse) -> Result<Config, Failure> {
        self.sources().config_as_owner(token)
    }

    /// Like [`config_as_owner`](Self::config_as_owner), and prints the configuration's warnings.
    pub fn config_with_printed_warnings(&self, token: TokenUse) -> Result<Config, Failure> {
        let config = self.config_as_owner(token)?;
        for warning in config.warnings() {
            print_error(format_args!("meditopia: warning: {warning}"));
        }
        Ok(config)
    }

    /// Says what is wrong with the file that --config names, or with the environment.
    pub fn check_config_file(&self) -> Result<(), Failure> {
        self.sources().load().map(drop)
    }

    /// The configuration of a command that sends, and has a store instead of a spool.
    pub fn config_of_relay(&self) -> Result<Config, Failure> {
        self.sources().config_of_relay()
    }

    /// How the caller named the spool at `dir`.
    pub fn typed(&self, dir: &Path) -> Typed {
        let named = &self.named;
        Typed::new(
            self.positional.as_deref(),
            named.spool.as_deref(),
            named.config.as_deref(),
            dir,
        )
    }

    /// Whether the command line names a spool.
    pub fn is_named(&self) -> bool {
        self.positional.is_some() || self.named.spool.is_some()
    }

    /// Whether the environment or the configuration file names one.
    pub fn is_configured(&self) -> Result<bool, Failure> {
        Ok(!self.sources().load()?.config.get("spool")?.is_empty())
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
    /// endpoint and account that the spool belongs to. From here on this process runs as the spool's owner.
    pub fn config_as_owner(&self) -> Result<Config, Failure> {
        self.sources().config_as_owner(TokenUse::None)
    }

    /// Like [`config_as_owner`](Self::config_as_owner), for a command that sends.
    pub fn config_to_send(&self) -> Result<Config, Failure> {
        self.sources().config_as_owner(TokenUse::Sent)
    }

    /// What the command line, the environment and the file set, for a command that needs no spool and writes
    /// at most into a directory. If they name a spool, this process runs as its owner from here on, otherwise
    /// as the user who can change what the path of the directory leads to.
    pub fn config_without_spool(&self, directory: Option<&Path>) -> Result<Config, Failure> {
        let sources = self.sources();
        let loaded = sources.load()?;
        if !loaded.config.get("spool")?.is_empty() {
            sources.become_owner(&loaded)?;
        }
        if let Some(directory) = directory {
            become_controller_of(directory)?;
        }
        with_named_endpoint(loaded.config)
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            dir: self.spool.as_deref(),
            file: self.config.as_deref(),
        }
    }
}

/// What a command does with the bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// It sends it to the endpoint.
    Sent,
    /// Nothing.
    None,
}

/// What the command line says about the spool and its configuration.
struct Sources<'a> {
    dir: Option<&'a Path>,
    file: Option<&'a Path>,
}

/// What the command line, the environment and the file set, whether they name a spool or not.
struct Loaded {
    config: Config,
    /// The environment sets the bearer token.
    has_token_of_environment: bool,
    /// Another user than root can change the file.
    has_file_of_user: bool,
}

impl Sources<'_> {
    fn dir_as_owner(&self) -> Result<PathBuf, Failure> {
        match self.dir {
            Some(dir) => {
                become_owner_of(dir)?;
                Ok(dir.to_owned())
            }
            None => self.become_owner(&self.load()?),
        }
    }

    /// From here on this process runs as the owner of the configured spool, which is returned.
    fn become_owner(&self, loaded: &Loaded) -> Result<PathBuf, Failure> {
        let dir = configured_spool(&loaded.config)?;
        become_owner_of(&dir)?;
        if let Some(file) = self
            .file
            .filter(|_| loaded.has_file_of_user && gave_up_root())
        {
            check_spool_of_controller(file, &dir)?;
        }
        Ok(dir)
    }

    fn config_as_owner(&self, token: TokenUse) -> Result<Config, Failure> {
        // Loaded before root is given up, because only root may be able to read the file.
        let loaded = self.load()?;
        let dir = self.become_owner(&loaded)?;
        let known = spool::describe(&dir);
        // Whatever the spool says by the time that it is opened: the client sends where the configuration
        // says, and refuses a spool that says something else.
        if token == TokenUse::Sent && self.has_token_of_root(&loaded)? {
            let said = known.as_ref().ok().map(|known| known.endpoint.as_str());
            refuse_to_send_token(&loaded, &dir, self.file, said)?;
        }
        let Ok(known) = known else {
            // There is no spool yet, or opening the client will say what is wrong with it. By then it may say another
            // endpoint: the one that was checked above counts.
            return with_named_endpoint(loaded.config);
        };
        let mut own = Config::new();
        own.set("endpoint", &known.endpoint)?;
        own.set("account", &known.account)?;
        own.override_with(&loaded.config);
        Ok(own)
    }

    fn config_of_relay(&self) -> Result<Config, Failure> {
        let mut loaded = self.load()?;
        let spool = loaded.config.get("spool")?;
        if !spool.is_empty() {
            return Err(Failure::new(
                USAGE,
                format!(
                    "spool {spool}: a store is named as well, and what a relay delivers is in the store; for a relay, name no spool; to deliver this spool, name no store; to hand its events to the store, use meditopia forward"
                ),
            ));
        }
        if self.has_token_of_root(&loaded)? {
            refuse_token_for_file(&loaded, self.file, "store")?;
        }
        loaded.config.set("durability", Durability::Memory.name())?;
        with_named_endpoint(loaded.config)
    }

    /// Whether there is a bearer token that root has given to the command and the spool's owner cannot read.
    /// A token's file is read with the owner's rights.
    fn has_token_of_root(&self, loaded: &Loaded) -> Result<bool, Failure> {
        let is_given = given_token(&loaded.config)?;
        let is_readable = self.file.is_some_and(|file| !is_unreadable(file));
        Ok(gave_up_root() && is_given && (loaded.has_token_of_environment || !is_readable))
    }

    fn load(&self) -> Result<Loaded, Failure> {
        let mut config = Config::new();
        let mut has_file_of_user = false;
        if let Some(file) = self.file {
            has_file_of_user = become_controller_of(file)?;
            config.load_file(file)?;
        }
        let mut environment = Config::new();
        environment.load_process_env()?;
        config.override_with(&environment);
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
        Ok(Loaded {
            config,
            has_token_of_environment: given_token(&environment)?,
            has_file_of_user,
        })
    }
}

/// Refuses to send a token of root's where another user says. `said`: the endpoint of the spool.
fn refuse_to_send_token(
    loaded: &Loaded,
    dir: &Path,
    file: Option<&Path>,
    said: Option<&str>,
) -> Result<(), Failure> {
    let what = format!("spool {}", dir.display());
    refuse_token_for_file(loaded, file, &what)?;
    match said {
        // It may be that of the default.
        Some(said)
            if !names_endpoint(&loaded.config)? && said != loaded.config.get("endpoint")? =>
        {
            let owner = current_user();
            Err(Failure::new(
                USAGE,
                format!(
                    "{what}: only the spool names the endpoint {said}, and the spool's owner, {owner}, cannot read the bearer token, so it is not sent there; set endpoint where the token is set, or let {owner} read a bearer_token_file"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Refuses to send a token of root's environment where a file of another user says.
fn refuse_token_for_file(loaded: &Loaded, file: Option<&Path>, what: &str) -> Result<(), Failure> {
    let Some(file) = file.filter(|_| loaded.has_file_of_user) else {
        return Ok(());
    };
    Err(Failure::new(
        USAGE,
        format!(
            "{what}: the bearer token in root's environment would go where {} says, which {} can change; let that file name the token, or give root a configuration file of its own",
            file.display(),
            current_user()
        ),
    ))
}

/// Whether a bearer token is given as a value, and not by the name of a file.
fn given_token(config: &Config) -> Result<bool, Failure> {
    let mut config = config.clone();
    config.set("durability", Durability::Memory.name())?;
    Ok(matches!(
        config.settings()?.bearer_token,
        TokenSource::Given(_)
    ))
}

/// Whether the endpoint is set, and not only by its default.
fn names_endpoint(config: &Config) -> Result<bool, Failure> {
    const NOBODYS: &str = "https://unset.invalid/";
    let mut set = Config::new();
    set.set("endpoint", NOBODYS)?;
    set.override_with(config);
    Ok(set.get("endpoint")? != NOBODYS)
}

/// The configuration with its endpoint, also if that is the default: no spool has a say in it any more.
fn with_named_endpoint(mut config: Config) -> Result<Config, Failure> {
    let endpoint = config.get("endpoint")?;
    config.set("endpoint", &endpoint)?;
    Ok(config)
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
