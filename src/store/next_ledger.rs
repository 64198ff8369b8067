//! The next file of the ledger: begun under the sender's lock, made durable outside of it, used then.
//!
//! Nothing may be committed in between, for no record may follow a snapshot before its name is durable.
//! The same way leads out of a failed sync: what the kernel may have lost is written anew, from memory
//! and from pages whose checksums still hold, and the files that failed are not used again.

use std::collections::HashMap;
use std::sync::Arc;

use super::Place;
use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::{Entry, Point, QueueFile, RejectedFile};
use super::failed_syncs;
use super::failures::unreadable_queue;
use super::finished::{highest_number, put_finished_away};
use super::frame::{FileHeader, HEADER_LEN, Kind};
use super::ledger::{self, Ledger};
use super::log_store::LogStore;
use super::queue_file::{self, QueueReader, encode_run};
use super::rejected_file::{self, RejectedReader};
use super::spare::{self, Spare};
use super::syncs::Syncs;
use super::unsynced::{Touched, UnsyncedFiles};
use crate::error::{Error, Result};

/// What the next file needs of the disk, looked for outside of the sender's lock.
#[derive(Debug)]
pub struct SpareLedger {
    blocks: Spare,
    /// Its number has to be above this one.
    highest_finished: u64,
}

impl SpareLedger {
    /// Opens the spare file, or makes it.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io), [`SpoolFull`](crate::error::ErrorKind::SpoolFull).
    pub fn take(disk: &dyn Disk) -> Result<Self> {
        let highest = highest_number(disk);
        let highest_finished = highest.map_err(|e| Error::io(disk.describe(None), e))?;
        let blocks = Spare::take(disk).map_err(|e| {
            let name = disk.describe(Some((Folder::Ledger, ledger::SPARE)));
            Error::io(name, e)
        })?;
        Ok(Self {
            blocks,
            highest_finished,
        })
    }
}

/// The file that is in use until the next one is.
#[derive(Debug)]
struct OldLedger {
    file: Arc<dyn DiskFile>,
    number: u64,
    end: u64,
}

/// A file that holds a snapshot and does not count yet.
#[derive(Debug)]
pub struct NextLedger {
    disk: Arc<dyn Disk>,
    ledger: Ledger,
    unsynced: Arc<UnsyncedFiles>,
    /// Its name until it is published.
    begun: String,
    old: OldLedger,
    /// Files that were copied, and that the new file does not speak of any more.
    replaced: Vec<(Folder, String)>,
    /// The old file holds receipts.
    keeps_old: bool,
}

impl NextLedger {
    /// Makes the file, and everything that it speaks of, durable, and gives it its name. Takes as long as
    /// the disk does.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io), [`SpoolFull`](crate::error::ErrorKind::SpoolFull); the
    /// store has to be opened again then.
    pub fn publish(&self) -> Result<()> {
        self.unsynced
            .sync_touched()
            .map_err(|(name, e)| Error::io(format!("{name}: sync failed"), e))?;
        let number = self.ledger.header.number;
        let name = ledger::file_name(number);
        let failed = |e| Error::io(self.disk.describe(Some((Folder::Ledger, &name))), e);
        spare::publish(&*self.disk, &self.ledger, &self.begun).map_err(failed)?;
        // From here on the old file is only kept for its receipts; what fails is tidied up later.
        let _ = self.old.file.truncate(self.old.end);
        let _ = match self.keeps_old {
            true => put_finished_away(&*self.disk, number),
            false => {
                let old = ledger::file_name(self.old.number);
                self.disk.remove(Folder::Ledger, &old)
            }
        };
        for (folder, name) in &self.replaced {
            let _ = self.disk.remove(*folder, name);
        }
        let _ = failed_syncs::forget(&*self.disk, self.old.number);
        Spare::set_aside(&*self.disk);
        Ok(())
    }
}

