//! Reads the records of an input one after the other: split, check, list the bad ones.

use meditopia::internals::clock;
use meditopia::internals::event::{Batch, Rules, field_of};
use meditopia::{Error, ErrorKind};

use super::bad_records::{BadRecord, BadRecords};
use super::beginning::{BYTE_ORDER_MARK, Beginning};
use super::checkpoint::Checkpoint;
use super::input::{Input, Mark};
use super::progress::Progress;
use super::splitter::{Layout, OriginalRecord, Split, Splitter, SplitterState};
use super::{Options, interrupt};
use crate::failure::Failure;

/// Reads the records of an input.
pub struct RecordReader<'a> {
    options: &'a Options,
    layout: &'a Layout,
    first_sha256: String,
    /// Why nothing can be read, if the input is no text.
    no_text: Option<String>,
    input: Input,
    splitter: Splitter,
    bad_records: BadRecords,
    progress: Progress,
    batch: Batch,
    records: u64,
    queued: u64,
    bad: u64,
    /// The line in which the next record begins.
    line: u64,
    /// The bad records of earlier runs: how many, their file and its length.
    bad_before: (u64, String, u64),
    /// The end of the last record, and the splitter's state there.
    after_record: (SplitterState, Mark),
}

/// What the reader has found next.
pub enum NextRecord {
    /// A good record; [`RecordReader::batch`] holds its event.
    Good,
    /// A bad record, which was added to the bad ones.
    Bad,
    /// The end of the input.
    End,
    /// Nothing can be read from here on; says where and why.
    Broken(String),
    /// The operator wants the import to end.
    Interrupted,
}

impl<'a> RecordReader<'a> {
    /// Starts with the first byte, or after the records of a checkpoint, where `input` stands then.
    pub fn new(
        options: &'a Options,
        layout: &'a Layout,
        beginning: &Beginning,
        mut input: Input,
        last: Option<&Checkpoint>,
        bad_records: BadRecords,
    ) -> Result<Self, Failure> {
        if last.is_none() {
            input
                .fill(BYTE_ORDER_MARK.len())
                .map_err(|e| options.unreadable(&e))?;
            if input.buffered().starts_with(BYTE_ORDER_MARK) {
                input.consume(BYTE_ORDER_MARK.len());
            }
        }
        let initial = SplitterState::default();
        let state = last.map_or(&initial, |last| &last.splitter);
        let records = last.map_or(0, |last| last.records);
        Ok(Self {
            options,
            layout,
            first_sha256: beginning.sha256(),
            no_text: beginning.no_text(options.input_file(), input.is_gzip()),
            splitter: Splitter::new(layout, state),
            bad_records,
            progress: Progress::start(options.quiet, input.offset(), input.total(), records),
            batch: Batch::new(),
            records,
            queued: last.map_or(0, |last| last.queued),
            bad: last.map_or(0, |last| last.bad),
            line: input.line(),
            bad_before: last.map_or((0, String::new(), 0), |last| {
                (last.bad, last.bad_file.clone(), last.bad_bytes)
            }),
            after_record: (state.clone(), input.mark()),
            input,
        })
    }

    /// Reads the next record.
    pub fn next(&mut self, rules: &Rules) -> Result<NextRecord, Failure> {
        if let Some(why) = &self.no_text {
            return Ok(NextRecord::Broken(self.at_line(self.line, why)));
        }
        loop {
            if interrupt::is_requested() {
                return Ok(NextRecord::Interrupted);
            }
            if self.splitter.is_between_records() {
                self.line = self.input.line();
            }
            let split = self
                .splitter
                .next(self.input.buffered(), self.input.has_ended());
            if let Some(broken) = self.nul_byte(&split) {
                return Ok(NextRecord::Broken(broken));
            }
            let (checked, record, consumed) = match split {
                Split::NeedMore => {
                    if let Err(e) = self.input.read_more() {
                        return self.unreadable(&e);
                    }
                    continue;
                }
                Split::Skip(bytes) => {
                    self.input.consume(bytes);
                    continue;
                }
                Split::End => return Ok(NextRecord::End),
                Split::Broken { at, why } => {
                    return Ok(NextRecord::Broken(self.at_line(self.line_at(at), &why)));
                }
                Split::Bad { why, consumed } => (
                    Err(Error::new(ErrorKind::InvalidEvent, why)),
                    0..0,
                    consumed,
                ),
                Split::Record { range, consumed } => {
                    self.batch.clear();
                    let record = &self.input.buffered()[range.clone()];
                    let now = clock::wall_ms();
                    (
                        self.splitter.check(record, rules, now, &mut self.batch),
                        range,
                        consumed,
                    )
                }
            };
            self.records += 1;
            let next = match checked {
                Ok(()) => NextRecord::Good,
                Err(error) => {
                    let original = self.splitter.original(&self.input.buffered()[record]);
                    self.add_bad(&error, original)?;
                    NextRecord::Bad
                }
            };
            self.input.consume(consumed);
            self.after_record = (self.splitter.state(), self.input.mark());
            self.progress.update(self.input.offset(), self.records);
            return Ok(next);
        }
    }

