//! What the state knows of rejected events: their files, and which of them are forgotten.

use super::{FILE_IDS_MAX, Fold};
use crate::store::entry::{Entry, RejectedFile};
use crate::store::frame::{GIVEN, is_given};

impl Fold {
    /// The file that holds a rejected event, and the place of its bit there.
    pub(in crate::store) fn rejected_file(&self, id: i64) -> Option<(usize, usize)> {
        let after = self.rejected.partition_point(|file| file.first_id <= id);
        let at = after.checked_sub(1)?;
        let file = &self.rejected[at];
        (id < file.next_id).then(|| (at, (id - file.first_id) as usize))
    }

    pub(super) fn apply_to_rejected(&mut self, entry: &Entry<'_>) -> Result<(), &'static str> {
        match entry {
            Entry::RejectedFile(file) => {
                if !can_be_ids(file.first_id, file.next_id) || !is_given(file.number) {
                    return Err("a file of rejected events has ids that there are not");
                }
                if !is_bitmap(&file.forgotten, (file.next_id - file.first_id) as usize) {
                    return Err(
                        "a file of rejected events has forgotten events that there are not",
                    );
                }
                let mut others = self
                    .rejected
                    .iter()
                    .filter(|known| known.number != file.number);
                if others
                    .any(|known| file.first_id < known.next_id && known.first_id < file.next_id)
                {
                    return Err("two files of rejected events have the same ids");
                }
                self.rejected.retain(|known| known.number != file.number);
                let at = self
                    .rejected
                    .partition_point(|known| known.first_id < file.first_id);
                self.rejected.insert(at, file.clone());
                self.numbers.rejected_file = self.numbers.rejected_file.max(file.number);
                self.numbers.rejected = self.numbers.rejected.max(file.next_id - 1);
            }
            Entry::RejectedTail {
                number,
                first_id,
                next_id,
                end,
            } => {
                let last = self.rejected.last().filter(|last| last.number == *number);
                let (first, from, known_end) = last.map_or((*first_id, *first_id, 0), |last| {
                    (last.first_id, last.next_id, last.end)
                });
                // Each event has its record, so that no number makes a bitmap longer than a file.
                let room = end.saturating_sub(known_end);
                let events = u64::try_from(next_id.saturating_sub(from)).ok();
                let is_too_much = events.is_none_or(|events| events > room);
                if !can_be_ids(first, *next_id) || !is_given(*number) || is_too_much {
                    return Err("a file of rejected events has ids that there are not");
                }
                if last.is_none() {
                    if self
                        .rejected
                        .last()
                        .is_some_and(|last| *first_id < last.next_id)
                    {
                        return Err("two files of rejected events have the same ids");
                    }
                    if self.numbers.rejected_file >= *number {
                        return Err("a file of rejected events is begun twice");
                    }
                    self.rejected.push(RejectedFile {
                        number: *number,
                        first_id: *first_id,
                        ..RejectedFile::default()
                    });
                    self.numbers.rejected_file = *number;
                }
                if let Some(last) = self.rejected.last_mut() {
                    last.next_id = *next_id;
                    last.end = *end;
                    let bits = (*next_id - last.first_id).max(0) as usize;
                    last.forgotten.resize(bits.div_ceil(8), 0);
                }
                self.numbers.rejected = self.numbers.rejected.max(*next_id - 1);
            }
            Entry::Forgotten(ids) => {
                for id in ids {
                    let Some((file, bit)) = self.rejected_file(*id) else {
                        return Err("it forgets a rejected event that there is not");
                    };
                    let forgotten = &mut self.rejected[file].forgotten;
                    if let Some(byte) = forgotten.get_mut(bit / 8) {
                        *byte |= 1 << (bit % 8);
                    }
                }
            }
            Entry::RejectedGone { number } => {
                self.rejected.retain(|file| file.number != *number);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a file can hold these ids. One without any is never written.
fn can_be_ids(first: i64, next: i64) -> bool {
    GIVEN.contains(&first) && GIVEN.contains(&next) && (1..=FILE_IDS_MAX).contains(&(next - first))
}

/// Whether there is a bit for each id and no other one.
fn is_bitmap(bytes: &[u8], bits: usize) -> bool {
    let beyond = bytes.len() * 8 - bits.min(bytes.len() * 8);
    let last = bytes.last().copied().unwrap_or(0);
    bytes.len() == bits.div_ceil(8) && last.leading_zeros() as usize >= beyond
}

impl RejectedFile {
    /// Whether the event whose bit this is was forgotten.
    pub(in crate::store) fn is_forgotten(&self, bit: usize) -> bool {
        let byte = self.forgotten.get(bit / 8).copied().unwrap_or(0);
        byte >> (bit % 8) & 1 == 1
    }

    /// How many of its events are not forgotten.
    pub(in crate::store) fn remaining(&self) -> u64 {
        let forgotten: u64 = self
            .forgotten
            .iter()
            .map(|byte| u64::from(byte.count_ones()))
            .sum();
        let ids = (self.next_id - self.first_id).max(0).cast_unsigned();
        ids.saturating_sub(forgotten)
    }
}
