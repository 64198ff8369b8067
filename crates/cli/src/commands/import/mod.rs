//! `meditopia import`: enqueues many events from a file or a pipe, each of them once.
//!
//! Every record passes the same checks as an enqueue. The good ones gather in a staged segment. A
//! commit ([`meditopia::Import`]) publishes the segment together with a checkpoint of the
//! input, so after a kill at any point the next run continues where the last commit ended.
//!
//! - `input`, `splitter`, `reader`: from bytes to records
//! - `bad_records`, `checkpoint`, `progress`: what a run leaves and shows
//! - `enqueue`, `dry_run`: the two ways to run

mod bad_records;
mod checkpoint;
mod dry_run;
mod enqueue;
mod input;
mod progress;
mod reader;
mod splitter;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use meditopia::Client;

use self::input::Input;
use self::splitter::Format;
use crate::failure::{Failure, USAGE};
use crate::options::spool::NamedSpool;
use crate::owner;

/// The last part of `--help`.
pub const EXIT_CODES: &str = r#"Formats, by the file's name or --format:
  ndjson  one JSON object per line (.ndjson .jsonl)
  json    an array of objects, or {"events": [...]} (.json)
  csv     a header with token, partner_user_id, event and optionally event_value and received_at,
          in any order (.csv); an empty event_value is null, an empty received_at is now

If a run is interrupted, even by kill -9, the same command continues it: nothing is queued twice
and nothing is left out. An input is recognised by its bytes. One that was imported to its end is
remembered for 30 days: only what was appended since is queued, unless --again is given. An
interrupted import continues even with --again. If you cannot tell whether a run with --again came
to its end, run the command without --again: that queues only what is missing.

Run by root, the file is opened with the rights of the spool's owner, like the file of --bad. What only
root can read is given on standard input: meditopia import - --format ndjson ... < FILE

Exit status:
  0  every record is queued
  1  it failed: see the message
  2  the command line or the configuration is wrong
  8  some records are bad and listed in the file of --bad; the others are queued
  9  with --all-or-nothing or --dry-run: some records are bad, and nothing is queued
  10 it stopped on the way: the spool is full, or the input is damaged or cut short. The records before
     that are queued; the same command continues there

Examples:
  meditopia import events.ndjson --spool /var/spool/shop
  zcat friday.csv.gz | meditopia import - --format csv --bad friday.bad --config /etc/shop/meditopia.toml"#;

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
    /// The separator of CSV fields; always a tab for .tsv
    #[arg(long, value_parser = delimiter, default_value = ",", value_name = "CHAR")]
    delimiter: u8,
    /// The file for bad records, which must not exist yet; by default FILE.rejected.ndjson
    #[arg(long, value_name = "FILE")]
    bad: Option<PathBuf>,
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
pub fn run(mut options: Options) -> Result<ExitCode, Failure> {
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
    if options
        .file
        .extension()
        .is_some_and(|extension| extension == "tsv")
    {
        options.delimiter = b'\t';
    }
    // Before the input is opened: what only root can read is not for the spool's owner. Standard input was
    // opened by who runs the command.
    let mut config = match options.dry_run {
        true => options
            .spool
            .config_without_spool(options.bad_directory())?,
        false => options.spool.config_as_owner()?,
    };
    let input = Input::open(&options.file).map_err(|e| options.unopened(&e, format))?;
    if options.dry_run {
        config.set("durability", "memory")?;
        return dry_run::check(&options, input, format, &config.settings()?.rules());
    }
    config.set("role", "enqueue")?;
    let client = Client::open(&config)?;
    enqueue::enqueue(&options, input, format, &client)
}

impl Options {
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

    /// The name by which the spool remembers the import.
    fn name(&self) -> String {
        match std::path::absolute(&self.file) {
            Ok(path) if !self.is_stdin() => path.display().to_string(),
            _ => "-".to_owned(),
        }
    }

    /// The file for bad records.
    fn bad_file(&self) -> Result<PathBuf, Failure> {
        let default = || {
            let mut name = self.file.as_os_str().to_owned();
            name.push(".rejected.ndjson");
            (!self.is_stdin()).then(|| PathBuf::from(name))
        };
        let path = self
            .bad
            .clone()
            .or_else(default)
            .unwrap_or_else(|| "stdin.rejected.ndjson".into());
        std::path::absolute(&path).map_err(|e| Failure::from(format!("{}: {e}", path.display())))
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
        let format = format.name();
        Failure::from(format!(
            "{source}: cannot be read as the spool's owner, {owner}: {cause}; let {owner} read it, or give it on standard input: meditopia import - --format {format} ... < {source}"
        ))
    }

    fn unreadable(&self, cause: &io::Error) -> Failure {
        Failure::from(format!("{}: {cause}", self.source()))
    }
}
