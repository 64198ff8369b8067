//! A JSON array of events, or `{"events": [...]}`, without ever holding more than one of them.
//!
//! An element ends where its brackets are balanced outside of strings, or before the next comma. Whether it
//! is JSON at all is for the check: one bad element does not hide those behind it.

use serde::{Deserialize, Serialize};

use super::records::{Found, RECORD_MAX_BYTES, Shape, too_long};

/// The splitter of an array.
pub struct Array {
    place: Place,
    wrapped: bool,
    scan: Scan,
    /// What is at hand of the element has been scanned so far.
    scanned: usize,
    skipping: bool,
}

/// What stands before the next byte that is no blank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before the opening bracket.
    #[default]
    Start,
    /// Before the first element, or the closing bracket.
    First,
    /// Behind an element: a comma or the closing bracket.
    Between,
    /// Behind a comma.
    Element,
    /// Behind the closing bracket.
    Behind,
}

/// Where in an element.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Array {
    pub fn new(shape: &Shape) -> Self {
        Self {
            place: shape.place,
            wrapped: shape.wrapped,
            scan: Scan::default(),
            scanned: 0,
            skipping: false,
        }
    }

    /// Whether what is next is not the rest of an element: one that was only looked at is still whole.
    pub fn is_between(&self) -> bool {
        !self.skipping
    }

    pub fn shape(&self) -> Shape {
        Shape {
            place: self.place,
            wrapped: self.wrapped,
            ..Shape::default()
        }
    }

    pub fn next(&mut self, ahead: &[u8], ended: bool) -> Found {
        if self.scanned > 0 || self.skipping {
            return self.element(ahead, ended);
        }
        let blanks = ahead
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        if blanks > 0 {
            return Found::Pass(blanks);
        }
        let Some(first) = ahead.first() else {
            return match self.place {
                _ if !ended => Found::More,
                Place::Behind => Found::End,
                Place::Start => Found::Broken("there is no JSON array in it".into()),
                _ => Found::Broken("the array is not closed: the input is cut short".into()),
            };
        };
        match (self.place, first) {
            (Place::Start, _) => self.open(ahead, ended),
            (Place::First | Place::Between, b']') => {
                self.place = Place::Behind;
                Found::Pass(1)
            }
            (Place::Between, b',') => {
                self.place = Place::Element;
                Found::Pass(1)
            }
            (Place::Between, _) => Found::Broken("neither , nor ] behind an event".into()),
            (Place::First | Place::Element, _) => self.element(ahead, ended),
            (Place::Behind, b'}') if self.wrapped => {
                self.wrapped = false;
                Found::Pass(1)
            }
            (Place::Behind, _) => Found::Broken("there is more behind the array's end".into()),
        }
    }

    /// `[`, or `{"events": [`.
    fn open(&mut self, ahead: &[u8], ended: bool) -> Found {
        let mut at = 0;
        for word in [&b"{"[..], b"\"events\"", b":", b"["] {
            at += ahead[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            let rest = &ahead[at..];
            if word == b"{" && rest.first() == Some(&b'[') {
                self.place = Place::First;
                return Found::Pass(at + 1);
            }
            if rest.len() < word.len() && word.starts_with(rest) && !ended {
                return Found::More;
            }
            if !rest.starts_with(word) {
                return Found::Broken(r#"neither an array nor {"events": [...]}; for a JSON object a line, give --format ndjson"#.into());
            }
            at += word.len();
        }
        (self.place, self.wrapped) = (Place::First, true);
        Found::Pass(at)
    }

    fn element(&mut self, ahead: &[u8], ended: bool) -> Found {
        let behind = ahead[self.scanned..]
            .iter()
            .position(|&byte| self.scan.ends(byte));
        let length = match behind {
            Some(at) => self.scanned + at,
            None if ended => {
                return Found::Broken("the input ends within an event: it is cut short".into());
            }
            None if ahead.len() > RECORD_MAX_BYTES => {
                (self.skipping, self.scanned) = (true, 0);
                return Found::Pass(ahead.len());
            }
            None => {
                self.scanned = ahead.len();
                return Found::More;
            }
        };
        (self.scan, self.scanned, self.place) = (Scan::default(), 0, Place::Between);
        if std::mem::take(&mut self.skipping) || length > RECORD_MAX_BYTES {
            return Found::Bad {
                why: too_long(),
                done: length,
            };
        }
        Found::Record {
            at: 0..length,
            done: length,
        }
    }
}

impl Scan {
    /// Whether the element ends before this byte; else it is a part of it.
    fn ends(&mut self, byte: u8) -> bool {
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
