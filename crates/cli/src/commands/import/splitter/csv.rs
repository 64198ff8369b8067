//! Splits CSV with a header, as defined by RFC 4180: quoted fields may hold separators, quotes and line
//! breaks.
//!
//! The header names the fields, in any order. An empty `event_value` is null and an empty
//! `received_at` is now, because CSV cannot distinguish an empty text from a missing one.
//!
//! A quote that is not closed makes data of all that follows up to the next quote. So this is stricter than
//! most readers: behind a closing quote only a separator, a line break or spaces may come. Where the next
//! record begins is unknown otherwise, and the import stops there.

use meditopia::{Error, ErrorKind, Fields};

use super::names::{Meaning, Names};
use super::{FIELDS, RECORD_MAX_BYTES, REQUIRED, Split, SplitterState, too_long};

/// A record with more fields is bad.
const COLUMNS_MAX: usize = 1_024;
/// What [`SplitterState::columns`] has for a column that is left out.
const LEFT_OUT: usize = FIELDS.len();
/// The separators that an input is looked at for.
const SEPARATORS: [(u8, &str); 4] = [
    (b',', "commas"),
    (b';', "semicolons"),
    (b'\t', "tabs"),
    (b'|', "vertical bars"),
];

pub struct CsvSplitter {
    delimiter: u8,
    names: Names,
    /// The index in [`FIELDS`] of each column, or [`LEFT_OUT`]; empty before the header.
    columns: Vec<usize>,
    place: Place,
    /// How many buffered bytes of the record, from the first, are scanned.
    scanned: usize,
    /// Where the last quoted field begins.
    quote_at: usize,
    /// Where each field but the last ends in the buffer, and how many there are.
    separators: Vec<usize>,
    fields: usize,
    /// The texts of the last record's fields, one after the other, and where each ends.
    texts: Vec<u8>,
    ends: Vec<usize>,
    /// The rest of the record belongs to one that is too long.
    skipping: bool,
}

/// Where in a record the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: its end, or the first of two that stand for one.
    AfterQuote,
    /// After a quoted field and spaces.
    AfterField,
}

impl CsvSplitter {
    pub fn new(delimiter: u8, names: Names, state: &SplitterState) -> Self {
        Self {
            delimiter,
            names,
            columns: state.columns.clone(),
            place: Place::FieldStart,
            scanned: 0,
            quote_at: 0,
            separators: Vec::new(),
            fields: 0,
            texts: Vec::new(),
            ends: Vec::new(),
            skipping: false,
        }
    }

    /// See [`super::Splitter::is_between_records`].
    pub fn is_between_records(&self) -> bool {
        !self.skipping
    }

    /// See [`super::Splitter::state`].
    pub fn state(&self) -> SplitterState {
        SplitterState {
            columns: self.columns.clone(),
            ..SplitterState::default()
        }
    }

