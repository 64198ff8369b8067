//! `meditopia rejected`: lists the rejected events, and lets an operator decide about them.
//!
//! They stay until then: to be sent again once the cause is removed, to be exported for another
//! person who can remove it, or to be discarded for good.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::{FAILED, Failure};
use crate::options::confirmation::Confirmation;
use crate::options::rejected_selection::{Selected, Selection};
use crate::options::source::SourceOptions;
use crate::output::event_rows::{Detail, RowPrinter};
use crate::output::{OutputOptions, event_count, print_line};
use crate::owner::become_controller_of;
use crate::source::Source;
use crate::times::Zone;

/// The last part of `--help`.
pub const EXAMPLES: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 needs confirmation: at the terminal, or by --yes.

Examples:
  meditopia rejected list /var/spool/shop --code A_1104 --since '2 days ago'
  meditopia rejected requeue /var/spool/shop --user u-17
  meditopia rejected export /var/spool/shop > rejected.ndjson";

const LIST_EXAMPLES: &str = "Examples:
  meditopia rejected list /var/spool/shop
  meditopia rejected list /var/spool/shop --code A_1104 --since '2 days ago'
  meditopia rejected list --store-file /etc/meditopia/store";

const SHOW_EXAMPLES: &str = "Examples:
  meditopia rejected show /var/spool/shop --id 17            # an id of the list
  meditopia rejected show /var/spool/shop --user u-17 --json";

const REQUEUE_EXAMPLES: &str = "Examples:
  meditopia rejected requeue /var/spool/shop --user u-17   # now it is known
  meditopia rejected requeue /var/spool/shop --all
  meditopia rejected requeue --user u-17 --store-file /etc/meditopia/store";

const DISCARD_EXAMPLES: &str = "Examples:
  meditopia rejected discard /var/spool/shop --id 17         # an id of the list
  meditopia rejected discard /var/spool/shop --until '30 days ago'";

const EXPORT_EXAMPLES: &str = "Examples:
  meditopia rejected export /var/spool/shop > rejected.ndjson
  meditopia rejected export /var/spool/shop --code A_1104 --output bad.ndjson";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Rejected {
    /// List them, one per line
    #[command(after_help = LIST_EXAMPLES)]
    List(ShowOptions),
    /// Show all that is known about them: the event, the API's answer, times
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowOptions),
    /// Put them back at the end of the queue, to be sent again
    #[command(after_help = REQUEUE_EXAMPLES)]
    Requeue(ChangeOptions),
    /// Remove them for good
    #[command(after_help = DISCARD_EXAMPLES)]
    Discard(ChangeOptions),
    /// Write them as NDJSON, one object per line with the event as it was sent; they are kept
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportOptions),
}

/// The arguments of `list` and `show`.
#[derive(clap::Args)]
pub struct ShowOptions {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `requeue` and `discard`.
#[derive(clap::Args)]
pub struct ChangeOptions {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    selection: Selection,
    /// All events that are rejected now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Read times in UTC instead of this host's time zone
    #[arg(long)]
    utc: bool,
}

/// The arguments of `export`.
#[derive(clap::Args)]
pub struct ExportOptions {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    selection: Selection,
    /// Write to a new file that only its owner can read, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read times in UTC instead of this host's time zone
    #[arg(long)]
    utc: bool,
}

/// Carries out the subcommand.
pub fn run(command: &Rejected) -> Result<ExitCode, Failure> {
    match command {
        Rejected::List(options) => show(options, Detail::Line),
        Rejected::Show(options) => show(options, Detail::Full),
        Rejected::Requeue(options) => requeue(options),
        Rejected::Discard(options) => discard(options),
        Rejected::Export(options) => export(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn show(options: &ShowOptions, detail: Detail) -> Result<(), Failure> {
    let selected = options.selection.read(&Zone::new(options.output.utc))?;
    let mut source = options.source.open_to_read()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, detail);
    selected.for_each(&mut source, |row| printer.print(row, &mut out))?;
    if printer.printed() == 0 && !options.output.json {
        out.line("no rejected event matches")?;
    }
    out.flush()
}

fn selected(options: &ChangeOptions) -> Result<Selected, Failure> {
    options.selection.require_filter_or_all(options.all)?;
    let selected = options.selection.read(&Zone::new(options.utc))?;
    Ok(selected.until_now())
}

fn requeue(options: &ChangeOptions) -> Result<(), Failure> {
    let selected = selected(options)?;
    let (mut source, _) = options.source.open_to_change_typed()?;
    let (count, perhaps_delivered) = selected.count(&mut source)?;
    if count == 0 {
        return print_line("no rejected event matches; nothing was done");
    }
    if perhaps_delivered > 0 {
        options.confirmation.ask(&format!(
            "requeue {}, of which {perhaps_delivered} may have been delivered before and would then arrive twice",
            event_count(count)
        ))?;
    }
    let resolved = selected.resolve(&mut source)?;
    let changed = source.requeue(resolved.which())?;
    print_line(format_args!(
        "requeued {}; they are sent after all pending events",
        event_count(changed)
    ))
}

fn discard(options: &ChangeOptions) -> Result<(), Failure> {
    let selected = selected(options)?;
    let (mut source, _) = options.source.open_to_change_typed()?;
    let (count, _) = selected.count(&mut source)?;
    if count == 0 {
        return print_line("no rejected event matches; nothing was done");
    }
    let action = format!("discard {} for good", event_count(count));
    options.confirmation.ask(&action)?;
    let resolved = selected.resolve(&mut source)?;
    let changed = source.discard(resolved.which())?;
    print_line(format_args!("discarded {}", event_count(changed)))
}

fn export(options: &ExportOptions) -> Result<(), Failure> {
    let selected = options.selection.read(&Zone::new(options.utc))?;
    let mut source = options.source.open_to_read()?;
    let Some(path) = &options.output else {
        let output = OutputOptions::plain_json();
        let mut out = output.open();
        selected.for_each(&mut source, |row| out.line(row.to_json()?))?;
        return out.flush();
    };
    if let (Source::Store(_), Some(directory)) = (&source, path.parent()) {
        // No spool says whose rights these are.
        become_controller_of(match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        })?;
    }
    let mut written = 0;
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    let mut file = BufWriter::new(file.open(path).map_err(|e| cannot_write(path, &e))?);
    selected.for_each(&mut source, |row| {
        written += 1;
        writeln!(file, "{}", row.to_json()?).map_err(|e| cannot_write(path, &e))
    })?;
    let file = file
        .into_inner()
        .map_err(|e| cannot_write(path, e.error()))?;
    file.sync_all().map_err(|e| cannot_write(path, &e))?;
    print_line(format_args!(
        "exported {} to {}",
        event_count(written),
        path.display()
    ))
}

fn cannot_write(path: &Path, cause: &std::io::Error) -> Failure {
    let remedy = "name a new file where the spool's owner may write, or write to standard output";
    Failure::new(FAILED, format!("{}: {cause}; {remedy}", path.display()))
}
