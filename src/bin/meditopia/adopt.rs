//! `meditopia adopt`: the operator's word that a spool is what it looks like.
//!
//! A spool remembers where it was made and for whom, because two copies that both send would deliver
//! everything twice. After a restore or a move only a person can know that there is no other copy.

use std::path::PathBuf;
use std::process::ExitCode;

use meditopia::config::Config;
use meditopia::spool::{self, Belonging};

/// The arguments of `meditopia adopt`.
#[derive(clap::Args)]
pub struct Options {
    /// The spool's directory
    spool: PathBuf,
    /// The endpoint that its events go to from now on; the API's own unless given
    #[arg(long)]
    endpoint: Option<String>,
    /// The account that it belongs to from now on
    #[arg(long, default_value = "")]
    account: String,
}

/// Writes the spool's new belonging, after the checks that every host of it makes.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let settings = || {
        let mut config = Config::new();
        config.set("durability", "memory")?;
        config.set("account", &options.account)?;
        if let Some(endpoint) = &options.endpoint {
            config.set("endpoint", endpoint)?;
        }
        config.settings()
    };
    let settings = settings().map_err(|e| e.to_string())?;
    let belonging = Belonging {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    };
    spool::adopt(&options.spool, belonging).map_err(|e| e.to_string())?;
    println!(
        "{} now sends to {}",
        options.spool.display(),
        belonging.endpoint
    );
    Ok(ExitCode::SUCCESS)
}
