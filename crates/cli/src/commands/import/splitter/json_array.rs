//! Splits a JSON array of events, or `{"events": [...]}`, holding at most one event in memory.
//!
//! An element ends where its brackets are balanced outside of strings, or before the next comma.
//! Whether the element is valid JSON is checked later, so that one bad element does not hide the
//! following ones.

use serde::{Deserialize, Serialize};

use super::{RECORD_MAX_BYTES, Split, SplitterState, too_long};

pub struct JsonArraySplitter {
    position: Position,
    wrapped: bool,
    scan: ElementScan,
    /// How many buffered bytes of the element, from the first, are scanned.
    scanned: usize,
    /// The rest of the element belongs to a record that is too long.
    skipping: bool,
}

/// Where in the array the next byte that is not white space stands. The names are a file format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Before the opening bracket.
    #[default]
    Start,
    /// After the opening bracket.
    First,
    /// After an element.
    Between,
    /// After a comma.
    Element,
    /// After the closing bracket.
    #[serde(rename = "behind")]
    End,
}

/// The state of the search for the end of an element.
#[derive(Default)]
struct ElementScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonArraySplitter {
    pub fn new(state: &SplitterState) -> Self {
        Self {
            position: state.position,
            wrapped: state.wrapped,
            scan: ElementScan::default(),
            scanned: 0,
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
            position: self.position,
            wrapped: self.wrapped,
            ..SplitterState::default()
        }
    }

    /// See [`super::Splitter::next`].
    pub fn next(&mut self, buffered: &[u8], ended: bool) -> Split {
        if self.scanned > 0 || self.skipping {
            return self.element(buffered, ended);
        }
        let spaces = buffered
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        if spaces > 0 {
            return Split::Skip(spaces);
        }
        let Some(first) = buffered.first() else {
            return match self.position {
                _ if !ended => Split::NeedMore,
                Position::End => Split::End,
                Position::Start => Split::End,
                _ => broken("the array is not closed: the input is cut short; get the whole file"),
            };
        };
        match (self.position, first) {
            (Position::Start, _) => self.open(buffered, ended),
            (Position::First | Position::Between, b']') => {
                self.position = Position::End;
                Split::Skip(1)
            }
            (Position::Between, b',') => {
                self.position = Position::Element;
                Split::Skip(1)
            }
            (Position::Between, _) => broken("expected , or ] after an event; put it there"),
            (Position::First | Position::Element, _) => self.element(buffered, ended),
            (Position::End, b'}') if self.wrapped => {
                self.wrapped = false;
                Split::Skip(1)
            }
            (Position::End, _) => {
                broken("there is more input after the end of the array; remove it")
            }
        }
    }

    /// Skips `[` or `{"events": [`.
    fn open(&mut self, buffered: &[u8], ended: bool) -> Split {
        let mut offset = 0;
        for token in [&b"{"[..], b"\"events\"", b":", b"["] {
            offset += buffered[offset..]
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            let rest = &buffered[offset..];
            if token == b"{" && rest.first() == Some(&b'[') {
                self.position = Position::First;
                return Split::Skip(offset + 1);
            }
            if rest.len() < token.len() && token.starts_with(rest) && !ended {
                return Split::NeedMore;
            }
            if !rest.starts_with(token) {
                return broken(
                    r#"neither an array nor {"events": [...]}; if it has one JSON object per line, give --format ndjson"#,
                );
            }
            offset += token.len();
        }
        (self.position, self.wrapped) = (Position::First, true);
        Split::Skip(offset)
    }

    fn element(&mut self, buffered: &[u8], ended: bool) -> Split {
        let end = buffered[self.scanned..]
            .iter()
            .position(|&byte| self.scan.ends_before(byte));
        let length = match end {
            Some(position) => self.scanned + position,
            None if ended => {
                return broken(
                    "the input ends within the event that begins here: it is cut short, or a string or bracket in it is not closed; close it, or get the whole file",
                );
            }
            None if buffered.len() > RECORD_MAX_BYTES => {
                (self.skipping, self.scanned) = (true, 0);
                return Split::Skip(buffered.len());
            }
            None => {
                self.scanned = buffered.len();
                return Split::NeedMore;
            }
        };
        (self.scan, self.scanned, self.position) = (ElementScan::default(), 0, Position::Between);
        if std::mem::take(&mut self.skipping) || length > RECORD_MAX_BYTES {
            return Split::Bad {
                why: too_long(),
                consumed: length,
            };
        }
        // The space before a closing bracket may be a comma and further elements the next time.
        let length = buffered[..length].trim_ascii_end().len();
        Split::Record {
            range: 0..length,
            consumed: length,
        }
    }
}

fn broken(why: &str) -> Split {
    let why = why.to_owned();
    Split::Broken { at: 0, why }
}

impl ElementScan {
    /// Whether the element ends before this byte. If not, the byte is a part of the element.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match byte {
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b',' | b']' | b'}' if self.depth == 0 => return true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        false
    }
}
