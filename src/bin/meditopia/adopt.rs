//! `meditopia adopt`: the operator's word that a spool is what it looks like.
//!
//! A spool remembers where it was made and for whom, because two copies that both send would deliver
//! everything twice. After a restore or a move only a person can know that there is no other copy.

use std::process::ExitCode;

use meditopia::config::Config;
use meditopia::spool::{self, Belonging};

use crate::failure::Failure;
use crate::output::say;
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia adopt /var/spool/shop                        it was moved here; it goes on as before
  meditopia adopt /var/spool/shop --account staging      it belongs to another account from now on

Make sure first that no other copy of the spool will ever send: what waits in both would be
delivered twice.";

/// The arguments of `meditopia adopt`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// The endpoint that its events go to from now on; the one it has unless given
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The account that it belongs to from now on; the one it has unless given
    #[arg(long, value_name = "TEXT")]
    account: Option<String>,
}

/// Writes the spool's new belonging, after the checks that every host of it makes.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let dir = options.spool.own_dir()?;
    let known = spool::describe(&dir)?;
    let mut config = Config::new();
    config.set("durability", "memory")?;
    config.set(
        "account",
        options.account.as_ref().unwrap_or(&known.account),
    )?;
    config.set(
        "endpoint",
        options.endpoint.as_ref().unwrap_or(&known.endpoint),
    )?;
    let settings = config.settings()?;
    let belonging = Belonging {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    };
    spool::adopt(&dir, belonging)?;
    say(format_args!(
        "{} now sends to {}",
        dir.display(),
        belonging.endpoint
    ))?;
    Ok(ExitCode::SUCCESS)
}
