//! Reading a file record by record, with few reads.

use std::io;

use super::disk::DiskFile;

/// Bytes of a file that were read at once.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    buffer: Vec<u8>,
    start: u64,
}

impl ReadAhead {
    /// The bytes of `file` from `offset` on: at least `length` of them, or all before `end`. What is not at
    /// hand is read with the `ahead` bytes behind it.
    pub(super) fn bytes(
        &mut self,
        file: &dyn DiskFile,
        (offset, end): (u64, u64),
        length: usize,
        ahead: usize,
    ) -> io::Result<&[u8]> {
        if !self.holds(offset, length) {
            let mut left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            if length > ahead {
                // So long a record says something wrong if the file is not as long.
                let there = file.size()?.saturating_sub(offset);
                left = left.min(usize::try_from(there).unwrap_or(usize::MAX));
            }
            self.buffer.resize(length.max(ahead).min(left), 0);
            let got = file.read_at(&mut self.buffer, offset)?;
            self.buffer.truncate(got);
            self.start = offset;
        }
        Ok(&self.buffer[(offset - self.start) as usize..])
    }

    /// Whether these bytes are at hand.
    pub(super) fn holds(&self, offset: u64, length: usize) -> bool {
        let end = self.start + self.buffer.len() as u64;
        offset >= self.start && offset.saturating_add(length as u64) <= end
    }
}
