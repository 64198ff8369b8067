//! The rejected events of the new store: files that stay, and copies of all other events.

use std::io;

use super::rejected::{EVENTS, EventAt, Part, RejectedFound, file_of};
use super::replace::{New, SESSION, changed};
use crate::store::disk::{Access, Disk, DiskFile, Folder};
use crate::store::entry::RejectedFile;
use crate::store::frame::{FileHeader, Kind, read_upto};
use crate::store::rejected_file;

impl New<'_> {
    /// Has the new ledger speak of the rejected events that were found.
    pub(super) fn take_rejected(&mut self, found: &RejectedFound) -> io::Result<()> {
        let mut files = Vec::new();
        for part in found.parts() {
            files.push(match part {
                Part::Kept(file) => file,
                Part::Copied(events) => self.copy_rejected(found, &events)?,
            });
        }
        self.fold.rejected = files;
        self.fold.rejected_counts = found.counts.clone();
        // The next event goes to a new file, where no id is left out.
        self.fold.numbers.rejected_file += 1;
        Ok(())
    }

    fn copy_rejected(
        &mut self,
        found: &RejectedFound,
        events: &[(i64, EventAt)],
    ) -> io::Result<RejectedFile> {
        self.fold.numbers.rejected_file += 1;
        let number = self.fold.numbers.rejected_file;
        let ids = match events {
            [(first, _), .., (last, _)] | [(first @ last, _)] => *first..*last + 1,
            [] => 0..0,
        };
        let header = FileHeader {
            first_id: ids.start,
            ..self.header(number)
        };
        let mut bytes = header.encode(Kind::Rejected).to_vec();
        let mut old = OneOpen::new(self.disk);
        for (id, at) in events {
            let old_header = found.headers.get(&at.file).ok_or_else(changed)?;
            let event = old.read(at)?;
            let read = (EVENTS.read)(&event, old_header.position(at.offset));
            let ((_, event), _) = read.ok_or_else(changed)?;
            let position = header.position(bytes.len() as u64);
            rejected_file::encode(&mut bytes, (*id, SESSION), &event, position);
        }
        self.write(Folder::Rejected, &rejected_file::file_name(number), &bytes)?;
        let there = events.iter().map(|(id, _)| *id);
        Ok(file_of(number, ids, bytes.len() as u64, there))
    }
}

/// The file that was read last. Events of many files may go to one copy, so no more are open at a time, and
/// none is in memory.
struct OneOpen<'a> {
    disk: &'a dyn Disk,
    open: Option<(u64, Box<dyn DiskFile>)>,
}

impl<'a> OneOpen<'a> {
    fn new(disk: &'a dyn Disk) -> Self {
        Self { disk, open: None }
    }

    /// The bytes of an event.
    fn read(&mut self, at: &EventAt) -> io::Result<Vec<u8>> {
        let file = match self.open.take() {
            Some((number, file)) if number == at.file => file,
            _ => {
                let name = rejected_file::file_name(at.file);
                self.disk.open(Folder::Rejected, &name, Access::Read)?
            }
        };
        let length = usize::try_from(at.length).unwrap_or(usize::MAX);
        let bytes = read_upto(&*file, at.offset, length)?;
        self.open = Some((at.file, file));
        Ok(bytes)
    }
}
