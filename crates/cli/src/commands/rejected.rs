//! `meditopia rejected`: the events that the API refused, and what becomes of them.
//!
//! They stay until somebody decides: sent again when the cause is mended, handed to whoever can mend it,
//! or discarded for good.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::{FAILED, Failure};
use crate::options::confirmation::Confirmation;
use crate::options::selection::{Selected, Selection};
use crate::options::spool::SpoolOptions;
use crate::output::event_rows::{Detail, RowPrinter};
use crate::output::{OutputOptions, events, say};
use crate::times::Zone;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia rejected list /var/spool/shop --code A_1104 --since '2 days ago'
  meditopia rejected show /var/spool/shop --id 17
  meditopia rejected requeue /var/spool/shop --user u-17      once the API knows the user
  meditopia rejected export /var/spool/shop > rejected.ndjson
  meditopia rejected discard /var/spool/shop --until 2026-11-01 --yes

Exit status: 0 done, 1 failed, 2 wrong usage, 3 it takes a yes: at the terminal, or by --yes.";

/// What is done with rejected events.
#[derive(clap::Subcommand)]
pub enum Rejected {
    /// List them, a line each
    List(LookOptions),
    /// Show all that is known of them: the event, the API's answer, times
    Show(LookOptions),
    /// Put them back at the end of the queue, to be sent again
    Requeue(ChangeOptions),
    /// Remove them for good
    Discard(ChangeOptions),
    /// Write them as NDJSON, an object a line with the event as it is on the wire; they stay
    Export(ExportOptions),
}

/// The arguments of list and show.
#[derive(clap::Args)]
pub struct LookOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of requeue and discard.
#[derive(clap::Args)]
pub struct ChangeOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    selection: Selection,
    /// All rejected events that are there now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Read times in UTC instead of this host's time zone
    #[arg(long)]
    utc: bool,
}

/// The arguments of export.
#[derive(clap::Args)]
pub struct ExportOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    selection: Selection,
    /// Write a new file, only for its owner to read, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read times in UTC instead of this host's time zone
    #[arg(long)]
    utc: bool,
}

/// Does it.
pub fn run(command: &Rejected) -> Result<ExitCode, Failure> {
    match command {
        Rejected::List(options) => look(options, Detail::Line),
        Rejected::Show(options) => look(options, Detail::Full),
        Rejected::Requeue(options) => requeue(options),
        Rejected::Discard(options) => discard(options),
        Rejected::Export(options) => export(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn look(options: &LookOptions, detail: Detail) -> Result<(), Failure> {
    let chosen = options.selection.read(&Zone::of(options.output.utc))?;
    let client = options.spool.look()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, detail);
    chosen.each(&client, |row| printer.print(row, &mut out))?;
    if printer.printed() == 0 && !options.output.json {
        out.line("no rejected event matches")?;
    }
    out.flush()
}

fn chosen(options: &ChangeOptions) -> Result<Selected, Failure> {
    options.selection.needs_all(options.all)?;
    let chosen = options.selection.read(&Zone::of(options.utc))?;
    Ok(chosen.upto_now())
}

fn requeue(options: &ChangeOptions) -> Result<(), Failure> {
    let chosen = chosen(options)?;
    let client = options.spool.act()?;
    let (count, risky) = chosen.count(&client)?;
    if count == 0 {
        return say("no rejected event matches; nothing was done");
    }
    if risky > 0 {
        options.confirmation.ask(&format!(
            "requeue {}, of which {risky} may have been delivered before and so arrive twice",
            events(count)
        ))?;
    }
    let changed = match chosen.named(&client)? {
        Ok(ids) => client.requeue_rejected(&ids)?,
        Err(filter) => client.requeue_matching(filter)?,
    };
    say(format_args!(
        "requeued {}; they are sent after what waits",
        events(changed as u64)
    ))
}

fn discard(options: &ChangeOptions) -> Result<(), Failure> {
    let chosen = chosen(options)?;
    let client = options.spool.act()?;
    let (count, _) = chosen.count(&client)?;
    if count == 0 {
        return say("no rejected event matches; nothing was done");
    }
    let deed = format!("discard {} for good", events(count));
    options.confirmation.ask(&deed)?;
    let changed = match chosen.named(&client)? {
        Ok(ids) => client.discard_rejected(&ids)?,
        Err(filter) => client.discard_matching(filter)?,
    };
    say(format_args!("discarded {}", events(changed as u64)))
}

fn export(options: &ExportOptions) -> Result<(), Failure> {
    let chosen = options.selection.read(&Zone::of(options.utc))?;
    let client = options.spool.look()?;
    let Some(path) = &options.output else {
        let output = OutputOptions::plain_json();
        let mut out = output.open();
        chosen.each(&client, |row| out.line(row.to_json()?))?;
        return out.flush();
    };
    let mut written = 0;
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    let mut file = BufWriter::new(file.open(path).map_err(|e| unwritten(path, &e))?);
    chosen.each(&client, |row| {
        written += 1;
        writeln!(file, "{}", row.to_json()?).map_err(|e| unwritten(path, &e))
    })?;
    let file = file.into_inner().map_err(|e| unwritten(path, e.error()))?;
    file.sync_all().map_err(|e| unwritten(path, &e))?;
    say(format_args!(
        "exported {} to {}",
        events(written),
        path.display()
    ))
}

fn unwritten(path: &Path, cause: &std::io::Error) -> Failure {
    let remedy = "name a new file where the spool's owner may write, or write to standard output";
    Failure::new(FAILED, format!("{}: {cause}; {remedy}", path.display()))
}
