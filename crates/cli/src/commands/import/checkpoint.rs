//! What an import records with each commit: how far it has come in its input.

use serde::{Deserialize, Serialize};

use super::splitter::{Format, Layout, SplitterState};
use crate::failure::Failure;

/// How far an import has come. The names of the members are a file format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub format: Format,
    pub delimiter: u8,
    /// See [`Names::described`](super::splitter::Names::described).
    #[serde(default)]
    pub names: String,
    #[serde(rename = "shape")]
    pub splitter: SplitterState,
    /// Where the input lay, for messages.
    #[serde(default)]
    pub source: String,
    /// See [`Beginning::sha256`](super::beginning::Beginning::sha256). Empty in the checkpoint of an older
    /// version.
    #[serde(default)]
    pub first_sha256: String,
    /// How many bytes of the input are consumed.
    pub offset: u64,
    /// The hash of those bytes.
    pub sha256: String,
    /// The hash of the first of those bytes; see [`Mark::head_hash`](super::input::Mark::head_hash).
    pub head_sha256: String,
    /// How many records were read.
    pub records: u64,
    /// How many of them were queued.
    pub queued: u64,
    /// How many of them are bad.
    pub bad: u64,
    /// The file of the bad records.
    pub bad_file: String,
    /// Its length.
    pub bad_bytes: u64,
    /// The checkpoint of an import that has ended and whose first bytes this one has, as long as it is not known
    /// whether it has the others, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Box<Checkpoint>>,
}

impl Checkpoint {
    /// The checkpoint before the first record.
    pub fn at_start(layout: &Layout, source: &str, first_sha256: &str) -> Self {
        Self {
            format: layout.format,
            delimiter: layout.delimiter,
            names: layout.names.described(),
            splitter: SplitterState::default(),
            source: source.to_owned(),
            first_sha256: first_sha256.to_owned(),
            offset: 0,
            sha256: String::new(),
            head_sha256: String::new(),
            records: 0,
            queued: 0,
            bad: 0,
            bad_file: String::new(),
            bad_bytes: 0,
            replaced: None,
        }
    }

    /// Whether the input was read in this way.
    pub fn has_layout(&self, layout: &Layout) -> bool {
        (self.format, self.delimiter) == (layout.format, layout.delimiter)
            && self.names == layout.names.described()
    }

    /// The text to commit.
    pub fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|e| Failure::from(format!("checkpoint: {e}")))
    }
}
