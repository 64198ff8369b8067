//! Reads the records of an input one after the other: split, check, list the bad ones.

use std::path::Path;

use meditopia::internals::clock;
use meditopia::internals::event::{Batch, Rules, field_of};
use meditopia::{Error, ErrorKind};

use super::Options;
use super::bad_records::{BadRecord, BadRecords};
use super::checkpoint::Checkpoint;
use super::input::Input;
use super::progress::Progress;
use super::splitter::{Format, OriginalRecord, Split, Splitter, SplitterState};
use crate::failure::Failure;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the records of an input.
pub struct RecordReader<'a> {
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
    /// The line in which the next record begins.
    line: u64,
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
}

impl<'a> RecordReader<'a> {
    /// Starts with the first byte, or after the records of a checkpoint, where `input` stands then.
    pub fn new(
        options: &'a Options,
        format: Format,
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
            format,
            splitter: Splitter::new(format, options.delimiter, state),
            bad_records,
            progress: Progress::start(input.offset(), input.total(), records),
            batch: Batch::new(),
            records,
            queued: last.map_or(0, |last| last.queued),
            bad: last.map_or(0, |last| last.bad),
            line: input.line(),
            input,
        })
    }

    /// Reads the next record.
    pub fn next(&mut self, rules: &Rules) -> Result<NextRecord, Failure> {
        loop {
            if self.splitter.is_between_records() {
                self.line = self.input.line();
            }
            let split = self
                .splitter
                .next(self.input.buffered(), self.input.has_ended());
            let (checked, record, consumed) = match split {
                Split::NeedMore => {
                    self.input
                        .read_more()
                        .map_err(|e| self.options.unreadable(&e))?;
                    continue;
                }
                Split::Skip(bytes) => {
                    self.input.consume(bytes);
                    continue;
                }
                Split::End => return Ok(NextRecord::End),
                Split::Broken(why) => return Ok(NextRecord::Broken(self.at_line(&why))),
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
        self.bad_records.add(&self.options.source(), &bad)
    }

    fn at_line(&self, why: &str) -> String {
        format!("{}:{}: {why}", self.options.source(), self.line)
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

    /// How many of them were queued.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// How many of them are bad.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// The file that bad records are written to, if any.
    pub fn bad_file(&self) -> Option<&Path> {
        self.bad_records.path()
    }

    /// Where bad records are written.
    pub fn bad_records(&mut self) -> &mut BadRecords {
        &mut self.bad_records
    }

    /// Whether the input stands between two records, so that a later run can continue here.
    pub fn is_between_records(&self) -> bool {
        self.splitter.is_between_records()
    }

    /// Shows the final progress.
    pub fn finish_progress(&self) {
        self.progress.finish(self.input.offset(), self.records);
    }

    /// What a later run needs to continue here.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            splitter: self.splitter.state(),
            offset: self.input.offset(),
            sha256: self.input.hash(),
            head_sha256: self.input.head_hash(),
            records: self.records,
            queued: self.queued,
            bad: self.bad,
            bad_bytes: self.bad_records.bytes(),
            ..Checkpoint::at_start(self.format, self.options.delimiter, self.bad_records.path())
        }
    }
}
