//! `meditopia import`: enqueues many events from a file or a pipe, each of them once.
//!
//! Every record passes the same checks as an enqueue. The good ones gather in a staged segment. A
//! commit ([`meditopia::Import`]) publishes the segment together with a checkpoint of the
//! input, so after a kill at any point the next run continues where the last commit ended.
//!
//! - `input`, `beginning`, `splitter`, `reader`: from bytes to records
//! - `recognition`, `checkpoint`: whether the input was imported before, and how far
//! - `bad_records`, `summary`, `progress`: what a run leaves and shows
//! - `enqueue`, `dry_run`, `interrupt`: the two ways to run, and how a run is ended

mod bad_records;
mod beginning;
mod checkpoint;
mod dry_run;
mod enqueue;
mod input;
mod interrupt;
mod progress;
mod reader;
mod recognition;
mod splitter;
mod summary;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use meditopia::internals::config::Role;
use meditopia::internals::spelling::shell_word;
use meditopia::{Client, Config, LogLevel};

use self::bad_records::Place;
use self::beginning::Beginning;
use self::input::Input;
use self::splitter::{Format, Layout, Names, sniff_delimiter};
use self::summary::{Imported, Outcome};
use crate::commands::flush;
use crate::failure::{Failure, SOME_BAD, USAGE};
use crate::options::sender_config::SenderConfig;
use crate::options::spool::NamedSpool;
use crate::output::log::{Log, LogFormat};
use crate::output::{print_error, print_line};
use crate::owner;

/// The last part of `--help`.
pub const EXIT_CODES: &str = r#"Formats, by the file's name or --format:
  ndjson  one JSON object per line (.ndjson .jsonl)
  json    an array of objects, or {"events": [...]} (.json)
  csv     a header with token, partner_user_id, event and optionally event_value and received_at,
          in any order (.csv); an empty event_value is null, an empty received_at is now. Fields are
          separated by commas, semicolons, tabs or vertical bars, as the header is
What gzip has compressed is unpacked, whatever its name is. A byte order mark and any line breaks are
taken. Other names of columns or members are translated by --map, and left out by --ignore-extra.

An input is known by its bytes, packed or not, wherever it lies. If a run is interrupted, even by kill -9,
the same command continues it: nothing is queued twice and nothing is left out. An input that was imported
to its end is remembered for 30 days: only what was appended since is queued, unless --again is given. An
interrupted import continues even with --again. If you cannot tell whether a run with --again came
to its end, run the command without --again: that queues only what is missing.

A bad record is listed in the file of --bad, and the others are queued. Where it cannot be told where the
next record begins (a quote that is not closed, a file that is cut short, NUL bytes), the import stops: the
records before are queued, and the same command goes on after them when the input is mended. If
no record could be read, nothing is remembered.

Run by root, the file is opened with the rights of the spool's owner, like the file of --bad. What only
root can read is given on standard input: meditopia import - --format ndjson ... < FILE

Exit status:
  0  every record is queued, and with --flush delivered or rejected
  1  it failed: see the message
  2  the command line or the configuration is wrong
  6  all is queued; --flush did not deliver all within --timeout, and the next sender goes on
  7  all is queued; delivery is paused and an operator has to look at the reason
  8  some records are bad and listed in the file of --bad; the others are queued. Not with --accept-bad
  9  nothing is queued: the input has no record, or with --all-or-nothing or --dry-run some are bad
  10 it stopped on the way: the spool is full, the input is damaged or cut short, or the command was
     interrupted. The records before that are queued; the same command continues there

Examples:
  meditopia import events.ndjson --spool /var/spool/shop
  meditopia import users.csv --map id=partner_user_id --spool /var/spool/shop
  meditopia import friday.csv.gz --flush --config /etc/meditopia/shop.toml"#;

