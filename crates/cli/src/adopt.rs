//! `meditopia adopt`: the operator's word that a spool is what it looks like.
//!
//! A spool remembers where it was made and for whom, because two copies that both send would deliver
//! everything twice. After a restore or a move only a person can know that there is no other copy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use meditopia::Config;
use meditopia::internals::config::Settings;
use meditopia::internals::spool::{self, Description, Destination};

use crate::failure::{Failure, USAGE};
use crate::output::say;
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia adopt /var/spool/shop                        it was moved here; it goes on as before
  meditopia adopt /var/spool/shop --account staging      it belongs to another account from now on
  meditopia adopt /var/spool/shop --endpoint https://partners.meditopia.com/default/v1/events
                                                         its events go there from now on

Only --endpoint and --account change to whom it belongs; where the configuration or the environment name
another one, and neither is given, it is refused, as it is while a process sends to the old ones. Make sure
first that no other copy of the spool will ever send: what waits in both would be delivered twice.";

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
    let configured = options.spool.told_host()?;
    let dir = PathBuf::from(configured.get("spool")?);
    let known = spool::describe(&dir)?;
    let named = |endpoint: &str, account: &str| {
        belonging(
            options.endpoint.as_deref().unwrap_or(endpoint),
            options.account.as_deref().unwrap_or(account),
        )
    };
    let wanted = named(&known.endpoint, &known.account)?;
    let configured = named(&configured.get("endpoint")?, &configured.get("account")?)?;
    agree(&dir, &known, of(&wanted), of(&configured))?;
    spool::adopt(&dir, of(&wanted))?;
    say(told(&dir, &known, of(&wanted)))?;
    Ok(ExitCode::SUCCESS)
}

fn belonging(endpoint: &str, account: &str) -> Result<Settings, Failure> {
    let mut config = Config::new();
    config.set("durability", "memory")?;
    config.set("endpoint", endpoint)?;
    config.set("account", account)?;
    Ok(config.settings()?)
}

fn of(settings: &Settings) -> Destination<'_> {
    Destination {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    }
}

/// Whoever gives a configuration of another endpoint most likely wants the spool to go there; but events
/// are given away only by what stands on the command line.
fn agree(
    dir: &Path,
    known: &Description,
    wanted: Destination<'_>,
    configured: Destination<'_>,
) -> Result<(), Failure> {
    if configured == wanted {
        return Ok(());
    }
    Err(Failure::new(
        USAGE,
        format!(
            "spool {} belongs to {}, and is configured for {}; nothing was changed; to give it away: {}; to keep it, mend the configuration (file, environment)",
            dir.display(),
            in_words(known.destination()),
            in_words(configured),
            known.adopt_command(dir, configured)
        ),
    ))
}

fn told(dir: &Path, before: &Description, now: Destination<'_>) -> String {
    let dir = dir.display();
    match (now == before.destination(), before.is_elsewhere) {
        (false, _) => format!(
            "{dir} now belongs to {}, and no more to {}",
            in_words(now),
            in_words(before.destination())
        ),
        (true, true) => format!(
            "{dir} may send from here now, to {} as before",
            in_words(now)
        ),
        (true, false) => format!(
            "{dir} needs no adoption, and stays as it is: it belongs to {}",
            in_words(now)
        ),
    }
}

fn in_words(belonging: Destination<'_>) -> String {
    match belonging.account {
        "" => belonging.endpoint.to_owned(),
        account => format!("{} (account {account:?})", belonging.endpoint),
    }
}
