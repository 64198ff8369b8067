//! `meditopia adopt`: the operator's confirmation that a spool may be used where it is now.
//!
//! A spool records its location, endpoint and account, because two copies that both send would
//! deliver every event twice. After a restore or a move only a person can know that there is no
//! other copy.
//!
//! A spool that has lost its `identity.json` gets a new one.

mod comparison;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use meditopia::internals::client::{Comparison, Purpose, compare_copy};
use meditopia::internals::config::Settings;
use meditopia::internals::spool::{self, Description, Destination};
use meditopia::{Client, Config, PauseReason};

use crate::failure::{EVENTS_LOST, Failure, NEEDS_YES, USAGE};
use crate::options::confirmation::Confirmation;
use crate::options::spool::{SpoolOptions, TokenUse};
use crate::output::{event_count, print_line};

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Only --endpoint and --account change what the spool belongs to. The command refuses to run if the
configuration or the environment names another endpoint or account and neither option is given,
and it refuses a change while a process sends to the old endpoint. First make sure that no other
copy of the spool will ever send: events that are pending in both would be delivered twice.

A spool with events whose identity.json was removed gets a new one, for the endpoint and account
that the options, the environment or the configuration name.

Files that were copied while a sender ran are of different moments. The command compares them and
names what may be missing.

Exit status:
  0  the spool was adopted
  1  the spool could not be adopted: see the message
  2  the configuration names another endpoint or account; nothing was changed
  3  events may be missing in the copy, its store is damaged, or events wait that would go
     elsewhere; without --yes nothing was changed
  4  such a copy was adopted

Examples:
  meditopia adopt /var/spool/shop                       # after a move
  meditopia adopt /var/spool/shop --account staging     # belongs to another one
  meditopia adopt /var/spool/shop --endpoint https://api.example/v1/events";

/// The arguments of `meditopia adopt`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// The new endpoint for its events; by default the present one
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The new account that it belongs to; by default the present one
    #[arg(long, value_name = "TEXT")]
    account: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Writes the new endpoint and account of the spool.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let configured = options.spool.config_with_printed_warnings(TokenUse::None)?;
    let dir = PathBuf::from(configured.get("spool")?);
    if spool::has_lost_identity(&dir)? {
        return make_identity(options, &dir, &configured);
    }
    let known = spool::describe(&dir)?;
    let with_options = |endpoint: &str, account: &str| {
        checked(
            options.endpoint.as_deref().unwrap_or(endpoint),
            options.account.as_deref().unwrap_or(account),
        )
    };
    let wanted = with_options(&known.endpoint, &known.account)?;
    let configured = with_options(&configured.get("endpoint")?, &configured.get("account")?)?;
    refuse_other_configuration(&dir, &known, destination(&wanted), destination(&configured))?;
    let redirects = destination(&wanted) != known.destination();
    if redirects {
        // Before the operator answers a question in vain. Whether that still holds, adopt looks under the lock.
        spool::check_no_sender(&dir)?;
    }
    let compared = match known.is_elsewhere {
        true => Some(compare_copy(&dir)?),
        false => None,
    };
    let needs_operator = compared.as_ref().is_some_and(Comparison::needs_operator);
    if let Some(compared) = &compared {
        comparison::print(&dir, compared)?;
    }
    if needs_operator && !options.confirmation.is_given() {
        let again = known.adopt_command(&dir, destination(&wanted));
        print_line(format_args!(
            "nothing was changed; to lose nothing, end the sender of the original or hold that spool, and copy it again; to use this copy as it is: {again} --yes"
        ))?;
        return Ok(ExitCode::from(NEEDS_YES));
    }
    if redirects {
        ask_to_redirect(options, &dir, &known, destination(&wanted))?;
    }
    spool::adopt(&dir, destination(&wanted))?;
    print_line(result(&dir, &known, destination(&wanted)))?;
    Ok(match needs_operator {
        true => ExitCode::from(EVENTS_LOST),
        false => ExitCode::SUCCESS,
    })
}

/// Asks whether the events that wait are to go elsewhere: they may be meant for where they would go now.
fn ask_to_redirect(
    options: &Options,
    dir: &Path,
    known: &Description,
    wanted: Destination<'_>,
) -> Result<(), Failure> {
    let stats = Client::open_existing(dir, Purpose::Read)?.stats()?;
    let waiting = match stats.paused {
        Some(PauseReason::StoreDamaged) => "what waits".to_owned(),
        _ if stats.pending == 0 => return Ok(()),
        _ => format!("what waits ({})", event_count(stats.pending)),
    };
    let action = format!(
        "send {waiting} to {}, and no longer to {}",
        describe(wanted),
        describe(known.destination())
    );
    let again = format!("type: {} --yes", known.adopt_command(dir, wanted));
    options.confirmation.ask_or_name(&action, &again)
}

/// Makes a new identity for a spool that has lost it, for what the command line or the configuration names.
fn make_identity(options: &Options, dir: &Path, configured: &Config) -> Result<ExitCode, Failure> {
    let (endpoint, account) = (configured.get("endpoint")?, configured.get("account")?);
    let wanted = checked(
        options.endpoint.as_deref().unwrap_or(&endpoint),
        options.account.as_deref().unwrap_or(&account),
    )?;
    spool::adopt(dir, destination(&wanted))?;
    print_line(format_args!(
        "{} has a new identity.json: it belongs to {}; keep programs that remove old files from it",
        dir.display(),
        describe(destination(&wanted))
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The endpoint and the account after the checks that every configuration has to pass.
fn checked(endpoint: &str, account: &str) -> Result<Settings, Failure> {
    let mut config = Config::new();
    config.set("durability", "memory")?;
    config.set("endpoint", endpoint)?;
    config.set("account", account)?;
    Ok(config.settings()?)
}

fn destination(settings: &Settings) -> Destination<'_> {
    Destination {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    }
}

/// Refuses a configuration for another endpoint or account. The operator may want the spool to
/// change to it, but only the options on the command line may redirect events.
fn refuse_other_configuration(
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
            "spool {} belongs to {}, but the configuration (file, environment) names {}; nothing was changed; set the configuration to {}; only if the spool's events are to go to {} from now on: {}",
            dir.display(),
            describe(known.destination()),
            describe(configured),
            describe(known.destination()),
            describe(configured),
            known.adopt_command(dir, configured)
        ),
    ))
}

fn result(dir: &Path, before: &Description, now: Destination<'_>) -> String {
    let dir = dir.display();
    match (now == before.destination(), before.is_elsewhere) {
        (false, _) => format!(
            "{dir} now belongs to {}, no longer to {}",
            describe(now),
            describe(before.destination())
        ),
        (true, true) => format!(
            "{dir} may be used here now, and belongs to {} as before",
            describe(now)
        ),
        (true, false) => format!(
            "{dir} needs no adoption and stays as it is: it belongs to {}",
            describe(now)
        ),
    }
}

fn describe(destination: Destination<'_>) -> String {
    match destination.account {
        "" => destination.endpoint.to_owned(),
        account => format!("{} (account {account:?})", destination.endpoint),
    }
}
