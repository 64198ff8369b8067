//! `meditopia in-doubt`: the events of requests that no answer has settled.
//!
//! They are repeated byte for byte until an answer comes, so there is nothing to do; only one that the API
//! fails on again and again, and that so stops all behind it, has to be set aside.

use std::process::ExitCode;

use meditopia::Client;

use crate::confirm::Confirmation;
use crate::failure::{FAILED, Failure, USAGE};
use crate::output::{OutputOptions, events, say};
use crate::rows::{Detail, RowPrinter};
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia in-doubt list /var/spool/shop
  meditopia in-doubt set-aside /var/spool/shop --id 8519680 --yes

What is set aside is listed by meditopia rejected, as set aside, and can be requeued from there.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 it takes a yes: at the terminal, or by --yes.";

/// What is done with events in doubt.
#[derive(clap::Subcommand)]
pub enum InDoubt {
    /// List them, a line each
    List(ListOptions),
    /// Take events out of their batch, so that the rest can be sent
    SetAside(SetAsideOptions),
}

/// The arguments of list.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of set-aside.
#[derive(clap::Args)]
pub struct SetAsideOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Those with these ids, from the list
    #[arg(
        long = "id",
        value_name = "ID",
        value_delimiter = ',',
        conflicts_with = "all"
    )]
    ids: Vec<i64>,
    /// All events that are in doubt now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Does it.
pub fn run(command: &InDoubt) -> Result<ExitCode, Failure> {
    match command {
        InDoubt::List(options) => list(options),
        InDoubt::SetAside(options) => set_aside(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let client = options.spool.look()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    printer.print_all(&mut client.in_doubt(0)?, u64::MAX, &mut out)?;
    if printer.printed() == 0 && !options.output.json {
        out.line("nothing is in doubt")?;
    }
    out.flush()
}

fn set_aside(options: &SetAsideOptions) -> Result<(), Failure> {
    if options.ids.is_empty() && !options.all {
        let message = "which events? name them by --id, from meditopia in-doubt list, or say --all";
        return Err(Failure::new(USAGE, message));
    }
    let client = options.spool.act()?;
    let there = ids_in_doubt(&client)?;
    let ids = if options.all {
        there.clone()
    } else {
        options.ids.clone()
    };
    if let Some(gone) = ids.iter().find(|id| !there.contains(id)) {
        let message = format!(
            "no event in doubt has the id {gone}; it may be settled by now: see meditopia in-doubt list"
        );
        return Err(Failure::new(FAILED, message));
    }
    if ids.is_empty() {
        return say("nothing is in doubt; nothing was done");
    }
    let count = ids.len() as u64;
    options.confirmation.ask(&format!(
        "set {} aside; the API may have them already",
        events(count)
    ))?;
    let changed = client.set_aside(&ids)? as u64;
    say(format_args!(
        "set {} aside; see meditopia rejected list --reason set-aside",
        events(changed)
    ))?;
    if changed < count {
        let message = format!(
            "{} stayed: a request with them is on its way; meditopia hold, then try again",
            events(count - changed)
        );
        return Err(Failure::new(FAILED, message));
    }
    Ok(())
}

fn ids_in_doubt(client: &Client) -> Result<Vec<i64>, Failure> {
    let mut rows = client.in_doubt(0)?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next_row()? {
        ids.push(row.id);
    }
    Ok(ids)
}
