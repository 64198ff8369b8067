//! Finds where the records of an input begin and end; there is one module for each format.
//!
//! A splitter is called repeatedly with the buffered bytes of the input, and each call consumes
//! some of them. So neither a long input nor a long record has to fit in memory. What the splitter
//! has to know about earlier bytes goes into the checkpoint ([`SplitterState`]).

mod csv;
mod json_array;
mod names;
mod ndjson;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use meditopia::Error;
use meditopia::internals::event::{Batch, Rules, encode_json_event};
use serde::{Deserialize, Serialize};

use self::csv::CsvSplitter;
pub use self::csv::sniff_delimiter;
use self::json_array::{JsonArraySplitter, Position};
pub use self::names::Names;
use self::ndjson::NdjsonSplitter;

/// The fields of an event.
pub const FIELDS: [&str; 5] = [
    "token",
    "partner_user_id",
    "event",
    "event_value",
    "received_at",
];
/// How many of [`FIELDS`], from the first, are required.
const REQUIRED: usize = 3;

/// The maximum length of a record. A longer one is bad and not kept in memory.
pub const RECORD_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line
    Ndjson,
    /// An array of JSON objects, or {"events": [...]}
    Json,
    /// Comma-separated values with a header
    Csv,
}

impl Format {
    /// The format that a file's name stands for.
    pub fn from_name(path: &Path) -> Option<Self> {
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
        let unpacked = if is_gzip {
            path.file_stem().map(Path::new)?
        } else {
            path
        };
        let extension = unpacked.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "ndjson" | "jsonl" | "jsonlines" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            "csv" | "tsv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The value of --format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// What a splitter knows about earlier bytes: enough to continue after any record. The names are a
/// file format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitterState {
    /// JSON: the position in the array.
    #[serde(rename = "place")]
    pub position: Position,
    /// JSON: whether the array is a member of `{"events": ...}`.
    pub wrapped: bool,
    /// CSV: which field each column is.
    pub columns: Vec<usize>,
}

/// What a splitter has found at the beginning of the buffered bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Split {
    /// More bytes are needed.
    NeedMore,
    /// So many bytes can be consumed; no record ends there.
    Skip(usize),
    /// A record. With it, `consumed` bytes can be consumed.
    Record {
        range: Range<usize>,
        consumed: usize,
    },
    /// The end of a record that is bad, for instance too long. `consumed` bytes can be consumed.
    Bad { why: String, consumed: usize },
    /// There are no more records.
    End,
    /// The beginning of the next record cannot be found. `at`: the buffered byte where the trouble begins.
    Broken { at: usize, why: String },
}

/// How an input is read.
#[derive(Debug, Clone)]
pub struct Layout {
    pub format: Format,
    /// CSV: what separates fields.
    pub delimiter: u8,
    pub names: Names,
}

/// Splits an input of any format.
pub struct Splitter {
    of_format: OfFormat,
    names: Names,
}

enum OfFormat {
    Ndjson(NdjsonSplitter),
    Json(JsonArraySplitter),
    Csv(Box<CsvSplitter>),
}

impl Splitter {
    /// A splitter that continues in the state of a checkpoint.
    pub fn new(layout: &Layout, state: &SplitterState) -> Self {
        let names = layout.names.clone();
        let of_format = match layout.format {
            Format::Ndjson => OfFormat::Ndjson(NdjsonSplitter::default()),
            Format::Json => OfFormat::Json(JsonArraySplitter::new(state)),
            Format::Csv => {
                let csv = CsvSplitter::new(layout.delimiter, names.clone(), state);
                OfFormat::Csv(Box::new(csv))
            }
        };
        Self { of_format, names }
    }

    /// What a later splitter needs to continue here.
    pub fn state(&self) -> SplitterState {
        match &self.of_format {
            OfFormat::Ndjson(_) => SplitterState::default(),
            OfFormat::Json(array) => array.state(),
            OfFormat::Csv(csv) => csv.state(),
        }
    }

    /// Whether the buffered bytes begin with a whole record or between two records, not within one.
    pub fn is_between_records(&self) -> bool {
        match &self.of_format {
            OfFormat::Ndjson(lines) => lines.is_between_records(),
            OfFormat::Json(array) => array.is_between_records(),
            OfFormat::Csv(csv) => csv.is_between_records(),
        }
    }

    /// Examines the buffered bytes; `ended` means that they are the last ones.
    pub fn next(&mut self, buffered: &[u8], ended: bool) -> Split {
        match &mut self.of_format {
            OfFormat::Ndjson(lines) => lines.next(buffered, ended),
            OfFormat::Json(array) => array.next(buffered, ended),
            OfFormat::Csv(csv) => csv.next(buffered, ended),
        }
    }

    /// The last record as it was in the input, for the person who corrects it.
    pub fn original(&self, record: &[u8]) -> OriginalRecord {
        match &self.of_format {
            OfFormat::Ndjson(_) | OfFormat::Json(_) => {
                OriginalRecord::Text(String::from_utf8_lossy(record).trim().to_owned())
            }
            OfFormat::Csv(csv) => OriginalRecord::Columns(csv.texts()),
        }
    }

    /// Checks the last record and appends its event to `out`.
    pub fn check(
        &self,
        record: &[u8],
        rules: &Rules,
        now: i64,
        out: &mut Batch,
    ) -> Result<(), Error> {
        match &self.of_format {
            OfFormat::Ndjson(_) | OfFormat::Json(_) => {
                encode_json_event(&self.names.apply(record), rules, now, out)
            }
            OfFormat::Csv(csv) => out.push(&csv.fields()?, rules, now),
        }
    }
}

/// A record as it was in the input.
#[derive(Serialize)]
#[serde(untagged)]
pub enum OriginalRecord {
    Text(String),
    Columns(Vec<String>),
}

/// Why a record above [`RECORD_MAX_BYTES`] is bad.
fn too_long() -> String {
    format!("is longer than {} MiB", RECORD_MAX_BYTES / (1024 * 1024))
}
