//! Where the records of an input begin and end, whatever its format; the formats are in the files beside.
//!
//! A splitter is asked again and again about the bytes that are at hand. It is done with some of them at
//! each answer, so that neither a long input nor a long record has to fit in memory, and what it has to
//! know of the bytes before goes into the checkpoint ([`Shape`]).

use std::ops::Range;
use std::path::Path;

use meditopia::Fields;
use meditopia::internals::event::{Batch, Rules, encode_json_event};
use meditopia::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::array::{Array, Place};
use super::csv::Csv;
use super::lines::Lines;

/// The longest record. One that is longer is bad, and is not kept in memory.
pub const RECORD_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How an input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object a line
    Ndjson,
    /// An array of JSON objects, or {"events": [...]}
    Json,
    /// Comma-separated values with a header
    Csv,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "ndjson" | "jsonl" | "jsonlines" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            "csv" | "tsv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// What a splitter knows of the bytes before: enough to go on behind any record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Of an array: how far it is, and whether it stands in `{"events": ...}`.
    pub place: Place,
    pub wrapped: bool,
    /// Of CSV: which field each column is.
    pub columns: Vec<usize>,
}

/// An answer of a splitter about the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing can be told without more of them.
    More,
    /// The first so many are done with; no record ends there.
    Pass(usize),
    /// A record stands here; with it so many bytes are done with.
    Record { at: Range<usize>, done: usize },
    /// A record ends here that was too long, or is otherwise no candidate; so many bytes are done with.
    Bad { why: String, done: usize },
    /// There are no more records.
    End,
    /// It cannot be told where the next record begins.
    Broken(String),
}

/// The splitter of one format.
pub enum Splitter {
    Ndjson(Lines),
    Json(Array),
    Csv(Box<Csv>),
}

impl Splitter {
    /// Begins, or goes on where a checkpoint has this shape.
    pub fn new(format: Format, delimiter: u8, shape: &Shape) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson(Lines::default()),
            Format::Json => Self::Json(Array::new(shape)),
            Format::Csv => Self::Csv(Box::new(Csv::new(delimiter, shape))),
        }
    }

    /// What it would have to know to go on here.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Ndjson(_) => Shape::default(),
            Self::Json(array) => array.shape(),
            Self::Csv(csv) => csv.shape(),
        }
    }

    /// Whether the bytes at hand begin with a record or what stands between two, not within one.
    pub fn is_between(&self) -> bool {
        match self {
            Self::Ndjson(lines) => lines.is_between(),
            Self::Json(array) => array.is_between(),
            Self::Csv(csv) => csv.is_between(),
        }
    }

    /// What the bytes at hand begin with; `ended`: nothing comes behind them.
    pub fn next(&mut self, ahead: &[u8], ended: bool) -> Found {
        match self {
            Self::Ndjson(lines) => lines.next(ahead, ended),
            Self::Json(array) => array.next(ahead, ended),
            Self::Csv(csv) => csv.next(ahead, ended),
        }
    }

    /// The record that was found last, for whoever mends it.
    pub fn shown(&self, record: &[u8]) -> Shown {
        match self {
            Self::Ndjson(_) | Self::Json(_) => {
                Shown::Text(String::from_utf8_lossy(record).trim().to_owned())
            }
            Self::Csv(csv) => Shown::Columns(csv.shown()),
        }
    }

    /// Checks the record that was found last and appends its event to `out`.
    pub fn check(
        &self,
        record: &[u8],
        rules: &Rules,
        now: i64,
        out: &mut Batch,
    ) -> Result<(), Error> {
        match self {
            Self::Ndjson(_) | Self::Json(_) => encode_json_event(record, rules, now, out),
            Self::Csv(csv) => out.push(&csv.fields()?, rules, now),
        }
    }
}

/// A record as it goes into the file of the bad ones.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Shown {
    Text(String),
    Columns(Vec<String>),
}

/// The text of a field, for [`Fields`].
pub fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|cause| {
        let at = cause.valid_up_to();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{field} is not UTF-8 (at byte {at})"),
        )
    })
}

/// Fields without anything in them.
pub const NO_FIELDS: Fields<'static> = Fields {
    token: "",
    partner_user_id: "",
    event: "",
    event_value: None,
    received_at: None,
};

/// Why a record of so many bytes is not looked at.
pub fn too_long() -> String {
    format!("is longer than {} MiB", RECORD_MAX_BYTES / (1024 * 1024))
}
