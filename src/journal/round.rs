//! The read side of the journal: one *round* reads the records of all segments in order of time.
//!
//! A round notes the time, **then** lists the segments and their sizes, and reads only records up
//! to that time, its cutoff. So an event that was enqueued after another enqueue had returned can
//! never be taken over before that one, although segments are read one after the other. Records are
//! merged from all segments and handed out in chunks that the caller commits one by one. The buffers
//! of all segments together have a limit (`read_buffers`), so memory does not grow with the backlog,
//! and by little more than the name for each segment.
//!
//! An incomplete record at the end is normal while the writer lives: it is being written. Anything
//! else that is no record is damage: the round reports it with its bytes, and goes on at the next
//! whole record. What stands behind the last whole record is judged once the writer has ended
//! (`removal`).

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};

use super::damage::Damage;
pub use super::listing::Foreign;
use super::listing::Listing;
pub(crate) use super::listing::list_segments;
use super::read_buffers::ReadBuffers;
use super::segment;
use super::segment_reader::{Segment, SegmentReader};
use crate::clock::BootTime;
use crate::error::Result;
use crate::spool::{Dir, Spool};

/// How far each segment has been taken over, by its file name.
pub type Offsets = HashMap<String, u64>;

/// What one chunk of a round has read.
#[derive(Debug, Default)]
pub struct Chunk {
    /// New offsets of the segments that were read.
    pub offsets: Vec<(String, u64)>,
    /// Bytes that were skipped because they are no record.
    pub damage: Vec<Damage>,
    /// Whether the round has more to read.
    pub more: bool,
}

/// One ordered pass over all segments.
pub struct Round {
    cutoff: BootTime,
    /// Open for as long as the round: the segments are opened again and again.
    journal: Dir,
    listing: Listing,
    segments: Vec<Segment>,
    buffers: ReadBuffers,
    /// The next record of each segment, the earliest first.
    next: BinaryHeap<Reverse<Next>>,
    damage: Vec<Damage>,
}

/// When the next record of a segment was enqueued, and the segment's number: of two records of the
/// same time, the one of the segment with the lower number comes first. As one number they are
/// compared in one step, which is half of the work of merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Next(u128);

impl Next {
    fn new(time: BootTime, segment: usize) -> Self {
        let boot = u128::from(time.boot_count) << 96 | u128::from(time.boot_ns) << 32;
        Self(boot | segment as u128)
    }

    fn segment(self) -> usize {
        (self.0 & u128::from(u32::MAX)) as usize
    }
}

impl Round {
    /// Notes the time and lists the segments.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io) if a segment cannot be read;
    /// [`Store`](crate::error::ErrorKind::Store) if a newer version wrote one of them: then nothing
    /// is read, because the order could not be kept.
    pub fn begin(spool: &Spool, taken: &Offsets) -> Result<Self> {
        let cutoff = spool.boot_time();
        let journal = spool.journal().ensure()?;
        let mut listing = Listing::of(&journal)?;
        let names = std::mem::take(&mut listing.segments);
        let mut round = Self {
            cutoff,
            journal,
            segments: Vec::with_capacity(names.len()),
            buffers: ReadBuffers::new(names.len()),
            next: BinaryHeap::with_capacity(names.len()),
            damage: Vec::new(),
            listing,
        };
        for at in names {
            let name = round.listing.name(at);
            let offset = taken.get(name).copied();
            if let Some(segment) = Segment::of(&round.journal, (name, at), offset)? {
                round.segments.push(segment);
                round.begin_segment(round.segments.len() - 1, offset)?;
            }
        }
        Ok(round)
    }

    fn begin_segment(&mut self, number: usize, taken: Option<u64>) -> Result<()> {
        if !self.segments[number].at_end {
            let damage = self.reader(number).read_header(taken)?;
            let next = self.find_next_of(number)?;
            self.next.extend(next.map(Reverse));
            // A file without any record is judged as a whole, once nobody has it locked.
            let segment = &mut self.segments[number];
            if damage.is_some() && !segment.at_end {
                segment.moved = true;
                self.damage.extend(damage);
            }
        }
        Ok(())
    }

    /// The time up to which a finished round has read everything.
    pub fn cutoff(&self) -> BootTime {
        self.cutoff
    }

    /// What is in the journal and is no segment. It is left alone.
    pub fn foreign(&self) -> &Foreign {
        &self.listing.foreign
    }

    /// The open directory of the segments.
    pub(crate) fn journal(&self) -> &Dir {
        &self.journal
    }