/// The arguments of `meditopia import`.
#[derive(clap::Args)]
pub struct Options {
    /// The file to import; - is standard input
    file: PathBuf,
    #[command(flatten)]
    spool: NamedSpool,
    /// The format; by default that of the file's name
    #[arg(long)]
    format: Option<Format>,
    /// The separator of CSV fields; by default that of the header, and a tab for .tsv
    #[arg(long, value_parser = delimiter, value_name = "CHAR")]
    delimiter: Option<u8>,
    /// Read the column or member NAME as FIELD: --map user_id=partner_user_id
    #[arg(long, value_parser = Names::parse_map, value_name = "NAME=FIELD")]
    map: Vec<(String, &'static str)>,
    /// Leave out columns and members that are no fields, instead of refusing them
    #[arg(long)]
    ignore_extra: bool,
    /// The file for bad records, or its directory; by default FILE.rejected-TIME.ndjson. If the file
    /// exists, the time is added to its name
    #[arg(long, value_name = "FILE")]
    bad: Option<PathBuf>,
    /// End with status 0 although some records are bad
    #[arg(long, conflicts_with_all = ["all_or_nothing", "dry_run"])]
    accept_bad: bool,
    /// End with status 0 although the input has no record
    #[arg(long)]
    allow_empty: bool,
    /// Queue every record, or none if one is bad
    #[arg(long)]
    all_or_nothing: bool,
    /// Only check the records; queue nothing
    #[arg(long)]
    dry_run: bool,
    /// Start at the first record, even if all was imported before; an interrupted import continues
    #[arg(long)]
    again: bool,
    /// While the spool is full, wait for space instead of ending with status 10
    #[arg(long)]
    wait: bool,
    /// Deliver everything that is queued then, as `meditopia flush` does
    #[arg(long, conflicts_with = "dry_run")]
    flush: bool,
    /// With --flush: how long the delivery may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "flush")]
    timeout: u32,
    /// Print one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing if everything is queued, and with --flush delivered, and nothing is bad; for cron
    #[arg(long, short)]
    quiet: bool,
    /// The largest number of bytes that one commit queues
    #[arg(long, hide = true, value_name = "BYTES")]
    commit_bytes: Option<u64>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [b'"' | b'\r' | b'\n'] => Err("a quote or a line break cannot separate fields".into()),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err("give one ASCII character, or tab".into()),
    }
}

/// Imports the input and prints the result.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let format = options.format.or_else(|| Format::from_name(&options.file));
    let format = format.ok_or_else(|| {
        Failure::new(
            USAGE,
            format!(
                "{}: the name does not say the format; give --format",
                options.source()
            ),
        )
    })?;
    // Before the input is opened: what only root can read is not for the spool's owner. Standard input was
    // opened by who runs the command.
    let mut config = options.read_config()?;
    interrupt::watch()?;
    let mut input = Input::open(&options.file).map_err(|e| options.unopened(&e, format))?;
    let beginning = Beginning::read(&mut input, format).map_err(|e| options.unreadable(&e))?;
    let layout = options.layout(format, &beginning);
    if options.dry_run {
        config.set("durability", "memory")?;
        let rules = config.settings()?.rules();
        return dry_run::check(options, input, &layout, &beginning, &rules);
    }
    let (log, log_thread) = Log::start(LogFormat::of_standard_error(), Some(LogLevel::Warn))
        .map_err(|e| Failure::from(format!("cannot start: {e}")))?;
    let client = Client::open(&config)?;
    if options.flush {
        client.set_log_callback(Some(log.callback()))?;
    }
    let imported = enqueue::enqueue(options, input, &layout, &beginning, &client)?;
    let delivered = (options.flush && !interrupt::is_requested())
        .then(|| client.flush(Duration::from_secs(options.timeout.into())));
    drop(client);
    drop(log);
    log_thread.finish();
    report(options, &imported, delivered.as_ref())
}

/// Prints what became of the records and of their delivery. The status is that of the import if it failed,
/// else that of the delivery, else whether there are bad records.
fn report(
    options: &Options,
    imported: &Imported,
    delivered: Option<&flush::Delivered>,
) -> Result<ExitCode, Failure> {
    let status_of_delivery = delivered.map_or(0, flush::status_of);
    let status = match imported.status {
        0 | SOME_BAD if status_of_delivery != 0 => status_of_delivery,
        status => status,
    };
    let rejected = delivered.map_or(0, |(report, _)| report.rejected);
    let summary = &imported.summary;
    if options.json {
        let mut object = summary.json(imported.outcome, imported.message.as_deref());
        object["delivery"] = delivered.map_or(serde_json::Value::Null, flush::json_of);
        print_line(object)?;
    } else if !(options.quiet && status == 0 && summary.bad == 0 && rejected == 0) {
        print_line(summary.sentence())?;
        let was_queued = summary.queued == 0 && summary.already_queued > 0;
        if was_queued && imported.outcome == Outcome::Queued {
            print_line(
                "every good record was queued by an earlier import; --again queues it again",
            )?;
        }
        if let Some(delivered) = delivered {
            print_line(flush::sentence_of(delivered))?;
        }
    }
    if let Some(message) = &imported.message {
        print_error(format_args!("meditopia: {message}"));
    }
    Ok(ExitCode::from(status))
}

