//! Giving disk space back. Nothing is destroyed that a durable record does not cover.
//!
//! First everything is synced, then a record says so, then that record is synced: from then on a gap
//! before it is damage, and nobody takes what is missing there for what a power cut took. Only then go
//! segments, files of queues whose runs are settled, and files of rejected events that are forgotten.

use super::Place;
use super::disk::{Access, Disk, Folder};
use super::entry::{Entry, Point};
use super::frame::HEADER_LEN;
use super::guards::limit;
use super::log_store::LogStore;
use super::queue_file;
use super::rejected_file;
use super::synced_mark;
use crate::error::{Error, Result};

/// Blocks of a file in use are given back in pieces of at least so many bytes.
const PUNCHED_AT_LEAST: u64 = 1024 * 1024;
/// The same while the disk is full.
const PUNCHED_WHEN_FULL: u64 = 4 * 1024;

/// What may go once everything up to a commit is durable.
#[derive(Debug, Clone, Default)]
pub struct SyncPoint {
    /// The last commit that it covers.
    pub(super) seq: u64,
    queue_files: Vec<(Place, u64)>,
    rejected_files: Vec<u64>,
    /// Settled runs at the beginning of files that are still in use.
    settled: Vec<(Place, Point)>,
}

impl SyncPoint {
    /// The last commit that it covers: first of all, that has to be durable.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether there is nothing in the store to give back.
    pub fn is_empty(&self) -> bool {
        self.queue_files.is_empty() && self.rejected_files.is_empty() && self.settled.is_empty()
    }

    /// Says in a second place that the ledger reaches up to this point, whose record is durable. Only then
    /// may anything go.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io).
    pub fn mark(&self, disk: &dyn Disk) -> Result<()> {
        synced_mark::write(disk, self.seq).map_err(|e| Error::io(disk.describe(None), e))
    }

    /// Removes the files, and gives back the blocks. The record that covers this has to be durable.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io).
    pub fn remove(&self, disk: &dyn Disk) -> Result<()> {
        let remove = |folder: Folder, name: String| {
            let removed = disk.remove(folder, &name);
            removed.map_err(|e| Error::io(disk.describe(Some((folder, &name))), e))
        };
        for (place, number) in &self.queue_files {
            remove(Folder::Queues, queue_file::file_name(*place, *number))?;
        }
        for number in &self.rejected_files {
            remove(Folder::Rejected, rejected_file::file_name(*number))?;
        }
        for (place, upto) in &self.settled {
            let name = queue_file::file_name(*place, upto.file);
            // Where blocks cannot be given back, the file goes once all of it is settled.
            if let Ok(file) = disk.open(Folder::Queues, &name, Access::Write) {
                let _ = file.punch(HEADER_LEN as u64, upto.offset);
            }
        }
        Ok(())
    }
}

impl LogStore {
    /// What could go now.
    pub(super) fn note_removable(&mut self) -> SyncPoint {
        let mut point = SyncPoint {
            seq: self.ledger.seq,
            ..SyncPoint::default()
        };
        let at_least = match self.is_full_disk {
            true => limit(PUNCHED_WHEN_FULL),
            false => limit(PUNCHED_AT_LEAST),
        };
        for (place, queue) in self.fold.places() {
            let head = queue.position.head;
            let passed = queue
                .files
                .iter()
                .take_while(|file| file.number != head.file);
            point
                .queue_files
                .extend(passed.map(|file| (place, file.number)));
            let known = self.punched.get(&place).copied().unwrap_or_default();
            let from = match known.file == head.file {
                true => known.offset,
                false => HEADER_LEN as u64,
            };
            if head.offset.saturating_sub(from) >= at_least {
                point.settled.push((place, head));
            }
        }
        // The last file is appended to, whatever is forgotten of it.
        let last = self.fold.numbers.rejected_file;
        let files = self.fold.rejected.iter();
        point.rejected_files.extend(
            files
                .filter(|file| file.number != last && file.remaining() == 0)
                .map(|file| file.number),
        );
        point
    }

    /// Writes a record that says up to where everything is durable.
    pub(super) fn write_sync_record(&mut self) -> Result<u64> {
        self.append_record()?;
        Ok(self.ledger.seq)
    }

    /// Forgets the files that were removed.
    pub(super) fn forget_files(&mut self, point: &SyncPoint) -> Result<()> {
        for (place, head) in &point.settled {
            self.punched.insert(*place, *head);
        }
        let mut places: Vec<Place> = point.queue_files.iter().map(|(place, _)| *place).collect();
        places.dedup();
        for place in places {
            let mut files = self.fold.queue(place).files.clone();
            files.retain(|file| !point.queue_files.contains(&(place, file.number)));
            self.say(&Entry::QueueFiles { place, files })?;
        }
        for number in &point.rejected_files {
            self.say(&Entry::RejectedGone { number: *number })?;
        }
        self.write_record()
    }
}
