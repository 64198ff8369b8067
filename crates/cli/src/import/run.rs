//! The walk over an input: split, check, gather, commit.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use meditopia::internals::clock;
use meditopia::internals::event::{Batch, Rules, field_of};
use meditopia::{Client, Import, ImportEnd};
use meditopia::{Error, ErrorKind};

use super::Options;
use super::bad::{Bad, BadRecords, length};
use super::checkpoint::{Checkpoint, Start, start};
use super::input::Input;
use super::progress::Progress;
use super::records::{Format, Found, Shape, Shown, Splitter};
use crate::failure::{Failure, NOTHING_QUEUED, SOME_BAD, STOPPED};
use crate::output::{complain, say};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How often a full spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Reads the records of an input.
struct Walk<'a> {
    options: &'a Options,
    format: Format,
    input: Input,
    splitter: Splitter,
    bad_records: BadRecords,
    progress: Progress,
    batch: Batch,
    records: u64,
    queued: u64,
    bad: u64,
    /// The line that the record begins in which is next.
    begins: u64,
}

/// What a step of the walk came to.
enum Step {
    /// The batch holds the event of a good record.
    Good,
    /// The record was bad, and is noted.
    Bad,
    /// There are no more.
    End,
    /// Nothing can be read from here on.
    Broken(String),
}

impl<'a> Walk<'a> {
    fn begin(
        options: &'a Options,
        format: Format,
        mut input: Input,
        last: Option<&Checkpoint>,
        bad_records: BadRecords,
    ) -> Result<Self, Failure> {
        let unreadable = |e: std::io::Error| options.unreadable(&e);
        if last.is_none() {
            input.look_at(BYTE_ORDER_MARK.len()).map_err(unreadable)?;
            if input.ahead().starts_with(BYTE_ORDER_MARK) {
                input.consume(BYTE_ORDER_MARK.len());
            }
        }
        let first = Shape::default();
        let shape = last.map_or(&first, |last| &last.shape);
        let records = last.map_or(0, |last| last.records);
        Ok(Self {
            options,
            format,
            splitter: Splitter::new(format, options.delimiter, shape),
            bad_records,
            progress: Progress::begin(input.offset(), input.total(), records),
            batch: Batch::new(),
            records,
            queued: last.map_or(0, |last| last.queued),
            bad: last.map_or(0, |last| last.bad),
            begins: input.line(),
            input,
        })
    }

    /// The next record.
    fn step(&mut self, rules: &Rules) -> Result<Step, Failure> {
        loop {
            if self.splitter.is_between() {
                self.begins = self.input.line();
            }
            let found = self
                .splitter
                .next(self.input.ahead(), self.input.has_ended());
            let (checked, record, done) = match found {
                Found::More => {
                    self.input
                        .read_more()
                        .map_err(|e| self.options.unreadable(&e))?;
                    continue;
                }
                Found::Pass(done) => {
                    self.input.consume(done);
                    continue;
                }
                Found::End => return Ok(Step::End),
                Found::Broken(why) => return Ok(Step::Broken(why)),
                Found::Bad { why, done } => {
                    (Err(Error::new(ErrorKind::InvalidEvent, why)), 0..0, done)
                }
                Found::Record { at, done } => {
                    self.batch.clear();
                    let record = &self.input.ahead()[at.clone()];
                    let now = clock::wall_ms();
                    (
                        self.splitter.check(record, rules, now, &mut self.batch),
                        at,
                        done,
                    )
                }
            };
            self.records += 1;
            let step = match checked {
                Ok(()) => Step::Good,
                Err(error) => {
                    let shown = self.splitter.shown(&self.input.ahead()[record]);
                    self.note(&error, shown)?;
                    Step::Bad
                }
            };
            self.input.consume(done);
            self.progress.is_at(self.input.offset(), self.records);
            return Ok(step);
        }
    }

