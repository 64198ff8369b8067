//! `meditopia import`: many events from a file or a pipe, each queued once.
//!
//! Every record is checked by the library's own checks. The good ones gather in a staged segment and are
//! queued with a commit ([`meditopia::Import`]) that also notes how far the input is read; a
//! run that was killed is taken up by the next one of the same input, wherever it was.

mod array;
mod bad;
mod checkpoint;
mod csv;
mod input;
mod lines;
mod progress;
mod records;
mod run;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use meditopia::Client;
use meditopia::Config;

use self::input::Input;
use self::records::Format;
use crate::failure::{Failure, USAGE};
use crate::spool_options::NamedSpool;

/// What `--help` says at its end.
pub const EXIT_CODES: &str = r#"Formats, by the file's name or --format:
  ndjson  a JSON object a line (.ndjson .jsonl)
  json    an array of objects, or {"events": [...]} (.json)
  csv     a header with token, partner_user_id, event and, if wanted, event_value and received_at in
          any order (.csv); an empty event_value is null, an empty received_at is now

A run that was interrupted, even by kill -9, is taken up by the same command: what is queued is not
queued again, and nothing is left out. The input is known by its bytes. One that was imported to its
end is remembered for 30 days: only what has been added to it since is queued, unless --again is given.
An interrupted one goes on with --again, too. Where you cannot tell whether a run with --again came to
its end, run it without: that queues what is missing, if anything.

Exit status:
  0  every record is queued
  1  it could not be done: see the message
  2  the command line or the configuration is wrong
  8  some records are bad and noted; the others are queued
  9  with --all-or-nothing or --dry-run: some records are bad, and nothing is queued
  10 it has stopped on the way: the spool is full, or the input is damaged or cut short from some place
     on. What was read before is queued; the same command goes on there

Examples:
  meditopia import events.ndjson --spool /var/spool/shop
  zcat friday.csv.gz | meditopia import - --format csv --bad friday.bad --config /etc/shop/meditopia.toml"#;

/// The arguments of `meditopia import`.
#[derive(clap::Args)]
pub struct Options {
    /// What to import; - is standard input
    file: PathBuf,
    #[command(flatten)]
    spool: NamedSpool,
    /// How it is written; else its name tells
    #[arg(long)]
    format: Option<Format>,
    /// What stands between two fields of CSV; a tab for .tsv
    #[arg(long, value_parser = delimiter, default_value = ",", value_name = "CHAR")]
    delimiter: u8,
    /// Where bad records are noted; FILE.rejected.ndjson unless given, and it must not be there yet
    #[arg(long, value_name = "FILE")]
    bad: Option<PathBuf>,
    /// Queue every record, or none if one is bad
    #[arg(long)]
    all_or_nothing: bool,
    /// Only check; nothing is queued
    #[arg(long)]
    dry_run: bool,
    /// Begin with the first record what was imported to its end before; what was interrupted goes on
    #[arg(long)]
    again: bool,
    /// While the spool is full, wait for room instead of ending with status 10
    #[arg(long)]
    wait: bool,
    /// The most bytes that one commit queues
    #[arg(long, hide = true, value_name = "BYTES")]
    commit_bytes: Option<u64>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [b'"' | b'\r' | b'\n'] => Err("a quote or a line's end cannot separate fields".into()),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err("one ASCII character, or tab".into()),
    }
}

/// Imports, and says what came of it.
pub fn run(mut options: Options) -> Result<ExitCode, Failure> {
    let format = options.format.or_else(|| Format::of(&options.file));
    let format = format.ok_or_else(|| {
        Failure::new(
            USAGE,
            format!(
                "{}: its name does not tell its format; give --format",
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
    // Before the spool's owner is who runs this: the input may be root's.
    let input = Input::open(&options.file).map_err(|e| options.unreadable(&e))?;
    if options.dry_run {
        return run::check(&options, input, format);
    }
    let mut config = options.spool.host()?;
    config.set("role", "enqueue")?;
    let client = Client::open(&config)?;
    run::queue(&options, input, format, &client)
}

impl Options {
    /// How messages name the input.
    fn source(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.file.display().to_string(),
        }
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    /// What the spool knows the import by.
    fn name(&self) -> String {
        match std::path::absolute(&self.file) {
            Ok(path) if !self.is_stdin() => path.display().to_string(),
            _ => "-".to_owned(),
        }
    }

    /// The file of the bad records.
    fn bad_file(&self) -> Result<PathBuf, Failure> {
        let beside = || {
            let mut name = self.file.as_os_str().to_owned();
            name.push(".rejected.ndjson");
            (!self.is_stdin()).then(|| PathBuf::from(name))
        };
        let path = self
            .bad
            .clone()
            .or_else(beside)
            .unwrap_or_else(|| "stdin.rejected.ndjson".into());
        std::path::absolute(&path).map_err(|e| Failure::from(format!("{}: {e}", path.display())))
    }

    fn unreadable(&self, cause: &io::Error) -> Failure {
        Failure::from(format!("{}: {cause}", self.source()))
    }

    /// The rules of the checks, without a spool.
    fn rules(&self) -> Result<meditopia::internals::event::Rules, Failure> {
        let mut config: Config = self.spool.loaded()?;
        config.set("durability", "memory")?;
        Ok(config.settings()?.rules())
    }
}
