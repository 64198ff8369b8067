//! What an import notes with each commit, and how a later run begins with that.
//!
//! The rule is the same for a file and for a pipe: an import is known by the bytes that it has read. If an input
//! begins with them it goes on behind; if it does not, it is another input. That is only news once the
//! earlier one has ended: half an import is not forgotten silently.

use std::path::Path;

use serde::{Deserialize, Serialize};

use meditopia::client::Import;

use super::Options;
use super::input::Input;
use super::records::{Format, Shape};
use crate::failure::Failure;

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub format: Format,
    pub delimiter: u8,
    pub shape: Shape,
    /// Bytes of the input that are done with, their hash, and that of the first of them.
    pub offset: u64,
    pub sha256: String,
    pub head_sha256: String,
    /// Records read; of these so many are queued, and so many bad.
    pub records: u64,
    pub queued: u64,
    pub bad: u64,
    /// The file of the bad ones, and how long it was.
    pub bad_file: String,
    pub bad_bytes: u64,
}

impl Checkpoint {
    /// Nothing is read yet.
    pub fn none(format: Format, delimiter: u8, bad_file: Option<&Path>) -> Self {
        Self {
            format,
            delimiter,
            shape: Shape::default(),
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
}

/// How a run begins.
pub enum Start {
    /// With the first byte. The file of bad records may be there if this import has made it.
    Fresh { own_bad_file: bool },
    /// Behind what an earlier run has queued.
    Behind(Box<Checkpoint>),
}

/// Decides it; the input then stands where the run begins.
pub fn start(
    import: &Import,
    input: &mut Input,
    options: &Options,
    format: Format,
    bad_file: &str,
) -> Result<Start, Failure> {
    let fresh = Ok(Start::Fresh {
        own_bad_file: false,
    });
    let Some(text) = import.checkpoint().filter(|_| !options.again) else {
        return fresh;
    };
    let last: Checkpoint = serde_json::from_str(text).map_err(|e| {
        Failure::from(format!(
            "what the last import has noted cannot be read: {e}; begin anew with --again"
        ))
    })?;
    let ended = import.ended_ms().is_some();
    if last.offset == 0 {
        let own_bad_file = !ended && last.bad_file == bad_file;
        return Ok(Start::Fresh { own_bad_file });
    }
    let another = |what: &str| {
        Err(Failure::from(format!(
            "an import of this name was interrupted behind record {} ({} are queued), and {what}; run that to its end, or begin anew with --again, which queues them again",
            last.records, last.queued
        )))
    };
    if !ended && options.all_or_nothing {
        return another("it was line by line");
    }
    if (last.format, last.delimiter) != (format, options.delimiter) {
        return if ended {
            fresh
        } else {
            another("it had another --format or --delimiter")
        };
    }
    if input
        .head_hash_at(last.offset)
        .map_err(|e| options.unreadable(&e))?
        != last.head_sha256
    {
        return if ended {
            fresh
        } else {
            another("this is another input")
        };
    }
    let whole = input
        .pass(last.offset, |_| {})
        .map_err(|e| options.unreadable(&e))?;
    if !whole || input.hash() != last.sha256 {
        return match ended && input.rewind().map_err(|e| options.unreadable(&e))? {
            true => fresh,
            false => another("this input differs from it"),
        };
    }
    if last.bad_file != bad_file && !ended {
        return another(&format!(
            "its bad lines are in {}: give that with --bad",
            last.bad_file
        ));
    }
    Ok(Start::Behind(Box::new(last)))
}
