//! The names in the journal's directory. Tens of thousands may wait there after an outage, so they
//! stand one behind another in one text.

use super::segment;
use crate::error::Result;
use crate::spool::{Dir, Spool};

/// What is in the journal.
#[derive(Debug, Default)]
pub(super) struct Listing {
    text: String,
    /// The segments, the earliest first.
    pub(super) segments: Vec<NameAt>,
    pub(super) foreign: Foreign,
}

/// What is in the journal and is no segment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// How many names.
    pub count: usize,
    /// The first of them, in order.
    pub first: Vec<String>,
}

/// So many names of files that are no segments are kept.
const FOREIGN_NAMES: usize = 10;

impl Foreign {
    fn add(&mut self, name: String) {
        self.count += 1;
        let at = self.first.partition_point(|known| *known < name);
        if at < FOREIGN_NAMES {
            self.first.insert(at, name);
            self.first.truncate(FOREIGN_NAMES);
        }
    }
}

/// Where a name is in the text of its [`Listing`].
#[derive(Debug, Clone, Copy)]
pub(super) struct NameAt {
    start: u32,
    length: u32,
}

impl Listing {
    /// Lists the journal of `spool`.
    pub(super) fn read(spool: &Spool) -> Result<Self> {
        match spool.journal().open()? {
            Some(journal) => Self::of(&journal),
            None => Ok(Self::default()),
        }
    }

    /// Lists the open directory.
    pub(super) fn of(journal: &Dir) -> Result<Self> {
        let mut listing = Self::default();
        let failed = |e| journal.own_error(e);
        for entry in journal.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.name() {
                Some(name) if segment::parse_name(name).is_some() && entry.is_file(journal) => {
                    listing.add(name);
                }
                _ => listing.foreign.add(entry.shown_name()),
            }
        }
        let text = &listing.text;
        listing
            .segments
            .sort_unstable_by_key(|name| name.within(text));
        Ok(listing)
    }

    fn add(&mut self, name: &str) {
        self.segments.push(NameAt {
            start: self.text.len() as u32,
            length: name.len() as u32,
        });
        self.text.push_str(name);
    }

    pub(super) fn name(&self, at: NameAt) -> &str {
        at.within(&self.text)
    }

    /// The names of the segments, the earliest first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|at| self.name(*at))
    }
}

impl NameAt {
    fn within(self, text: &str) -> &str {
        let start = self.start as usize;
        text.get(start..start + self.length as usize)
            .unwrap_or_default()
    }
}

/// The names of all segments, the earliest first.
pub(crate) fn list_segments(spool: &Spool) -> Result<Vec<String>> {
    Ok(Listing::read(spool)?.names().map(str::to_owned).collect())
}