/// Tells something by the way, unless the operator wants to hear only of failures.
fn note(options: &Options, text: impl Display) {
    if !options.quiet {
        print_error(text);
    }
}

impl Options {
    fn read_config(&self) -> Result<Config, Failure> {
        if self.flush {
            return Ok(SenderConfig::read_named(&self.spool, Role::Enqueue)?.config);
        }
        if self.dry_run {
            return self.spool.config_without_spool(self.bad_directory());
        }
        let mut config = self.spool.config_as_owner()?;
        config.set("role", "enqueue")?;
        Ok(config)
    }

    /// How the input is read; the separator of CSV is what its header has.
    fn layout(&self, format: Format, beginning: &Beginning) -> Layout {
        let names = Names::new(&self.map, self.ignore_extra);
        let is_tsv = || self.file.extension().is_some_and(|name| name == "tsv");
        let of_name = self.delimiter.or_else(|| is_tsv().then_some(b'\t'));
        let delimiter = of_name.unwrap_or_else(|| {
            let sniffed = match format {
                Format::Csv => sniff_delimiter(beginning.bytes(), &names),
                Format::Ndjson | Format::Json => None,
            };
            let (delimiter, said) = sniffed.unwrap_or((b',', "commas"));
            if delimiter != b',' {
                note(
                    self,
                    format_args!("import: the fields are separated by {said}, as the header is"),
                );
            }
            delimiter
        });
        Layout {
            format,
            delimiter,
            names,
        }
    }

    /// The name of the input in messages.
    fn source(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.file.display().to_string(),
        }
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    /// The file that is read, unless it is standard input.
    fn input_file(&self) -> Option<&Path> {
        (!self.is_stdin()).then_some(&self.file)
    }

    /// Where the input lies, for the spool to remember.
    fn place(&self) -> String {
        match std::path::absolute(&self.file) {
            Ok(path) if !self.is_stdin() => path.display().to_string(),
            _ => "-".to_owned(),
        }
    }

    /// What the command line says about the file of bad records.
    fn bad_place(&self) -> Result<Place, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|e| Failure::from(format!("{}: {e}", path.display())))
        };
        let input = match self.is_stdin() {
            true => Path::new("stdin"),
            false => &self.file,
        };
        Ok(Place {
            given: self.bad.as_deref().map(absolute).transpose()?,
            input: absolute(input)?,
        })
    }

    /// The directory that the file of --bad is made in.
    fn bad_directory(&self) -> Option<&Path> {
        let directory = self.bad.as_deref().and_then(Path::parent)?;
        let is_here = directory.as_os_str().is_empty();
        Some(if is_here { Path::new(".") } else { directory })
    }

    fn unopened(&self, cause: &io::Error, format: Format) -> Failure {
        if !owner::gave_up_root() || cause.kind() != io::ErrorKind::PermissionDenied {
            return self.unreadable(cause);
        }
        let (source, owner) = (self.source(), owner::current_user());
        Failure::from(format!(
            "{source}: cannot be read as the spool's owner, {owner}: {cause}; let {owner} read it, or give it on standard input: {} < {}",
            self.with_standard_input(format),
            shell_word(&source)
        ))
    }

    /// The caller's command line, with standard input in the place of the file.
    fn with_standard_input(&self, format: Format) -> String {
        let mut words = vec!["meditopia".to_owned()];
        for word in std::env::args_os().skip(1) {
            words.push(match word == self.file {
                true => "-".to_owned(),
                false => shell_word(&word.display().to_string()),
            });
        }
        if self.format.is_none() {
            words.push(format!("--format {}", format.name()));
        }
        words.join(" ")
    }

    fn unreadable(&self, cause: &io::Error) -> Failure {
        Failure::from(format!("{}: {cause}", self.source()))
    }
}
