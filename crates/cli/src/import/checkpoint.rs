//! What an import notes with each commit, and how a later run begins with that.
//!
//! The rule is the same for a file and for a pipe: an import is known by the bytes that it has read. If an input
//! begins with them it goes on behind; if it does not, it is another input. That is only news once the
//! earlier one has ended: half an import is not forgotten silently.
//!
//! `--again` forgets an import that has ended, and an interrupted one for another input. One of the same
//! input goes on with it, too: the command that was interrupted is then the one that takes it up.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use meditopia::Import;

use super::Options;
use super::bad::length;
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

    /// The same with the bad records to come in this file.
    pub fn with_bad_file(&self, path: Option<&Path>, bytes: u64) -> Self {
        Self {
            bad_file: path.map_or_else(String::new, |path| path.display().to_string()),
            bad_bytes: bytes,
            ..self.clone()
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
    bad_file: &Path,
) -> Result<Start, Failure> {
    let fresh = Ok(Start::Fresh {
        own_bad_file: false,
    });
    let ended = import.ended_ms().is_some();
    let Some(text) = import.checkpoint().filter(|_| !(ended && options.again)) else {
        return fresh;
    };
    let last: Checkpoint = match serde_json::from_str(text) {
        Ok(last) => last,
        Err(_) if options.again => return fresh,
        Err(e) => {
            return Err(Failure::from(format!(
                "what the last import has noted cannot be read: {e}; --again begins anew, and queues again what that has queued"
            )));
        }
    };
    let is_its_bad_file = Path::new(&last.bad_file) == bad_file;
    if last.offset == 0 {
        let own_bad_file = !ended && is_its_bad_file;
        return Ok(Start::Fresh { own_bad_file });
    }
    let has_its_form = (last.format, last.delimiter) == (format, options.delimiter);
    if ended && !has_its_form {
        return fresh;
    }
    let interrupted = |what: &str| {
        Err(Failure::from(format!(
            "an import of this name was interrupted behind record {} ({} are queued), and {what}",
            last.records, last.queued
        )))
    };
    let unreadable = |e| options.unreadable(&e);
    if !begins_as(&last, input).map_err(unreadable)? {
        let stands_at_its_beginning = input.rewind().map_err(unreadable)?;
        return match (ended, options.again) {
            (false, false) => interrupted(
                "this is another input; bring that one to its end, or begin with this one by --again, which queues again what both have",
            ),
            _ if stands_at_its_beginning => fresh,
            (true, _) => Err(Failure::from(format!(
                "{}: begins as the last import did and then differs, and cannot be read twice; run it with --again",
                options.source()
            ))),
            (false, true) => interrupted(
                "this input begins as that did and then differs, and cannot be read twice; import it from a file",
            ),
        };
    }
    if ended {
        return Ok(Start::Behind(Box::new(last)));
    }
    if options.all_or_nothing {
        return interrupted("it was line by line; run it to its end without --all-or-nothing");
    }
    if !has_its_form {
        return interrupted("it had another --format or --delimiter; give that");
    }
    if !is_its_bad_file && length(Path::new(&last.bad_file)) >= Some(last.bad_bytes) {
        return interrupted(&format!(
            "its bad records are in {}; give that with --bad",
            last.bad_file
        ));
    }
    Ok(Start::Behind(Box::new(last)))
}

/// Whether the input begins with what the import has read; if so, that is passed.
fn begins_as(last: &Checkpoint, input: &mut Input) -> io::Result<bool> {
    Ok(input.head_hash_at(last.offset)? == last.head_sha256
        && input.pass(last.offset, |_| {})?
        && input.hash() == last.sha256)
}
