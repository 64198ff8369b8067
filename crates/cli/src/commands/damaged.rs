//! `meditopia damaged`: what could not be read in the journal and was set aside, and what `recover` has
//! replaced.
//!
//! An operator lists it, looks at what can be read there, queues that again, and acknowledges the damage,
//! which ends the alert. The files stay: they are evidence.

use std::process::ExitCode;

use meditopia::internals::client::{Damaged as File, DamagedKind};
use meditopia::{Client, Error};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::failure::{FAILED, Failure, USAGE};
use crate::options::confirmation::Confirmation;
use crate::options::spool::SpoolOptions;
use crate::options::typed::Typed;
use crate::output::{
    Output, OutputOptions, Tone, byte_size, event_count, grouped, print_error, print_line, sanitize,
};
use crate::times::Zone;

/// The last part of `--help`.
pub const EXAMPLES: &str = "A file that cannot be read is named with its error; the others are listed, shown or requeued all the same.

Exit status: 0 done, 1 failed or a file could not be read, 2 wrong usage, 3 needs confirmation: at the terminal, or by --yes.

Examples:
  meditopia damaged list /var/spool/shop
  meditopia damaged requeue /var/spool/shop --all
  meditopia damaged acknowledge /var/spool/shop    # ends MeditopiaDamaged";

const LIST_EXAMPLES: &str = "Examples:
  meditopia damaged list /var/spool/shop
  meditopia damaged list /var/spool/shop --json | jq -r .file";

const SHOW_EXAMPLES: &str = "Examples:
  meditopia damaged show /var/spool/shop";

const REQUEUE_EXAMPLES: &str = "Examples:
  meditopia damaged requeue /var/spool/shop --all";

const ACKNOWLEDGE_EXAMPLES: &str = "Examples:
  meditopia damaged acknowledge /var/spool/shop    # ends MeditopiaDamaged";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Damaged {
    /// List what was set aside: when, from where, how much, and how many events may stand in it
    #[command(after_help = LIST_EXAMPLES)]
    List(ListOptions),
    /// Show the events that can be read there: user, event and time
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowOptions),
    /// Queue the events again that can be read there, each once
    #[command(after_help = REQUEUE_EXAMPLES)]
    Requeue(RequeueOptions),
    /// Note that an operator knows of the damage up to now; this ends the alert
    #[command(after_help = ACKNOWLEDGE_EXAMPLES)]
    Acknowledge(AcknowledgeOptions),
}

/// The arguments of `list`.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `show`.
#[derive(clap::Args)]
pub struct ShowOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Only of these files, as listed
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `requeue`.
#[derive(clap::Args)]
pub struct RequeueOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Those of these files, as listed
    #[arg(long = "file", value_name = "FILE", conflicts_with = "all")]
    files: Vec<String>,
    /// Those of all files
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The arguments of `acknowledge`.
#[derive(clap::Args)]
pub struct AcknowledgeOptions {
    #[command(flatten)]
    spool: SpoolOptions,
}

