//! CSV with a header, as RFC 4180 has it: quoted fields may hold commas, quotes and line breaks.
//!
//! The header names the fields, in any order. An empty `event_value` is null and an empty `received_at` is
//! now, because CSV cannot tell an empty text from none.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use meditopia::Fields;
use meditopia::{Error, ErrorKind};

use super::records::{Found, NO_FIELDS, RECORD_MAX_BYTES, Shape, text, too_long};

const FIELDS: [&str; 5] = [
    "token",
    "partner_user_id",
    "event",
    "event_value",
    "received_at",
];
/// A record with more fields than this is not kept.
const COLUMNS_MAX: usize = 64;

/// The splitter of CSV.
pub struct Csv {
    reader: Reader,
    /// Which of [`FIELDS`] each column is; empty before the header.
    columns: Vec<usize>,
    /// The text of the record's fields, and where each ends.
    output: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    ended: usize,
    /// How many fields the record had that was found last.
    count: usize,
    /// A record has begun.
    within: bool,
    /// Why the record is not kept.
    skipping: Option<String>,
}

impl Csv {
    pub fn new(delimiter: u8, shape: &Shape) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            columns: shape.columns.clone(),
            output: vec![0; 4 * 1024],
            ends: vec![0; COLUMNS_MAX],
            filled: 0,
            ended: 0,
            count: 0,
            within: false,
            skipping: None,
        }
    }

    /// Whether what is next is not the rest of a record.
    pub fn is_between(&self) -> bool {
        !self.within
    }

    pub fn shape(&self) -> Shape {
        Shape {
            columns: self.columns.clone(),
            ..Shape::default()
        }
    }

    /// The reader is done with what it is shown, so a record goes over several answers, and its text is in
    /// `output`.
    pub fn next(&mut self, ahead: &[u8], ended: bool) -> Found {
        if ahead.is_empty() && !ended {
            return Found::More;
        }
        // Blank lines, and the second half of a line's end: no record begins there.
        let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let blanks = ahead.iter().take_while(blank).count();
        if blanks > 0 && !self.within {
            return Found::Pass(blanks);
        }
        let (mut done, mut rest) = (0, ahead);
        loop {
            let (result, read, written, fields) = self.reader.read_record(
                rest,
                &mut self.output[self.filled..],
                &mut self.ends[self.ended..],
            );
            done += read;
            rest = &rest[read..];
            self.filled += written;
            self.ended += fields;
            match result {
                ReadRecordResult::InputEmpty => {
                    self.within = true;
                    return Found::Pass(done);
                }
                ReadRecordResult::OutputFull if self.filled >= RECORD_MAX_BYTES => {
                    (self.skipping, self.filled) = (Some(too_long()), 0);
                }
                ReadRecordResult::OutputFull => self.output.resize(2 * self.output.len(), 0),
                ReadRecordResult::OutputEndsFull => {
                    let why = format!("has more than {COLUMNS_MAX} fields");
                    (self.skipping, self.ended) = (Some(why), 0);
                }
                ReadRecordResult::Record => return self.record(done),
                ReadRecordResult::End => return Found::End,
            }
        }
    }

    fn record(&mut self, done: usize) -> Found {
        let fields = std::mem::take(&mut self.ended);
        (self.filled, self.within, self.count) = (0, false, fields);
        let skipped = self.skipping.take();
        if self.columns.is_empty() {
            return match self.header(fields) {
                _ if skipped.is_some() => {
                    Found::Broken("its first line is no header of events".into())
                }
                Ok(columns) => {
                    self.columns = columns;
                    Found::Pass(done)
                }
                Err(why) => Found::Broken(why),
            };
        }
        if let Some(why) = skipped {
            self.count = 0;
            return Found::Bad { why, done };
        }
        if fields != self.columns.len() {
            return Found::Bad {
                why: format!("has {fields} fields, the header has {}", self.columns.len()),
                done,
            };
        }
        Found::Record { at: 0..0, done }
    }

    fn header(&self, count: usize) -> Result<Vec<usize>, String> {
        let mut columns = Vec::new();
        for column in 0..count {
            let name = String::from_utf8_lossy(self.column(column))
                .trim()
                .to_owned();
            let Some(field) = FIELDS.iter().position(|field| *field == name) else {
                let name: String = name.chars().take(40).collect();
                return Err(format!(
                    "its header has the column {name:?}; known are {}",
                    FIELDS.join(", ")
                ));
            };
            if columns.contains(&field) {
                return Err(format!("its header has the column {name} twice"));
            }
            columns.push(field);
        }
        match (0..3).find(|needed| !columns.contains(needed)) {
            Some(missing) => Err(format!("its header has no column {}", FIELDS[missing])),
            None => Ok(columns),
        }
    }

    fn column(&self, column: usize) -> &[u8] {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.output[start..self.ends[column]]
    }

    /// The fields of the record that was found last.
    pub fn fields(&self) -> Result<Fields<'_>, Error> {
        let mut fields = NO_FIELDS;
        for (column, &field) in self.columns.iter().enumerate() {
            let text = text(FIELDS[field], self.column(column))?;
            let given = Some(text).filter(|text| !text.is_empty());
            match FIELDS[field] {
                "token" => fields.token = text,
                "partner_user_id" => fields.partner_user_id = text,
                "event" => fields.event = text,
                "event_value" => fields.event_value = given,
                "received_at" => fields.received_at = given,
                other => return Err(Error::new(ErrorKind::Internal, format!("field {other}"))),
            }
        }
        Ok(fields)
    }

    /// The texts of the record that was found last.
    pub fn shown(&self) -> Vec<String> {
        (0..self.count)
            .map(|column| String::from_utf8_lossy(self.column(column)).into_owned())
            .collect()
    }
}
