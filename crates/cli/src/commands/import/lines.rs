//! NDJSON: one record a line. Blank lines are none.

use super::records::{Found, RECORD_MAX_BYTES, too_long};

/// The splitter of lines.
#[derive(Default)]
pub struct Lines {
    /// How much of the bytes at hand holds no line break.
    searched: usize,
    /// The line has been too long already.
    skipping: bool,
}

impl Lines {
    /// Whether what is next is not the rest of a line: one that was only looked at is still whole.
    pub fn is_between(&self) -> bool {
        !self.skipping
    }

    pub fn next(&mut self, ahead: &[u8], ended: bool) -> Found {
        let line_break = memchr(&ahead[self.searched..]).map(|at| at + self.searched);
        let (length, done) = match line_break {
            Some(at) => (at, at + 1),
            None if ended && ahead.is_empty() && !self.skipping => return Found::End,
            None if ended => (ahead.len(), ahead.len()),
            None if ahead.len() > RECORD_MAX_BYTES => {
                (self.skipping, self.searched) = (true, 0);
                return Found::Pass(ahead.len());
            }
            None => {
                self.searched = ahead.len();
                return Found::More;
            }
        };
        self.searched = 0;
        if std::mem::take(&mut self.skipping) || length > RECORD_MAX_BYTES {
            return Found::Bad {
                why: too_long(),
                done,
            };
        }
        if ahead[..length].iter().all(u8::is_ascii_whitespace) {
            return Found::Pass(done);
        }
        Found::Record {
            at: 0..length,
            done,
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}