    fn note(&mut self, error: &Error, input: Shown) -> Result<(), Failure> {
        self.bad += 1;
        let bad = Bad {
            line: self.begins,
            record: self.records,
            field: field_of(error),
            reason: error.message().to_owned(),
            input,
        };
        self.bad_records.add(&self.options.source(), &bad)
    }

    fn checkpoint(&self) -> Result<String, Failure> {
        let bad_file = self.bad_records.path();
        let checkpoint = Checkpoint {
            format: self.format,
            delimiter: self.options.delimiter,
            shape: self.splitter.shape(),
            offset: self.input.offset(),
            sha256: self.input.hash(),
            head_sha256: self.input.head_hash(),
            records: self.records,
            queued: self.queued,
            bad: self.bad,
            bad_file: bad_file.map_or_else(String::new, |path| path.display().to_string()),
            bad_bytes: self.bad_records.bytes(),
        };
        text_of(&checkpoint)
    }

    /// Queues what was gathered and notes that the input is done with up to here.
    fn commit(&mut self, import: &mut Import, end: ImportEnd) -> Result<(), Failure> {
        self.bad_records.sync()?;
        let checkpoint = self.checkpoint()?;
        loop {
            match import.commit(&checkpoint, end) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::SpoolFull && self.options.wait => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(e) => return Err(stopped(self.options, import, &e)),
            }
        }
    }

    fn at(&self, why: &str) -> String {
        format!("{}:{}: {why}", self.options.source(), self.begins)
    }
}

/// Queues the good records of `input`.
pub fn queue(
    options: &Options,
    mut input: Input,
    format: Format,
    client: &Client,
) -> Result<ExitCode, Failure> {
    let mut import = client.import(&options.name())?;
    if let Some(bytes) = options.commit_bytes {
        import.commit_every(bytes);
    }
    let bad_file = options.bad_file()?;
    let begun = start(&import, &mut input, options, format, &bad_file)?;
    let ended_before = import.ended_ms().is_some();
    let (last, known) = match begun {
        Start::Fresh { own_bad_file } => (None, own_bad_file.then_some(0)),
        Start::Behind(last) => {
            let bytes = last.bad_bytes;
            // What was given out with the end of an import may have been moved, and another be there.
            let is_its_own = Path::new(&last.bad_file) == bad_file
                && (!ended_before || length(&bad_file) == Some(bytes));
            (Some(last), is_its_own.then_some(bytes))
        }
    };
    let bad_records = BadRecords::new(Some(bad_file), known)?;
    let before = last.as_ref().map_or(0, |last| last.queued);
    let begins = match &last {
        None => Some(Checkpoint::none(
            format,
            options.delimiter,
            bad_records.path(),
        )),
        Some(last) => {
            let verb = if ended_before {
                "imported"
            } else {
                "interrupted"
            };
            complain(format_args!(
                "import: goes on behind record {}; it was {verb} up to there",
                last.records
            ));
            input.look_at(1).map_err(|e| options.unreadable(&e))?;
            let brings_more = !input.ahead().is_empty() && !options.all_or_nothing;
            brings_more.then(|| last.with_bad_file(bad_records.path(), bad_records.bytes()))
        }
    };
    if let Some(begins) = begins {
        // So that a run that comes after a crash knows the file of bad records for its own.
        import.commit(&text_of(&begins)?, ImportEnd::More)?;
    }
    let mut walk = Walk::begin(options, format, input, last.as_deref(), bad_records)?;
    let rules = *import.rules();
    let mut broken = None;
    loop {
        match walk.step(&rules)? {
            Step::Good => {
                if let Err(e) = import.push(&walk.batch) {
                    return Err(stopped(options, &import, &e));
                }
                walk.queued += 1;
            }
            Step::Bad => {}
            Step::End => break,
            Step::Broken(why) => {
                broken = Some(walk.at(&why));
                break;
            }
        }
        if import.is_due() && !options.all_or_nothing {
            walk.commit(&mut import, ImportEnd::More)?;
        }
    }
    walk.progress.end(walk.input.offset(), walk.records);
    let new_bad = walk.bad - last.as_ref().map_or(0, |last| last.bad);
    if options.all_or_nothing && (new_bad > 0 || broken.is_some()) {
        walk.bad_records.sync()?;
        import.discard();
        if last.is_none() {
            let none = Checkpoint::none(format, options.delimiter, walk.bad_records.path());
            import.commit(&text_of(&none)?, ImportEnd::Ended)?;
        }
        tell(&walk, 0)?;
        let why =
            broken.unwrap_or_else(|| format!("{new_bad} of {} records are bad", walk.records));
        return Err(Failure::new(
            NOTHING_QUEUED,
            format!("{why}; nothing is queued; mend the input and run it again"),
        ));
    }
    if let Some(why) = broken {
        if walk.splitter.is_between() {
            walk.commit(&mut import, ImportEnd::More)?;
        }
        return Err(Failure::new(
            STOPPED,
            format!(
                "{why}; {}; mend it behind that and run the command again",
                so_far(&import)
            ),
        ));
    }
    walk.commit(&mut import, ImportEnd::Ended)?;
    tell(&walk, walk.queued - before)?;
    Ok(ExitCode::from(if walk.bad > 0 { SOME_BAD } else { 0 }))
}

