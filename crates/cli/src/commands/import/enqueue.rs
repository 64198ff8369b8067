//! Enqueues the good records of an input, with a checkpoint at each commit.
//!
//! Good records before a broken one are queued: the same command goes on after them once the input is
//! mended. Nothing is remembered of an input in which no record could be read.

use std::path::Path;
use std::time::{Duration, Instant};

use meditopia::{Client, Error, ErrorKind, Import, ImportEnd};

use super::bad_records::{BadRecords, has_bytes};
use super::beginning::Beginning;
use super::checkpoint::Checkpoint;
use super::input::Input;
use super::reader::{NextRecord, RecordReader};
use super::recognition::{Recognised, Start, Wanted, recognise, remember};
use super::splitter::Layout;
use super::summary::{Imported, Outcome, Summary};
use super::{Options, interrupt, note};
use crate::failure::{Failure, NOTHING_QUEUED, SOME_BAD, STOPPED};

/// The interval in which a run looks again for space while the spool is full.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// How long one delivery may take that is to make space.
const DELIVERY: Duration = Duration::from_secs(5);

/// A run of an import.
struct Run<'a> {
    options: &'a Options,
    client: &'a Client,
    import: Import,
    /// The checkpoint that the run continues from.
    last: Option<Box<Checkpoint>>,
    /// The checkpoint of an import that has ended, if the run starts over.
    replaced: Option<String>,
    /// The same, as long as it is not known whether that import was of this input; see [`Checkpoint::replaced`].
    unproven: Option<Box<Checkpoint>>,
    first_sha256: &'a str,
}

/// Why reading has ended.
enum End {
    OfInput,
    Broken(String),
    Full(Error),
    Interrupted,
}

/// Enqueues the good records of `input`.
pub fn enqueue(
    options: &Options,
    mut input: Input,
    layout: &Layout,
    beginning: &Beginning,
    client: &Client,
) -> Result<Imported, Failure> {
    let first_sha256 = beginning.sha256();
    let wanted = Wanted {
        options,
        layout,
        first_sha256: &first_sha256,
    };
    let Recognised { import, start } = recognise(client, &mut input, &wanted)?;
    let bad_records = open_bad_records(options, &import, &start)?;
    let has_ended_before = import.ended_ms().is_some();
    let replaced = import.checkpoint().filter(|_| has_ended_before);
    let unproven = match &start {
        Start::After(last) | Start::AtFirstRecord(Some(last)) => last.replaced.clone(),
        Start::AtFirstRecord(None) if input.is_file() => None,
        Start::AtFirstRecord(None) => replaced.and_then(|text| serde_json::from_str(text).ok()),
    };
    let unproven = unproven.filter(|replaced| replaced.offset > 0);
    if let Some(replaced) = &unproven {
        input.note_hash_at(replaced.offset);
    }
    let mut run = Run {
        options,
        client,
        unproven,
        first_sha256: &first_sha256,
        replaced: replaced.map(str::to_owned),
        import,
        last: match start {
            Start::AtFirstRecord(_) => None,
            Start::After(last) => Some(last),
        },
    };
    if let Some(bytes) = options.commit_bytes {
        run.import.commit_every(bytes);
    }
    input.fill(1).map_err(|e| options.unreadable(&e))?;
    let has_more = !input.buffered().is_empty() && !options.all_or_nothing;
    if let Some(last) = &run.last {
        let until = match has_ended_before {
            true => "everything up to there was imported before",
            false => "where it was interrupted",
        };
        let after = last.records;
        note(
            options,
            format_args!("import: continues after record {after}, {until}"),
        );
    }
    let mut reader = RecordReader::new(
        options,
        layout,
        beginning,
        input,
        run.last.as_deref(),
        bad_records,
    )?;
    if run.last.is_none() || has_more {
        // After a crash, the next run recognises the file of bad records as its own by this commit.
        let first = run.checkpoint(&reader).to_json()?;
        run.import.commit(&first, ImportEnd::More)?;
    }
    let end = run.read_all(&mut reader)?;
    run.finish(reader, end)
}