/// Carries out the subcommand.
pub fn run(command: &Damaged) -> Result<ExitCode, Failure> {
    match command {
        Damaged::List(options) => list(options),
        Damaged::Show(options) => show(options),
        Damaged::Requeue(options) => requeue(options),
        Damaged::Acknowledge(options) => acknowledge(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let (client, typed) = options.spool.open_to_read_typed()?;
    let files = client.damaged()?;
    let mut out = options.output.open();
    if options.output.json {
        for file in &files {
            out.line(to_json(file))?;
        }
        out.flush()?;
        return Problems::of(&files).report();
    }
    let zone = Zone::new(options.output.utc);
    for (index, file) in files.iter().enumerate() {
        if index == 0 {
            let headings = format!(
                "{:<26}  {:>10}  {:>8}  {:>7}  {}",
                "SINCE", "SIZE", "READABLE", "LOST", "FILE"
            );
            out.line(out.paint(Tone::Label, &headings))?;
        }
        out.line(table_line(file, &zone))?;
    }
    if files.is_empty() {
        out.line("nothing is set aside")?;
    }
    let stats = client.stats()?;
    if stats.damage_unacknowledged > 0 {
        let text = format!(
            "{} of {} damaged records and lost events are not acknowledged yet: {}",
            grouped(stats.damage_unacknowledged),
            grouped(stats.damaged_records + stats.lost),
            typed.command("damaged acknowledge")
        );
        out.line(out.paint(Tone::Warning, &text))?;
    }
    out.flush()?;
    Problems::of(&files).report()
}

/// What went wrong with some of the files, while the others were seen to.
struct Problems {
    files: usize,
    errors: Vec<String>,
}

impl Problems {
    /// What kept these files from being read.
    fn of(files: &[File]) -> Self {
        let errors = files.iter().filter_map(|file| file.error.as_ref());
        Self {
            files: files.len(),
            errors: errors.map(|error| error.message().to_owned()).collect(),
        }
    }

    /// The end of the command: each error on a line of its own, and how many of the files they are about.
    fn report(self) -> Result<(), Failure> {
        let failed = self.errors.len();
        if failed == 0 {
            return Ok(());
        }
        for error in self.errors {
            print_error(format_args!("meditopia: {}", sanitize(&error)));
        }
        let message = format!(
            "{failed} of {} files under damaged/ could not be read or queued; mend what the error says and run the command again",
            self.files
        );
        Err(Failure::new(FAILED, message))
    }
}

fn to_json(file: &File) -> String {
    json!({
        "file": file.name,
        "kind": kind_name(file.kind),
        "segment": Some(&file.segment).filter(|segment| !segment.is_empty()),
        "offset": file.offset,
        "saved_ms": file.saved_ms,
        "bytes": file.bytes,
        "readable": file.readable,
        "unreadable_at_most": file.unreadable_at_most,
        "requeued": file.is_requeued,
        "error": file.error.as_ref().map(Error::message),
    })
    .to_string()
}

fn kind_name(kind: DamagedKind) -> &'static str {
    match kind {
        DamagedKind::Piece => "piece",
        DamagedKind::Segment => "segment",
        DamagedKind::Store => "store",
        DamagedKind::Foreign => "foreign",
    }
}

fn table_line(file: &File, zone: &Zone) -> String {
    let (readable, lost) = match file.kind {
        _ if file.error.is_some() => ("error".to_owned(), "?".to_owned()),
        DamagedKind::Store | DamagedKind::Foreign => ("-".to_owned(), "-".to_owned()),
        _ if file.is_requeued => ("requeued".to_owned(), at_most(file.unreadable_at_most)),
        _ => (grouped(file.readable), at_most(file.unreadable_at_most)),
    };
    format!(
        "{:<26}  {:>10}  {readable:>8}  {lost:>7}  {}",
        zone.show(file.saved_ms),
        byte_size(file.bytes),
        sanitize(&file.name)
    )
}

/// How many events may be lost.
fn at_most(events: u64) -> String {
    match events {
        0 => "0".to_owned(),
        _ => format!("<= {}", grouped(events)),
    }
}

/// The files with these names, or all.
fn chosen(client: &Client, typed: &Typed, names: &[String]) -> Result<Vec<File>, Failure> {
    let files = client.damaged()?;
    if names.is_empty() {
        return Ok(files);
    }
    let find = |name: &String| {
        let found = files.iter().find(|file| file.name == *name).cloned();
        found.ok_or_else(|| {
            let message = format!(
                "nothing under damaged/ has the name {name}; to see what is there: {}",
                typed.command("damaged list")
            );
            Failure::new(FAILED, message)
        })
    };
    names.iter().map(find).collect()
}

/// The fields of an event that are shown.
#[derive(Deserialize)]
struct Event {
    partner_user_id: String,
    event: String,
    received_at: String,
}

fn show(options: &ShowOptions) -> Result<(), Failure> {
    let (client, typed) = options.spool.open_to_read_typed()?;
    let files = chosen(&client, &typed, &options.files)?;
    let mut out = options.output.open();
    let mut problems = Problems::of(&files);
    for file in &files {
        if !options.output.json {
            print_head(file, &mut out)?;
        }
        if file.error.is_some() {
            continue;
        }
        let events = match client.damaged_events(&file.name) {
            Ok(events) => events,
            // It could be read a moment ago.
            Err(e) => {
                problems.errors.push(e.message().to_owned());
                continue;
            }
        };
        for event in events {
            if options.output.json {
                let event_json = RawValue::from_string(event.event_json)
                    .map_err(|e| Failure::from(e.to_string()))?;
                let line = json!({"file": file.name, "offset": event.offset, "event": event_json});
                out.line(line.to_string())?;
                continue;
            }
            out.line(match serde_json::from_str::<Event>(&event.event_json) {
                Ok(Event {
                    partner_user_id,
                    event,
                    received_at,
                }) => {
                    format!(
                        "  {:<26}  {:<20}  {}",
                        sanitize(&received_at),
                        sanitize(&partner_user_id),
                        sanitize(&event)
                    )
                }
                Err(_) => format!("  {}", sanitize(&event.event_json)),
            })?;
        }
    }
    if files.is_empty() && !options.output.json {
        out.line("nothing is set aside")?;
    }
    out.flush()?;
    problems.report()
}

fn print_head(file: &File, out: &mut Output) -> Result<(), Failure> {
    let what = match file.kind {
        _ if file.error.is_some() => "it cannot be read".to_owned(),
        DamagedKind::Store => {
            "files of a store that recover has replaced; what can be read of them is in the new one"
                .to_owned()
        }
        DamagedKind::Foreign => "not a file of this library".to_owned(),
        DamagedKind::Piece | DamagedKind::Segment => {
            let place = match (file.kind, file.offset) {
                (DamagedKind::Segment, 0) => format!("the whole segment {}", file.segment),
                (DamagedKind::Segment, from) => {
                    format!(
                        "the whole segment {}, which was read up to offset {from}",
                        file.segment
                    )
                }
                (_, offset) => format!("{} at offset {offset}", file.segment),
            };
            let state = if file.is_requeued {
                " were requeued"
            } else {
                " can be read"
            };
            format!(
                "{place}: {}{state}, at most {} cannot",
                event_count(file.readable),
                grouped(file.unreadable_at_most)
            )
        }
    };
    out.line(out.paint(
        Tone::Label,
        &format!("{}: {}", sanitize(&file.name), sanitize(&what)),
    ))
}

fn requeue(options: &RequeueOptions) -> Result<(), Failure> {
    let (client, typed) = options.spool.open_to_change_typed()?;
    if options.files.is_empty() && !options.all {
        let message = format!(
            "which files? name them by --file, or give --all; to see them: {}",
            typed.command("damaged list")
        );
        return Err(Failure::new(USAGE, message));
    }
    let files = chosen(&client, &typed, &options.files)?;
    let waiting = files
        .iter()
        .filter(|file| !file.is_requeued && file.readable > 0);
    let events: u64 = waiting.clone().map(|file| file.readable).sum();
    let mut problems = Problems::of(&files);
    if events == 0 {
        print_line("nothing that can be read is left to requeue; nothing was done")?;
        return problems.report();
    }
    options.confirmation.ask(&format!(
        "requeue {}; if the sender was killed at the moment when it set them aside, it may have delivered them since, and they arrive twice",
        event_count(events)
    ))?;
    let mut requeued = 0;
    for file in waiting {
        match client.requeue_damaged(&file.name) {
            Ok(events) => requeued += events as u64,
            Err(e) => problems.errors.push(e.message().to_owned()),
        }
    }
    print_line(format_args!(
        "requeued {}; they are sent after all pending events",
        event_count(requeued)
    ))?;
    problems.report()
}

fn acknowledge(options: &AcknowledgeOptions) -> Result<(), Failure> {
    let client = options.spool.open_to_change()?;
    let stats = client.stats()?;
    let known = stats.damaged_records + stats.lost;
    let acknowledged = client.acknowledge_damage(known)?;
    match acknowledged {
        0 => print_line("nothing new is damaged; nothing was done"),
        count => print_line(format_args!(
            "acknowledged {} damaged records and lost events; what was set aside stays under damaged/",
            grouped(count as u64)
        )),
    }
}