impl LogStore {
    /// Whether the ledger is to go on in its next file: this one is full, or a sync has failed.
    pub(super) fn is_ledger_used_up(&self) -> bool {
        let limit = self.disk.file_limit();
        self.ledger.is_full()
            || self.ledger.end > limit - limit / 4
            || self.rewritten.is_some()
            || self.unsynced.failed() != Touched::default()
    }

    /// Writes the snapshot of the next file.
    pub(super) fn begin_ledger(&mut self, spare: SpareLedger) -> Result<NextLedger> {
        let mut replaced = self.unsynced.failed().files;
        replaced.extend(self.rewritten.take().unwrap_or_default());
        let mut replaced: Vec<_> = replaced.into_iter().collect();
        for (folder, name) in &replaced {
            let folder = *folder;
            match folder {
                Folder::Queues => {
                    if let Some((place, number)) = queue_file::parse_name(name) {
                        self.copy_queue_file(place, number)?;
                    }
                }
                Folder::Rejected => {
                    if let Some(number) = rejected_file::parse_name(name) {
                        self.copy_rejected_file(number)?;
                    }
                }
                Folder::Ledger | Folder::Receipts | Folder::Damaged => {}
            }
            self.unsynced.forget(folder, name);
        }
        if let Some(number) = self.mostly_forgotten() {
            self.copy_rejected_file(number)?;
            replaced.push((Folder::Rejected, rejected_file::file_name(number)));
        }
        // What the copying has said is in the snapshot.
        super::frame::begin_record(&mut self.record);
        self.moved.clear();
        let number = self.ledger.header.number.max(spare.highest_finished) + 1;
        let begun = spare.blocks.begin(
            Some(&*self.ledger.file),
            self.boot_count,
            &self.fold,
            (self.ledger.seq, number),
        );
        let (ledger, begun) = begun.map_err(|e| self.ledger_error(e))?;
        Ok(NextLedger {
            disk: self.disk.clone(),
            keeps_old: self.fold.numbers.receipt >= self.ledger.header.first_id,
            ledger,
            begun,
            replaced,
            unsynced: self.unsynced.clone(),
            old: OldLedger {
                file: self.ledger.file.clone(),
                number: self.ledger.header.number,
                end: self.ledger.end,
            },
        })
    }

    /// Goes on in a file that was published.
    pub(super) fn use_ledger(&mut self, next: NextLedger) {
        let seq = next.ledger.seq;
        self.unsynced = Arc::new(UnsyncedFiles::new(
            self.disk.clone(),
            (next.ledger.file.clone(), next.ledger.header.number),
            (Touched::default(), Touched::default()),
        ));
        self.syncs.made_durable(seq);
        self.ledger = next.ledger;
        self.syncs = Arc::new(Syncs::new(self.unsynced.clone(), seq, seq));
    }

    /// Copies the runs of a file that still wait to a new one, in its place, without what has left them.
    fn copy_queue_file(&mut self, place: Place, number: u64) -> Result<()> {
        let queue = self.fold.queue(place);
        let is_in_use = queue.files_in_use().any(|file| file.number == number);
        let Some(end) = queue.end_of(number).filter(|_| is_in_use) else {
            return Ok(());
        };
        let from = match queue.position.head {
            head if head.file == number => head.offset,
            _ => HEADER_LEN as u64,
        };
        let failed = |store: &Self, e| unreadable_queue(&*store.disk, place, number, e);
        let (new, file, header) = self.new_queue_file(place)?;
        let mut reader =
            QueueReader::open(&*self.disk, place, number, end).map_err(|e| failed(self, e))?;
        let mut moved = HashMap::new();
        let (mut at, mut to) = (from, HEADER_LEN as u64);
        while let Some((mut run, behind)) = reader.run_at(at).map_err(|e| failed(self, e))? {
            run.marks |= self.fold.queue(place).marks_of(run.id);
            let mut bytes = Vec::new();
            encode_run(
                &mut bytes,
                (run.id, run.origin, self.fold.numbers.session),
                &run.without_what_left(),
                header.position(to),
            );
            let written = file.write_at(&bytes, to);
            written.map_err(|e| Error::io(self.disk.describe(None), e))?;
            to += bytes.len() as u64;
            moved.insert(
                run.id,
                Point {
                    file: new,
                    offset: to,
                },
            );
            at = behind;
        }
        let queue = self.fold.queue(place);
        let (is_head, is_tail) = (
            queue.position.head.file == number,
            queue.tail().file == number,
        );
        let files = queue.files.iter().map(|file| match file.number == number {
            true => QueueFile {
                number: new,
                end: to,
            },
            false => *file,
        });
        let files = files.collect();
        self.say(&Entry::QueueFiles { place, files })?;
        self.move_queue(place, |position| {
            if is_head {
                position.head = Point {
                    file: new,
                    offset: HEADER_LEN as u64,
                };
            }
            if is_tail {
                position.tail = to;
            }
        })?;
        if let Some(known) = self.handed_out.get_mut(&place) {
            known.move_ends(&moved);
        }
        Ok(())
    }

