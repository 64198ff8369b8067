//! Splits CSV with a header, as defined by RFC 4180: quoted fields may hold commas, quotes and line
//! breaks.
//!
//! The header names the fields, in any order. An empty `event_value` is null and an empty
//! `received_at` is now, because CSV cannot distinguish an empty text from a missing one.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use meditopia::{Error, ErrorKind, Fields};

use super::{RECORD_MAX_BYTES, Split, SplitterState, too_long};

const FIELDS: [&str; 5] = [
    "token",
    "partner_user_id",
    "event",
    "event_value",
    "received_at",
];
/// How many of [`FIELDS`], from the first, are required.
const REQUIRED: usize = 3;
/// A record with more fields is bad.
const COLUMNS_MAX: usize = 64;

pub struct CsvSplitter {
    reader: Reader,
    /// The index in [`FIELDS`] of each column; empty before the header.
    columns: Vec<usize>,
    /// The texts of the record's fields, one after the other; the first `text_bytes` are in use.
    texts: Vec<u8>,
    text_bytes: usize,
    /// Where each field ends in `texts`; the first `fields` are in use.
    ends: Vec<usize>,
    fields: usize,
    /// The number of fields of the last complete record.
    last_fields: usize,
    /// Whether a record has begun.
    is_within_record: bool,
    /// Why the record is bad, if its fields are not kept.
    skipping: Option<String>,
}

impl CsvSplitter {
    pub fn new(delimiter: u8, state: &SplitterState) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            columns: state.columns.clone(),
            texts: vec![0; 4 * 1024],
            text_bytes: 0,
            ends: vec![0; COLUMNS_MAX],
            fields: 0,
            last_fields: 0,
            is_within_record: false,
            skipping: None,
        }
    }

    /// See [`super::Splitter::is_between_records`].
    pub fn is_between_records(&self) -> bool {
        !self.is_within_record
    }

    /// See [`super::Splitter::state`].
    pub fn state(&self) -> SplitterState {
        SplitterState {
            columns: self.columns.clone(),
            ..SplitterState::default()
        }
    }

    /// See [`super::Splitter::next`]. The CSV reader consumes all bytes that it sees, so one record
    /// may take several calls, and its text is copied to `texts`.
    pub fn next(&mut self, buffered: &[u8], ended: bool) -> Split {
        if buffered.is_empty() && !ended {
            return Split::NeedMore;
        }
        // Blank lines and the second half of a line break begin no record.
        let is_line_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let line_breaks = buffered.iter().take_while(is_line_break).count();
        if line_breaks > 0 && !self.is_within_record {
            return Split::Skip(line_breaks);
        }
        let (mut consumed, mut rest) = (0, buffered);
        loop {
            let (result, read, written, fields) = self.reader.read_record(
                rest,
                &mut self.texts[self.text_bytes..],
                &mut self.ends[self.fields..],
            );
            consumed += read;
            rest = &rest[read..];
            self.text_bytes += written;
            self.fields += fields;
            match result {
                ReadRecordResult::InputEmpty => {
                    self.is_within_record = true;
                    return Split::Skip(consumed);
                }
                ReadRecordResult::OutputFull if self.text_bytes >= RECORD_MAX_BYTES => {
                    (self.skipping, self.text_bytes) = (Some(too_long()), 0);
                }
                ReadRecordResult::OutputFull => self.texts.resize(2 * self.texts.len(), 0),
                ReadRecordResult::OutputEndsFull => {
                    let why = format!("has more than {COLUMNS_MAX} fields");
                    (self.skipping, self.fields) = (Some(why), 0);
                }
                ReadRecordResult::Record => return self.end_record(consumed),
                ReadRecordResult::End => return Split::End,
            }
        }
    }

    fn end_record(&mut self, consumed: usize) -> Split {
        let fields = std::mem::take(&mut self.fields);
        (self.text_bytes, self.is_within_record, self.last_fields) = (0, false, fields);
        let skipped = self.skipping.take();
        if self.columns.is_empty() {
            return match self.read_header(fields) {
                _ if skipped.is_some() => {
                    Split::Broken("the first line is not a header of event fields".into())
                }
                Ok(columns) => {
                    self.columns = columns;
                    Split::Skip(consumed)
                }
                Err(why) => Split::Broken(why),
            };
        }
        if let Some(why) = skipped {
            self.last_fields = 0;
            return Split::Bad { why, consumed };
        }
        if fields != self.columns.len() {
            return Split::Bad {
                why: format!(
                    "has {fields} fields, but the header has {}",
                    self.columns.len()
                ),
                consumed,
            };
        }
        Split::Record {
            range: 0..0,
            consumed,
        }
    }

    fn read_header(&self, count: usize) -> Result<Vec<usize>, String> {
        let mut columns = Vec::new();
        for column in 0..count {
            let name = String::from_utf8_lossy(self.column(column))
                .trim()
                .to_owned();
            let Some(field) = FIELDS.iter().position(|field| *field == name) else {
                let name: String = name.chars().take(40).collect();
                return Err(format!(
                    "the column {name:?} of the header is unknown; known columns are {}",
                    FIELDS.join(", ")
                ));
            };
            if columns.contains(&field) {
                return Err(format!("the header has the column {name} twice"));
            }
            columns.push(field);
        }
        match (0..REQUIRED).find(|needed| !columns.contains(needed)) {
            Some(missing) => Err(format!("the header has no column {}", FIELDS[missing])),
            None => Ok(columns),
        }
    }

    fn column(&self, column: usize) -> &[u8] {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start..self.ends[column]]
    }

    /// The fields of the last record.
    pub fn fields(&self) -> Result<Fields<'_>, Error> {
        let mut fields = EMPTY;
        for (column, &field) in self.columns.iter().enumerate() {
            let text = utf8(FIELDS[field], self.column(column))?;
            let optional = Some(text).filter(|text| !text.is_empty());
            match FIELDS[field] {
                "token" => fields.token = text,
                "partner_user_id" => fields.partner_user_id = text,
                "event" => fields.event = text,
                "event_value" => fields.event_value = optional,
                "received_at" => fields.received_at = optional,
                other => return Err(Error::new(ErrorKind::Internal, format!("field {other}"))),
            }
        }
        Ok(fields)
    }

    /// The texts of the last record.
    pub fn texts(&self) -> Vec<String> {
        (0..self.last_fields)
            .map(|column| String::from_utf8_lossy(self.column(column)).into_owned())
            .collect()
    }
}

const EMPTY: Fields<'static> = Fields {
    token: "",
    partner_user_id: "",
    event: "",
    event_value: None,
    received_at: None,
};

/// The text of a field.
fn utf8<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|cause| {
        let at = cause.valid_up_to();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{field} is not UTF-8 (at byte {at})"),
        )
    })
}
