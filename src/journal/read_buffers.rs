//! The buffers through which a round reads its segments.
//!
//! All of them together have a limit, so a round needs no more memory for more segments. A few
//! segments get large buffers each. If there are too many segments for a buffer each, the buffer
//! that was used least recently is given up for another segment, and its bytes are read again when
//! they are needed.

use std::ops::Range;

/// The size that all buffers of a round should have together.
const ALL_BYTES: usize = 4 * 1024 * 1024;
const LARGEST: usize = 256 * 1024;
const SMALLEST: usize = 4 * 1024;

/// A part of one segment, in memory.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// Where in its segment the bytes begin.
    pub(super) start: u64,
    /// The next record of the segment, if it was found.
    pub(super) found: Option<FoundRecord>,
    /// The segment that it belongs to.
    segment: Option<usize>,
    /// When it was last used, as a number that only grows; 0: it is free.
    used: u64,
}

/// A whole record in a buffer.
#[derive(Debug, Clone)]
pub(super) struct FoundRecord {
    /// Time since boot of its enqueue.
    pub(super) boot_ns: u64,
    /// Where its payload is in the buffer.
    pub(super) payload: Range<usize>,
    /// The length of the whole record.
    pub(super) length: usize,
}

/// The buffers of a round.
#[derive(Debug)]
pub(super) struct ReadBuffers {
    buffers: Vec<Buffer>,
    /// How many there may be.
    most: usize,
    /// The size that each should have. A large record makes its buffer larger.
    size: usize,
    now: u64,
}

/// Which buffer a segment had last. Another segment may have it now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BufferNumber(u32);

impl ReadBuffers {
    /// For a round over so many segments.
    pub(super) fn new(segments: usize) -> Self {
        let size = (ALL_BYTES / segments.max(1)).clamp(SMALLEST, LARGEST);
        Self {
            buffers: Vec::new(),
            most: ALL_BYTES / size,
            size,
            now: 0,
        }
    }

    /// The size that a buffer should have.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The buffer of a segment, with what is left of it; `number` is what the segment knows of it.
    pub(super) fn of(&mut self, segment: usize, number: &mut BufferNumber) -> &mut Buffer {
        self.now += 1;
        let mut index = number.0 as usize;
        if self.buffers.get(index).and_then(|buffer| buffer.segment) != Some(segment) {
            index = self.free();
            *number = BufferNumber(index as u32);
            let buffer = &mut self.buffers[index];
            buffer.segment = Some(segment);
            buffer.bytes.clear();
            buffer.found = None;
        }
        let buffer = &mut self.buffers[index];
        buffer.used = self.now;
        buffer
    }

    /// Frees the buffer of a segment that has nothing more to read.
    pub(super) fn release(&mut self, segment: usize, number: BufferNumber) {
        let buffer = self.buffers.get_mut(number.0 as usize);
        if let Some(buffer) = buffer.filter(|buffer| buffer.segment == Some(segment)) {
            *buffer = Buffer::default();
        }
    }

    /// Keeps the limit after a segment's buffer got larger than its size: those used least recently
    /// are given up.
    pub(super) fn shrink(&mut self, number: BufferNumber) {
        let all = |buffers: &[Buffer]| -> usize {
            let sizes = buffers.iter().map(|buffer| buffer.bytes.capacity());
            sizes.sum()
        };
        if self.buffers[number.0 as usize].bytes.capacity() <= self.size {
            return;
        }
        while all(&self.buffers) > ALL_BYTES {
            let others = self
                .buffers
                .iter_mut()
                .enumerate()
                .filter(|(index, buffer)| {
                    *index != number.0 as usize && buffer.bytes.capacity() > 0
                });
            let Some((_, oldest)) = others.min_by_key(|(_, buffer)| buffer.used) else {
                return;
            };
            *oldest = Buffer::default();
        }
    }

    /// A buffer that is free, or the one that was used least recently.
    fn free(&mut self) -> usize {
        if self.buffers.len() < self.most {
            self.buffers.push(Buffer::default());
            return self.buffers.len() - 1;
        }
        let used = self.buffers.iter().enumerate();
        let oldest = used.min_by_key(|(_, buffer)| buffer.used);
        let index = oldest.map_or(0, |(index, _)| index);
        let buffer = &mut self.buffers[index];
        if buffer.bytes.capacity() > self.size {
            buffer.bytes = Vec::new();
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes that the buffers hold after each of `segments` has read as much as it wants.
    fn held_after(segments: usize, wanted: impl Fn(usize) -> usize) -> usize {
        let mut buffers = ReadBuffers::new(segments);
        for segment in 0..segments {
            let mut number = BufferNumber::default();
            let size = buffers.size();
            buffers.of(segment, &mut number).bytes = Vec::with_capacity(size.max(wanted(segment)));
            buffers.shrink(number);
        }
        let sizes = buffers.buffers.iter().map(|buffer| buffer.bytes.capacity());
        sizes.sum()
    }

    #[test]
    fn the_buffers_of_any_number_of_segments_keep_their_limit() {
        for segments in [1, 16, 17, 1_000, 1_024, 10_000] {
            let held = held_after(segments, |_| 0);
            assert!(held <= ALL_BYTES, "{segments} segments: {held}");
        }
    }

    #[test]
    fn a_large_record_costs_the_other_segments_their_buffers_and_is_given_up_as_they_are() {
        const LARGE: usize = 64 * 1024 * 1024;
        assert_eq!(
            held_after(10, |segment| if segment == 9 { LARGE } else { 0 }),
            LARGE
        );
        assert_eq!(held_after(10, |_| LARGE), LARGE);
        let last = held_after(5_000, |segment| if segment == 9 { LARGE } else { 0 });
        assert!(last <= ALL_BYTES, "{last}");
    }

    #[test]
    fn the_buffer_that_was_used_least_recently_is_given_up() {
        let mut buffers = ReadBuffers::new(ALL_BYTES);
        let most = buffers.most;
        let mut numbers = vec![BufferNumber::default(); most + 1];
        for (segment, number) in numbers.iter_mut().enumerate().take(most) {
            buffers.of(segment, number).bytes.push(1);
        }
        buffers.of(0, &mut numbers[0]);
        buffers.of(most, &mut numbers[most]);
        let mut is_held =
            |segment: usize| !buffers.of(segment, &mut numbers[segment]).bytes.is_empty();
        assert!(is_held(0));
        assert!(!is_held(1));
    }
}
