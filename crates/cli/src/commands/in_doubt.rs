//! `meditopia in-doubt`: the events of requests that no answer has settled.
//!
//! The sender repeats such a request byte for byte until an answer comes, so usually there is
//! nothing to do. An operator only has to set aside an event on which the API fails every time,
//! because it blocks all events behind it, and has it searched for first.

mod bisect;

use std::process::ExitCode;

use crate::failure::{FAILED, Failure, USAGE};
use crate::options::confirmation::Confirmation;
use crate::options::source::SourceOptions;
use crate::output::event_rows::{Detail, RowPrinter};
use crate::output::{OutputOptions, event_count, print_line};

/// The last part of `--help`.
pub const EXAMPLES: &str =
    "What was set aside: meditopia rejected list shows it, and meditopia rejected requeue queues it again.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 needs confirmation: at the terminal, or by --yes;
of bisect also 6 not found in time, 7 delivery is paused for another reason.

Examples:
  meditopia in-doubt list /var/spool/shop
  meditopia in-doubt bisect --config /etc/meditopia/shop.toml
  meditopia in-doubt set-aside /var/spool/shop --id 17";

const LIST_EXAMPLES: &str = "Examples:
  meditopia in-doubt list /var/spool/shop
  meditopia in-doubt list /var/spool/shop --json | jq -r .event.partner_user_id
  meditopia in-doubt list --store-file /etc/meditopia/store";

const BISECT_EXAMPLES: &str =
    "While a sender runs, the command needs no token. Without one it sends by itself. In a fleet (--store) the relays
that own the lanes search.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 needs confirmation: at the terminal, or by --yes,
6 not found in time, 7 delivery is paused for another reason.

Examples:
  meditopia in-doubt bisect --config /etc/meditopia/shop.toml";

const SET_ASIDE_EXAMPLES: &str = "Examples:
  meditopia in-doubt set-aside /var/spool/shop --id 17       # an id of the list
  meditopia in-doubt set-aside /var/spool/shop --all";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum InDoubt {
    /// List them, one per line
    #[command(after_help = LIST_EXAMPLES)]
    List(ListOptions),
    /// Find the event on which the API fails, and set it aside; the others may arrive twice
    #[command(after_help = BISECT_EXAMPLES)]
    Bisect(bisect::BisectOptions),
    /// Remove events from their batch, so that the rest can be sent
    #[command(after_help = SET_ASIDE_EXAMPLES)]
    SetAside(SetAsideOptions),
}

/// The arguments of `list`.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `set-aside`.
#[derive(clap::Args)]
pub struct SetAsideOptions {
    #[command(flatten)]
    source: SourceOptions,
    /// Those with these ids, as listed
    #[arg(
        long = "id",
        value_name = "ID",
        value_delimiter = ',',
        conflicts_with = "all"
    )]
    ids: Vec<i64>,
    /// All that are in doubt now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Carries out the subcommand.
pub fn run(command: &InDoubt) -> Result<ExitCode, Failure> {
    match command {
        InDoubt::List(options) => list(options),
        InDoubt::Bisect(options) => bisect::bisect(options),
        InDoubt::SetAside(options) => set_aside(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let mut source = options.source.open_to_read()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    printer.print_all(source.in_doubt()?, u64::MAX, &mut out)?;
    if printer.printed() == 0 && !options.output.json {
        out.line("nothing is in doubt")?;
    }
    out.flush()
}

fn set_aside(options: &SetAsideOptions) -> Result<(), Failure> {
    let (mut source, typed) = options.source.open_to_change_typed()?;
    if options.ids.is_empty() && !options.all {
        let message = format!(
            "which events? name them by --id, or give --all; to see them: {}",
            typed.command("in-doubt list")
        );
        return Err(Failure::new(USAGE, message));
    }
    let in_doubt: Vec<i64> = source.rows_in_doubt()?.iter().map(|row| row.id).collect();
    let ids = if options.all {
        in_doubt.clone()
    } else {
        options.ids.clone()
    };
    if let Some(absent) = ids.iter().find(|id| !in_doubt.contains(id)) {
        let message = format!(
            "no event in doubt has the id {absent}; it may have been settled; see: {}",
            typed.command("in-doubt list")
        );
        return Err(Failure::new(FAILED, message));
    }
    if ids.is_empty() {
        return print_line("nothing is in doubt; nothing was done");
    }
    let count = ids.len() as u64;
    options.confirmation.ask(&format!(
        "set {} aside; the API may have received them already",
        event_count(count)
    ))?;
    let changed = source.set_aside(&ids)?;
    print_line(format_args!(
        "set {} aside; see: {} --reason set-aside",
        event_count(changed),
        typed.command("rejected list")
    ))?;
    if changed < count {
        let message = format!(
            "{} could not be set aside: a request with them is in flight; to try again after it: {}",
            event_count(count - changed),
            typed.command("hold")
        );
        return Err(Failure::new(FAILED, message));
    }
    Ok(())
}