    fn add_bad(&mut self, error: &Error, input: OriginalRecord) -> Result<(), Failure> {
        self.bad += 1;
        let bad = BadRecord {
            line: self.line,
            record: self.records,
            field: field_of(error),
            reason: error.message().to_owned(),
            input,
        };
        self.bad_records.add(self.options, &bad)
    }

    /// Says where a NUL byte is, if there is one in what `split` has found. No text has any: a file that is
    /// full of them was cut off by a crash, or is not in UTF-8.
    fn nul_byte(&self, split: &Split) -> Option<String> {
        let buffered = self.input.buffered();
        let examined = match split {
            Split::NeedMore | Split::End => return None,
            Split::Skip(bytes) => &buffered[..*bytes],
            Split::Record { consumed, .. } | Split::Bad { consumed, .. } => &buffered[..*consumed],
            Split::Broken { .. } => buffered,
        };
        // The standard library looks for a byte quickly only in this way.
        let at = examined
            .contains(&0)
            .then(|| examined.iter().position(|byte| *byte == 0))??;
        let why = "there is a NUL byte, which no text has: the file is damaged or not in UTF-8; get it anew, or remove these bytes";
        Some(self.at_line(self.line_at(at), why))
    }

    /// What a failure to read means: packed bytes that are damaged are a broken input.
    fn unreadable(&self, cause: &std::io::Error) -> Result<NextRecord, Failure> {
        use std::io::ErrorKind as Kind;
        let is_damage = match cause.kind() {
            Kind::UnexpectedEof => "are cut short",
            Kind::InvalidData | Kind::InvalidInput => "are damaged",
            _ => "",
        };
        if !self.input.is_gzip() || is_damage.is_empty() {
            return Err(self.options.unreadable(cause));
        }
        let why = format!(
            "the bytes that gzip has packed {is_damage} after this line; get the whole file"
        );
        Ok(NextRecord::Broken(self.at_line(self.input.line(), &why)))
    }

    fn line_at(&self, at: usize) -> u64 {
        let before = &self.input.buffered()[..at];
        self.line + before.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn at_line(&self, line: u64, why: &str) -> String {
        format!("{}:{line}: {why}", self.options.source())
    }

    /// Counts the records up to the end of the input, without looking at them. Returns whether the end was
    /// reached.
    pub fn count_rest(&mut self) -> bool {
        while !interrupt::is_requested() {
            let consumed = match self
                .splitter
                .next(self.input.buffered(), self.input.has_ended())
            {
                Split::NeedMore => match self.input.read_more() {
                    Ok(()) => 0,
                    Err(_) => return false,
                },
                Split::Skip(bytes) => bytes,
                Split::Record { consumed, .. } | Split::Bad { consumed, .. } => {
                    self.records += 1;
                    consumed
                }
                Split::End => return true,
                Split::Broken { .. } => return false,
            };
            self.input.consume(consumed);
        }
        false
    }

    /// See [`Input::noted_hash`].
    pub fn noted_hash(&self) -> Option<&str> {
        self.input.noted_hash()
    }

    /// Whether the input is a file, whose end can be looked for.
    pub fn is_file(&self) -> bool {
        self.input.is_file()
    }

    /// The event of the record that was read last, if that record is good.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Counts the record that was read last as queued.
    pub fn count_queued(&mut self) {
        self.queued += 1;
    }

    /// How many records were read, including those before the checkpoint.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many of them are bad.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// The file that lists the bad records: this run's, or that of an earlier one.
    pub fn bad_listed_in(&self) -> Option<String> {
        let (bad_before, file, _) = &self.bad_before;
        match self.bad_records.path() {
            Some(path) if self.bad > *bad_before => Some(path.display().to_string()),
            _ => Some(file.clone()).filter(|_| *bad_before > 0),
        }
    }

    /// Where bad records are written.
    pub fn bad_records(&mut self) -> &mut BadRecords {
        &mut self.bad_records
    }

    /// Shows the final progress.
    pub fn finish_progress(&self) {
        self.progress.finish(self.input.offset(), self.records);
    }

    /// What a later run needs to continue after the last record. What comes after that record may change:
    /// a list may get further elements.
    pub fn checkpoint(&self) -> Checkpoint {
        let (splitter, mark) = &self.after_record;
        let start = Checkpoint::at_start(self.layout, &self.options.place(), &self.first_sha256);
        let (bad_before, file_before, bytes_before) = &self.bad_before;
        let path = self.bad_records.path();
        let (bad_file, bad_bytes) = match path {
            // The run has written none, so the file of the earlier ones is what counts.
            _ if self.bad == *bad_before && self.bad > 0 => (file_before.clone(), *bytes_before),
            Some(path) => (path.display().to_string(), self.bad_records.bytes()),
            None => (String::new(), 0),
        };
        let none_read = Checkpoint {
            bad_file,
            bad_bytes,
            ..start
        };
        if self.records == 0 {
            return none_read;
        }
        Checkpoint {
            splitter: splitter.clone(),
            offset: mark.offset,
            sha256: mark.hash(),
            head_sha256: mark.head_hash(),
            records: self.records,
            queued: self.queued,
            bad: self.bad,
            ..none_read
        }
    }
}