    /// See [`super::Splitter::next`].
    pub fn next(&mut self, buffered: &[u8], ended: bool) -> Split {
        if self.scanned == 0 && !self.skipping {
            // Blank lines and the second half of a line break begin no record.
            let is_line_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let line_breaks = buffered.iter().take_while(is_line_break).count();
            match buffered.len() {
                0 if ended => return Split::End,
                0 => return Split::NeedMore,
                _ if line_breaks > 0 => return Split::Skip(line_breaks),
                _ => {}
            }
        }
        for (at, &byte) in buffered.iter().enumerate().skip(self.scanned) {
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::AfterQuote,
                (Place::Quoted, _) | (Place::AfterQuote, b'"') => Place::Quoted,
                (Place::FieldStart, b'"') => {
                    self.quote_at = at;
                    Place::Quoted
                }
                (_, b'\r' | b'\n') => return self.end_record(&buffered[..at], at + 1, false),
                (_, byte) if byte == self.delimiter => {
                    self.fields += 1;
                    if self.fields < COLUMNS_MAX && !self.skipping {
                        self.separators.push(at);
                    }
                    Place::FieldStart
                }
                (Place::AfterQuote | Place::AfterField, b' ' | b'\t') => Place::AfterField,
                (Place::AfterQuote | Place::AfterField, _) => {
                    return self.broken("a quoted field that begins here goes on after its closing quote: a quote is missing or too many; close the field, or double each quote in it");
                }
                (Place::FieldStart | Place::Plain, _) => Place::Plain,
            };
        }
        self.scanned = buffered.len();
        match ended {
            true if self.place == Place::Quoted => self.broken(
                "the quote that opens here is not closed before the input ends; close it, or get the whole file if it was cut short",
            ),
            true => self.end_record(buffered, buffered.len(), true),
            false if buffered.len() > RECORD_MAX_BYTES => {
                (self.skipping, self.scanned, self.quote_at) = (true, 0, 0);
                self.separators.clear();
                Split::Skip(buffered.len())
            }
            false => Split::NeedMore,
        }
    }

    fn broken(&self, why: &str) -> Split {
        let at = if self.skipping { 0 } else { self.quote_at };
        let why = why.to_owned();
        Split::Broken { at, why }
    }

    /// Ends the record with these bytes; `at_end`: no line break follows, but the end of the input.
    fn end_record(&mut self, record: &[u8], consumed: usize, at_end: bool) -> Split {
        let fields = std::mem::take(&mut self.fields) + 1;
        (self.place, self.scanned) = (Place::FieldStart, 0);
        let skipped = std::mem::take(&mut self.skipping) || record.len() > RECORD_MAX_BYTES;
        self.texts.clear();
        self.ends.clear();
        match skipped {
            true => self.separators.clear(),
            false => self.decode(record),
        }
        let why = if skipped {
            too_long()
        } else if fields > COLUMNS_MAX {
            format!("has more than {COLUMNS_MAX} fields")
        } else if self.columns.is_empty() {
            return match self.read_header() {
                Ok(columns) => {
                    self.columns = columns;
                    Split::Skip(consumed)
                }
                Err(why) => Split::Broken { at: 0, why },
            };
        } else if at_end && fields < self.columns.len() {
            let why = format!(
                "the input ends within a record, after {fields} of {} fields: it is cut short; get the whole file",
                self.columns.len()
            );
            return Split::Broken { at: 0, why };
        } else if fields != self.columns.len() {
            format!(
                "has {fields} fields, but the header has {}",
                self.columns.len()
            )
        } else {
            let range = 0..0;
            return Split::Record { range, consumed };
        };
        if self.columns.is_empty() {
            let why = format!("the first line is not a header of event fields: it {why}");
            return Split::Broken { at: 0, why };
        }
        Split::Bad { why, consumed }
    }

    /// Copies the texts of a record's fields.
    fn decode(&mut self, record: &[u8]) {
        let mut start = 0;
        for end in self.separators.drain(..).chain([record.len()]) {
            match &record[start..end] {
                [b'"', quoted @ ..] => {
                    let mut bytes = quoted.iter();
                    while let Some(&byte) = bytes.next() {
                        // Two quotes stand for one, and a single one ends the field.
                        if byte == b'"' && bytes.next() != Some(&b'"') {
                            break;
                        }
                        self.texts.push(byte);
                    }
                }
                plain => self.texts.extend_from_slice(plain),
            }
            self.ends.push(self.texts.len());
            start = end + 1;
        }
    }

    fn read_header(&self) -> Result<Vec<usize>, String> {
        let names: Vec<String> = self
            .texts()
            .iter()
            .map(|name| name.trim().to_owned())
            .collect();
        let known = FIELDS.join(", ");
        let shown = |name: &str| format!("{:?}", name.chars().take(40).collect::<String>());
        let meanings: Vec<Meaning> = names.iter().map(|name| self.names.meaning(name)).collect();
        if !meanings.iter().any(|one| matches!(one, Meaning::Field(_))) {
            return Err(format!(
                "the header {} has none of the columns {known}; the first line has to name the columns: add it, or see --delimiter, --format and --map NAME=FIELD",
                shown(&names.join(&char::from(self.delimiter).to_string()))
            ));
        }
        let mut columns: Vec<usize> = Vec::new();
        for (name, meaning) in names.iter().zip(meanings) {
            columns.push(match meaning {
                Meaning::Field(field) if columns.contains(&field) => {
                    return Err(format!(
                        "the header has the column {} twice, at last as {}; leave one of them out",
                        FIELDS[field],
                        shown(name)
                    ));
                }
                Meaning::Field(field) => field,
                Meaning::Extra => LEFT_OUT,
                Meaning::Unknown => {
                    return Err(format!(
                        "the column {} of the header is unknown; known columns are {known}; say what it is with --map NAME=FIELD, or leave out unknown columns with --ignore-extra",
                        shown(name)
                    ));
                }
            });
        }
        if let Some(missing) = self.names.missing(&names) {
            return Err(format!(
                "the header has no column {}, which --map names; correct --map",
                shown(missing)
            ));
        }
        match (0..REQUIRED).find(|needed| !columns.contains(needed)) {
            Some(missing) => Err(format!(
                "the header has no column {}; add it, or say which column it is with --map NAME={}",
                FIELDS[missing], FIELDS[missing]
            )),
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
            if field == LEFT_OUT {
                continue;
            }
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
        (0..self.ends.len())
            .map(|column| String::from_utf8_lossy(self.column(column)).into_owned())
            .collect()
    }
}

/// The separator with which the first line of `beginning` has the most known columns, and its name. `None`
/// if no separator makes a known column of any part of it.
pub fn sniff_delimiter(beginning: &[u8], names: &Names) -> Option<(u8, &'static str)> {
    let beginning = beginning.trim_ascii_start();
    let line = beginning
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()?;
    let line = String::from_utf8_lossy(line);
    let known = |separator: u8| {
        let columns = line.split(char::from(separator));
        let columns = columns.map(|name| name.trim().trim_matches('"').trim());
        let is_known = |name: &&str| matches!(names.meaning(name), Meaning::Field(_));
        columns.filter(is_known).count()
    };
    // Of several with as many the first.
    let best = SEPARATORS.iter().rev().max_by_key(|(byte, _)| known(*byte));
    best.filter(|(byte, _)| known(*byte) > 0).copied()
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
