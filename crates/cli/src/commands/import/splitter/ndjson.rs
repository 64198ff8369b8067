//! Splits NDJSON: one record per line. Blank lines are skipped.

use serde::de::IgnoredAny;

use super::{RECORD_MAX_BYTES, Split, too_long};

#[derive(Default)]
pub struct NdjsonSplitter {
    /// How many buffered bytes, from the first, contain no line break.
    searched: usize,
    /// The rest of the line belongs to a record that is too long.
    skipping: bool,
}

impl NdjsonSplitter {
    /// See [`super::Splitter::is_between_records`].
    pub fn is_between_records(&self) -> bool {
        !self.skipping
    }

    /// See [`super::Splitter::next`].
    pub fn next(&mut self, buffered: &[u8], ended: bool) -> Split {
        let line_break = buffered[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|position| self.searched + position);
        let (length, consumed) = match line_break {
            Some(position) => (position, position + 1),
            None if ended && buffered.is_empty() && !self.skipping => return Split::End,
            None if ended => (buffered.len(), buffered.len()),
            None if buffered.len() > RECORD_MAX_BYTES => {
                (self.skipping, self.searched) = (true, 0);
                return Split::Skip(buffered.len());
            }
            None => {
                self.searched = buffered.len();
                return Split::NeedMore;
            }
        };
        self.searched = 0;
        let is_cut = line_break.is_none() && !self.skipping && is_incomplete(&buffered[..length]);
        if is_cut {
            let why = "the input ends within a JSON object or string: it is cut short; get the whole file";
            let why = why.to_owned();
            return Split::Broken { at: 0, why };
        }
        if std::mem::take(&mut self.skipping) || length > RECORD_MAX_BYTES {
            return Split::Bad {
                why: too_long(),
                consumed,
            };
        }
        if buffered[..length].iter().all(u8::is_ascii_whitespace) {
            return Split::Skip(consumed);
        }
        Split::Record {
            range: 0..length,
            consumed,
        }
    }
}

/// Whether these bytes are the beginning of a JSON value, and not all of it.
fn is_incomplete(record: &[u8]) -> bool {
    let is_blank = record.iter().all(u8::is_ascii_whitespace);
    let read = serde_json::from_slice::<IgnoredAny>(record);
    !is_blank && read.is_err_and(|e| e.is_eof())
}