    /// Hands the fragments of the next records to `sink`, with the wall time of their enqueue,
    /// until they have about `max_bytes`.
    pub fn read_chunk(
        &mut self,
        max_bytes: usize,
        mut sink: impl FnMut(&[u8], i64),
    ) -> Result<Chunk> {
        let mut bytes = 0;
        let mut next = self.next.pop().map(|Reverse(next)| next);
        while bytes < max_bytes
            && let Some(record) = next
        {
            next = self.read_record(record, |fragment, wall_ms| {
                bytes += fragment.len();
                sink(fragment, wall_ms);
            })?;
            next = self.swap_for_earlier(next);
        }
        self.next.extend(next.map(Reverse));
        let mut offsets = Vec::new();
        for segment in self.segments.iter_mut().filter(|segment| segment.moved) {
            segment.moved = false;
            let name = self.listing.name(segment.name).to_owned();
            offsets.push((name, segment.offset));
        }
        Ok(Chunk {
            offsets,
            damage: std::mem::take(&mut self.damage),
            more: !self.next.is_empty(),
        })
    }

    /// Reads the record that was found before, and finds the next one of its segment.
    fn read_record(
        &mut self,
        record: Next,
        mut sink: impl FnMut(&[u8], i64),
    ) -> Result<Option<Next>> {
        let number = record.segment();
        let mut reader = self.reader(number);
        match reader.buffer.found.clone() {
            Some(found) => {
                let wall_ms = reader.segment.header.wall_ms(found.boot_ns);
                for fragment in segment::fragments(reader.take(&found)) {
                    sink(fragment, wall_ms);
                }
                self.find_next_of(number)
            }
            // Another segment got the buffer, so the record is read again.
            None => {
                let next = self.find_next_of(number)?;
                if next == Some(record) {
                    return self.read_record(record, sink);
                }
                // It was damaged or removed meanwhile.
                Ok(next)
            }
        }
    }

    /// Queues `next` if the queue has an earlier one, and returns the earlier one.
    fn swap_for_earlier(&mut self, next: Option<Next>) -> Option<Next> {
        let Some(mut earliest) = self.next.peek_mut() else {
            return next;
        };
        match next {
            None => Some(PeekMut::pop(earliest).0),
            Some(next) if earliest.0 < next => {
                Some(std::mem::replace(&mut *earliest, Reverse(next)).0)
            }
            next => next,
        }
    }

    /// The segments that this round has read to their end.
    pub fn finished_segments(&self) -> impl Iterator<Item = (&str, u64)> {
        let finished = self.segments.iter().filter(|segment| segment.at_end);
        finished.map(|segment| (self.listing.name(segment.name), segment.offset))
    }

    /// Up to where this round has read a segment, if it has read it to its end.
    #[cfg(feature = "internals")]
    pub fn finished_upto(&self, name: &str) -> Option<u64> {
        let segment = self.find(name).filter(|segment| segment.at_end)?;
        Some(segment.offset)
    }

    /// The segments in `taken` that the round did not find.
    pub fn missing_segments(&self, taken: &Offsets) -> Vec<String> {
        let is_missing = |name: &&String| self.find(name).is_none();
        taken.keys().filter(is_missing).cloned().collect()
    }

    fn find(&self, name: &str) -> Option<&Segment> {
        let found = self
            .segments
            .binary_search_by(|segment| self.listing.name(segment.name).cmp(name));
        found.ok().map(|at| &self.segments[at])
    }

    /// Bytes that were taken over or read, and are still in the journal.
    pub fn taken_bytes(&self) -> u64 {
        let taken = |segment: &Segment| segment.offset.min(segment.size);
        self.segments.iter().map(taken).sum()
    }

    /// Finds the next record of a segment, if it is not later than the cutoff.
    fn find_next_of(&mut self, number: usize) -> Result<Option<Next>> {
        let mut damage = std::mem::take(&mut self.damage);
        let found = self.reader(number).find_next(&mut damage);
        self.damage = damage;
        let segment = &self.segments[number];
        let Some(boot_ns) = found? else {
            self.buffers.release(number, segment.buffer);
            return Ok(None);
        };
        self.buffers.shrink(segment.buffer);
        let boot_count = segment.header.boot_count;
        let time = BootTime {
            boot_count,
            boot_ns,
        };
        Ok((time <= self.cutoff).then(|| Next::new(time, number)))
    }

    fn reader(&mut self, number: usize) -> SegmentReader<'_> {
        let buffer_size = self.buffers.size();
        let segment = &mut self.segments[number];
        SegmentReader {
            buffer: self.buffers.of(number, &mut segment.buffer),
            buffer_size,
            journal: &self.journal,
            name: self.listing.name(segment.name),
            segment,
        }
    }
}
