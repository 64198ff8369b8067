//! `meditopia recover`: a new store out of what can be read of a damaged one.
//!
//! Without `--yes` it only looks and says what it would do, because some of it cannot be taken back:
//! events that cannot be read are lost, and others may be delivered twice.

use std::process::ExitCode;

use meditopia::internals::client::{Repair, Salvage, recover};

use crate::failure::{EVENTS_LOST, Failure, NEEDS_YES};
use crate::output::say;
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXIT_CODES: &str = "Exit status:
  0  the store is sound, or was recovered with every event
  1  it could not be looked at: see the message
  3  the store is damaged; nothing was done without --yes
  4  the store was recovered, and some events are lost";

/// The arguments of `meditopia recover`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Do it; without this, only say what can be read and what is at risk
    #[arg(long)]
    yes: bool,
}

/// Looks at the store, recovers it if that is wanted, and prints what came of it.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let repair = if options.yes {
        Repair::Replace
    } else {
        Repair::Look
    };
    let found = recover(&options.spool.own_dir()?, repair)?;
    let Some(damage) = &found.damage else {
        say("the store is sound; there is nothing to recover")?;
        return Ok(ExitCode::SUCCESS);
    };
    say(format_args!("damage: {damage}"))?;
    tell(&found)?;
    match &found.kept {
        Some(kept) => {
            say(format_args!(
                "recovered; the damaged store is kept as {}",
                kept.display()
            ))?;
            let code = if found.loses_events() { EVENTS_LOST } else { 0 };
            Ok(ExitCode::from(code))
        }
        None => {
            say("nothing was done; run it again with --yes to recover")?;
            Ok(ExitCode::from(NEEDS_YES))
        }
    }
}

fn tell(found: &Salvage) -> Result<(), Failure> {
    say(format_args!(
        "readable: {} pending events in {} runs, {} rejected events",
        found.pending, found.runs, found.rejected
    ))?;
    match found.lost_pending {
        Some(0) => say("lost pending events: 0")?,
        Some(lost) => say(format_args!("lost pending events: at most {lost}"))?,
        None => say("lost pending events: unknown, for how many there were cannot be read")?,
    }
    say(format_args!(
        "lost rejected events: at most {}",
        found.lost_rejected
    ))?;
    say(format_args!(
        "segments that are read again: {}; what of them had been taken over may be delivered twice",
        found.read_again.len()
    ))?;
    for name in &found.read_again {
        say(format_args!("  {name}"))?;
    }
    for what in &found.forgotten {
        say(format_args!("forgotten: {what}"))?;
    }
    Ok(())
}