    /// A file of which more than half of the events are forgotten, and that is not appended to: one at a
    /// time, for the sender waits meanwhile.
    fn mostly_forgotten(&self) -> Option<u64> {
        let last = self.fold.numbers.rejected_file;
        let mut files = self.fold.rejected.iter();
        let found = files.find(|file| {
            let events = (file.next_id - file.first_id).max(0).cast_unsigned();
            let remaining = file.remaining();
            file.number != last && remaining > 0 && remaining < events / 2
        });
        found.map(|file| file.number)
    }

    /// Copies the rejected events of a file that are not forgotten to a new one, in its place.
    pub(super) fn copy_rejected_file(&mut self, number: u64) -> Result<()> {
        let known = self.fold.rejected.iter().find(|file| file.number == number);
        let Some(known) = known.cloned() else {
            return Ok(());
        };
        if known.remaining() == 0 {
            // It may be gone already, and nobody misses it.
            return self.say(&Entry::RejectedGone { number });
        }
        let new = self.fold.numbers.rejected_file + 1;
        let name = rejected_file::file_name(new);
        self.create(Folder::Rejected, &name, Kind::Rejected, |header| {
            FileHeader {
                number: new,
                first_id: known.first_id,
                ..header
            }
        })?;
        let what = format!("rejected/{}", rejected_file::file_name(number));
        let failed = |store: &Self, e| store.unreadable(&what, e);
        let (file, header) =
            rejected_file::open(&*self.disk, new, Access::Write).map_err(|e| failed(self, e))?;
        let mut reader =
            RejectedReader::open(&*self.disk, number, known.end).map_err(|e| failed(self, e))?;
        let mut to = HEADER_LEN as u64;
        while let Some(next) = reader.peek().map_err(|e| failed(self, e))? {
            let bit = next.id.saturating_sub(known.first_id).max(0) as usize;
            if known.is_forgotten(bit) {
                reader.skip(&next);
                continue;
            }
            let event = reader.read(&next).map_err(|e| failed(self, e))?;
            let mut bytes = Vec::new();
            let as_now = (next.id, self.fold.numbers.session);
            rejected_file::encode(&mut bytes, as_now, &event, header.position(to));
            let written = file.write_at(&bytes, to);
            written.map_err(|e| Error::io(self.disk.describe(None), e))?;
            to += bytes.len() as u64;
        }
        self.say(&Entry::RejectedGone { number })?;
        self.say(&Entry::RejectedFile(RejectedFile {
            number: new,
            end: to,
            ..known
        }))
    }

    fn new_queue_file(&self, place: Place) -> Result<(u64, Box<dyn DiskFile>, FileHeader)> {
        let number = self.create_queue_file(place)?;
        let (file, header) = queue_file::open(&*self.disk, place, number, Access::Write)
            .map_err(|e| unreadable_queue(&*self.disk, place, number, e))?;
        Ok((number, file, header))
    }
}