/// Only checks.
pub fn check(options: &Options, input: Input, format: Format) -> Result<ExitCode, Failure> {
    let rules = options.rules()?;
    let bad_file = options
        .bad
        .as_ref()
        .map(|_| options.bad_file())
        .transpose()?;
    let bad_records = BadRecords::new(bad_file, None)?;
    let mut walk = Walk::begin(options, format, input, None, bad_records)?;
    let broken = loop {
        match walk.step(&rules)? {
            Step::Good | Step::Bad => {}
            Step::End => break None,
            Step::Broken(why) => break Some(walk.at(&why)),
        }
    };
    walk.progress.end(walk.input.offset(), walk.records);
    walk.bad_records.sync()?;
    let good = walk.records - walk.bad;
    say(format_args!(
        "checked {} records: {good} good, {} bad; nothing was queued",
        walk.records, walk.bad
    ))?;
    match broken {
        Some(why) => Err(Failure::new(NOTHING_QUEUED, why)),
        None => Ok(ExitCode::from(if walk.bad > 0 {
            NOTHING_QUEUED
        } else {
            0
        })),
    }
}

fn tell(walk: &Walk<'_>, now: u64) -> Result<(), Failure> {
    let noted = match walk.bad_records.path() {
        Some(path) if walk.bad > 0 => format!(", noted in {}", path.display()),
        _ => String::new(),
    };
    say(format_args!(
        "queued {now} of {} records; {} bad{noted}",
        walk.records, walk.bad
    ))?;
    if now == 0 && walk.bad == 0 && walk.queued > 0 {
        say("all of it was queued by an earlier import; --again queues it again")?;
    }
    Ok(())
}

fn stopped(options: &Options, import: &Import, error: &Error) -> Failure {
    let so_far = so_far(import);
    match error.kind() {
        ErrorKind::SpoolFull => Failure::new(
            STOPPED,
            format!("{error}; {so_far}; then run the command again to go on"),
        ),
        _ => {
            // It may have been the last commit, and be noted all the same.
            let without = if options.again {
                " without --again"
            } else {
                ""
            };
            Failure::from(format!(
                "{error}; {so_far}; run the command again{without} to go on"
            ))
        }
    }
}

/// What the last commit says.
fn so_far(import: &Import) -> String {
    let last = import
        .checkpoint()
        .and_then(|text| serde_json::from_str::<Checkpoint>(text).ok());
    match last {
        Some(last) if last.queued > 0 => format!("{} events before it are queued", last.queued),
        _ => "nothing is queued yet".to_owned(),
    }
}

fn text_of(checkpoint: &Checkpoint) -> Result<String, Failure> {
    serde_json::to_string(checkpoint).map_err(|e| Failure::from(format!("checkpoint: {e}")))
}