/// Opens the file of bad records: that of the run that is continued, or a new one.
fn open_bad_records(
    options: &Options,
    import: &Import,
    start: &Start,
) -> Result<BadRecords, Failure> {
    let place = options.bad_place()?;
    let (last, committed) = match start {
        Start::AtFirstRecord(None) => return BadRecords::new(Some(place)),
        Start::AtFirstRecord(Some(last)) => (last, 0),
        Start::After(last) => (last, last.bad_bytes),
    };
    let path = Path::new(&last.bad_file);
    let is_given = place
        .given
        .as_deref()
        .is_some_and(|given| given == path || path.parent() == Some(given));
    let is_own = match import.ended_ms() {
        // After the end of an import its file may have been moved away and replaced by another one.
        Some(_) => is_given && has_bytes(path, committed) && !has_bytes(path, committed + 1),
        None => (is_given || place.given.is_none()) && !last.bad_file.is_empty(),
    };
    if is_own {
        return BadRecords::continued(place, path, committed);
    }
    if last.bad > 0 && import.ended_ms().is_none() {
        note(
            options,
            format_args!(
                "import: the bad records up to record {} are in {}",
                last.records, last.bad_file
            ),
        );
    }
    BadRecords::new(Some(place))
}

impl Run<'_> {
    /// Adds all good records to the import, with commits on the way.
    fn read_all(&mut self, reader: &mut RecordReader<'_>) -> Result<End, Failure> {
        let rules = *self.import.rules();
        loop {
            match reader.next(&rules)? {
                NextRecord::Good => match self.import.push(reader.batch()) {
                    Err(e) if e.kind() == ErrorKind::SpoolFull => return Ok(End::Full(e)),
                    Err(e) => return Err(self.failed(&e)),
                    Ok(()) => reader.count_queued(),
                },
                NextRecord::Bad => {}
                NextRecord::End => return Ok(End::OfInput),
                NextRecord::Broken(why) => return Ok(End::Broken(why)),
                NextRecord::Interrupted => return Ok(End::Interrupted),
            }
            if self.import.is_due()
                && !self.options.all_or_nothing
                && let Some(end) = self.commit(reader, ImportEnd::More)?
            {
                return Ok(end);
            }
        }
    }

    fn checkpoint(&self, reader: &RecordReader<'_>) -> Checkpoint {
        Checkpoint {
            replaced: self.unproven.clone(),
            ..reader.checkpoint()
        }
    }

    /// Looks whether the import whose place the run has taken was of this input. If it was of another one, that
    /// must not be queued twice when it comes again.
    fn prove_replaced(&mut self, reader: &RecordReader<'_>, end: ImportEnd) -> Result<(), Failure> {
        let Some(replaced) = &self.unproven else {
            return Ok(());
        };
        let is_same = match reader.noted_hash() {
            Some(hash) => hash == replaced.sha256,
            // The input is shorter.
            None if end == ImportEnd::Ended => false,
            None => return Ok(()),
        };
        if !is_same {
            remember(self.client, replaced, self.first_sha256)?;
        }
        self.unproven = None;
        Ok(())
    }

    /// Publishes the events gathered so far, together with the checkpoint. Returns why not, if the spool is
    /// full or the operator ends the command.
    fn commit(
        &mut self,
        reader: &mut RecordReader<'_>,
        end: ImportEnd,
    ) -> Result<Option<End>, Failure> {
        reader.bad_records().sync()?;
        self.prove_replaced(reader, end)?;
        let checkpoint = self.checkpoint(reader).to_json()?;
        let until = Instant::now() + Duration::from_secs(self.options.timeout.into());
        loop {
            let full = match self.import.commit(&checkpoint, end) {
                Ok(()) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::SpoolFull => e,
                Err(e) => return Err(self.failed(&e)),
            };
            if interrupt::is_requested() {
                return Ok(Some(End::Interrupted));
            }
            let may_wait = self.options.wait || (self.options.flush && Instant::now() < until);
            if !may_wait {
                return Ok(Some(End::Full(full)));
            }
            // Nobody else may be there who sends.
            let delivered = match self.options.flush {
                true => self.client.flush(DELIVERY).1,
                false => Ok(()),
            };
            match delivered {
                Err(e) if e.kind() == ErrorKind::Paused && !self.options.wait => {
                    return Ok(Some(End::Full(full)));
                }
                _ => std::thread::sleep(RETRY_EVERY),
            }
        }
    }

    /// Makes the last commit, and says what became of the records.
    fn finish(mut self, mut reader: RecordReader<'_>, mut end: End) -> Result<Imported, Failure> {
        let bad_before = self.last.as_ref().map_or(0, |last| last.bad);
        let new_bad = reader.bad() - bad_before;
        let is_empty = reader.records() == 0;
        let fails_as_whole = self.options.all_or_nothing
            && (new_bad > 0 || matches!(end, End::Broken(_) | End::Interrupted));
        let is_last = matches!(end, End::OfInput);
        if !fails_as_whole && !is_empty && !matches!(end, End::Full(_)) {
            let last = match is_last {
                true => ImportEnd::Ended,
                false => ImportEnd::More,
            };
            if let Some(instead) = self.commit(&mut reader, last)?
                && is_last
            {
                end = instead;
            }
        }
        reader.finish_progress();
        reader.bad_records().sync()?;
        self.import.discard();

        let reaches_end = match &end {
            End::OfInput => true,
            End::Full(_) => reader.is_file() && reader.count_rest(),
            End::Broken(_) | End::Interrupted => false,
        };
        let committed = self.committed();
        let bad = match fails_as_whole {
            true => reader.bad(),
            false => committed.as_ref().map_or(0, |last| last.bad),
        };
        let queued = committed.as_ref().map_or(0, |last| last.queued);
        let already_queued = self.last.as_ref().map_or(0, |last| last.queued);
        let summary = Summary {
            records: reader.records(),
            queued: queued.saturating_sub(already_queued),
            already_queued,
            bad,
            reaches_end,
            is_whole: fails_as_whole,
            bad_file: reader.bad_listed_in(),
        };
        let (outcome, status, message) = match end {
            End::OfInput if is_empty && self.options.allow_empty => (Outcome::Queued, 0, None),
            End::OfInput if is_empty => {
                let message = format!(
                    "{}: the input has no record; nothing is queued, and nothing is remembered of it; see why it is empty, or give --allow-empty",
                    self.options.source()
                );
                (Outcome::NothingQueued, NOTHING_QUEUED, Some(message))
            }
            End::OfInput if !fails_as_whole => {
                let is_good = reader.bad() == 0 || self.options.accept_bad;
                (Outcome::Queued, if is_good { 0 } else { SOME_BAD }, None)
            }
            End::Broken(why) if is_empty => {
                let message =
                    format!("{why}; nothing is queued, and nothing is remembered of this input");
                (Outcome::Stopped, STOPPED, Some(message))
            }
            End::Interrupted if fails_as_whole => {
                let message = "interrupted; nothing is queued; run the same command again";
                (Outcome::Stopped, STOPPED, Some(message.to_owned()))
            }
            end if fails_as_whole => {
                let why = match end {
                    End::Broken(why) => why,
                    _ => format!("{new_bad} of {} records are bad", reader.records()),
                };
                let message =
                    format!("{why}; nothing is queued; fix the input and run the command again");
                (Outcome::NothingQueued, NOTHING_QUEUED, Some(message))
            }
            End::Broken(why) => {
                let message = format!(
                    "{why}; {}; fix the input from there on, then run the same command again: it goes on after record {}",
                    self.so_far(),
                    committed.map_or(0, |last| last.records)
                );
                (Outcome::Stopped, STOPPED, Some(message))
            }
            End::Full(error) => {
                let message = format!(
                    "{error}; then run the command again to continue; {}",
                    self.so_far()
                );
                (Outcome::Stopped, STOPPED, Some(message))
            }
            End::Interrupted | End::OfInput => {
                let message = format!(
                    "interrupted; {}; run the same command again: it goes on there",
                    self.so_far()
                );
                (Outcome::Stopped, STOPPED, Some(message))
            }
        };
        if self.last.is_none() && (is_empty || fails_as_whole) {
            self.undo()?;
        }
        Ok(Imported {
            summary,
            outcome,
            status,
            message,
        })
    }

    /// Makes the spool remember what it did before this run, which has queued nothing.
    fn undo(mut self) -> Result<(), Failure> {
        match self.replaced {
            Some(ended) => Ok(self.import.commit(&ended, ImportEnd::Ended)?),
            None => Ok(self.import.forget()?),
        }
    }

    fn failed(&self, error: &Error) -> Failure {
        // The failed commit may have been the last one and complete on the disk all the same. Then
        // --again would queue everything a second time.
        let without = match self.options.again {
            true => " without --again",
            false => "",
        };
        Failure::from(format!(
            "{error}; {}; run the command again{without} to continue",
            self.so_far()
        ))
    }

    /// What the last commit says.
    fn committed(&self) -> Option<Checkpoint> {
        let text = self.import.checkpoint();
        text.and_then(|text| serde_json::from_str(text).ok())
    }

    /// What the last commit says about the events before.
    fn so_far(&self) -> String {
        match self.committed() {
            Some(last) if last.queued > 0 => {
                format!("{} events before it are queued", last.queued)
            }
            _ => "nothing is queued yet".to_owned(),
        }
    }
}
