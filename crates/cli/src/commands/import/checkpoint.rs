//! What an import records with each commit, and where a later run starts according to that.
//!
//! The rule is the same for a file and for a pipe: an import is identified by the bytes that it has
//! read. An input that begins with them continues the import; any other input is a new one. A new
//! input replaces an import that has ended, but never silently one that was interrupted.
//!
//! `--again` drops the checkpoint of an import that has ended, and that of an interrupted one if
//! the input is another. With the same input an interrupted import continues even with `--again`,
//! so that repeating the interrupted command finishes it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use meditopia::Import;

use super::Options;
use super::bad_records::file_length;
use super::input::Input;
use super::splitter::{Format, SplitterState};
use crate::failure::Failure;

/// How far an import has come. The names of the members are a file format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub format: Format,
    pub delimiter: u8,
    #[serde(rename = "shape")]
    pub splitter: SplitterState,
    /// How many bytes of the input are consumed.
    pub offset: u64,
    /// The hash of those bytes.
    pub sha256: String,
    /// The hash of the first of those bytes; see [`Input::head_hash`].
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
}

impl Checkpoint {
    /// The checkpoint before the first record.
    pub fn at_start(format: Format, delimiter: u8, bad_file: Option<&Path>) -> Self {
        Self {
            format,
            delimiter,
            splitter: SplitterState::default(),
            offset: 0,
            sha256: String::new(),
            head_sha256: String::new(),
            records: 0,
            queued: 0,
            bad: 0,
            bad_file: bad_file.map_or_else(String::new, |path| path.display().to_string()),
            bad_bytes: 0,
        }
    }

    /// The same checkpoint with another file for further bad records.
    pub fn with_bad_file(&self, path: Option<&Path>, bytes: u64) -> Self {
        Self {
            bad_file: path.map_or_else(String::new, |path| path.display().to_string()),
            bad_bytes: bytes,
            ..self.clone()
        }
    }

    /// The text to commit.
    pub fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|e| Failure::from(format!("checkpoint: {e}")))
    }
}

/// Where a run starts.
pub enum Start {
    /// At the first record. The file of bad records may exist if this import has created it.
    AtFirstRecord { own_bad_file: bool },
    /// After what an earlier run has queued.
    After(Box<Checkpoint>),
}

/// Decides where the run starts. On success the input stands there.
pub fn find_start(
    import: &Import,
    input: &mut Input,
    options: &Options,
    format: Format,
    bad_file: &Path,
) -> Result<Start, Failure> {
    let at_first_record = Ok(Start::AtFirstRecord {
        own_bad_file: false,
    });
    let ended = import.ended_ms().is_some();
    let Some(text) = import.checkpoint().filter(|_| !(ended && options.again)) else {
        return at_first_record;
    };
    let last: Checkpoint = match serde_json::from_str(text) {
        Ok(last) => last,
        Err(_) if options.again => return at_first_record,
        Err(e) => {
            return Err(Failure::from(format!(
                "the checkpoint of the last import cannot be read: {e}; --again starts over, and queues again what the last import has queued"
            )));
        }
    };
    let has_same_bad_file = Path::new(&last.bad_file) == bad_file;
    if last.offset == 0 {
        let own_bad_file = !ended && has_same_bad_file;
        return Ok(Start::AtFirstRecord { own_bad_file });
    }
    let has_same_format = (last.format, last.delimiter) == (format, options.delimiter);
    if ended && !has_same_format {
        return at_first_record;
    }
    let interrupted = |problem: &str| {
        Err(Failure::from(format!(
            "an import of this name was interrupted after record {} ({} are queued), and {problem}",
            last.records, last.queued
        )))
    };
    let unreadable = |e| options.unreadable(&e);
    if !begins_like(&last, input).map_err(unreadable)? {
        let is_at_first_byte = input.rewind().map_err(unreadable)?;
        return match (ended, options.again) {
            (false, false) => interrupted(
                "this is another input; finish the interrupted import, or import this input with --again, which queues again what both have in common",
            ),
            _ if is_at_first_byte => at_first_record,
            (true, _) => Err(Failure::from(format!(
                "{}: begins like the last import and then differs, and cannot be read twice; run the command with --again",
                options.source()
            ))),
            (false, true) => interrupted(
                "this input begins like that one and then differs, and cannot be read twice; import it from a file",
            ),
        };
    }
    if ended {
        return Ok(Start::After(Box::new(last)));
    }
    if options.all_or_nothing {
        return interrupted("it was not all-or-nothing; finish it without --all-or-nothing");
    }
    if !has_same_format {
        return interrupted("it had another --format or --delimiter; use that one");
    }
    if !has_same_bad_file && file_length(Path::new(&last.bad_file)) >= Some(last.bad_bytes) {
        return interrupted(&format!(
            "its bad records are in {}; name that file with --bad",
            last.bad_file
        ));
    }
    Ok(Start::After(Box::new(last)))
}

/// Whether the input begins with the bytes that the import has read. If so, they are consumed.
fn begins_like(last: &Checkpoint, input: &mut Input) -> io::Result<bool> {
    Ok(input.head_hash_at(last.offset)? == last.head_sha256
        && input.consume_until(last.offset)?
        && input.hash() == last.sha256)
}
