//! Opening a store: what the last sender left is read, and judged.
//!
//! A record that is not there ends the ledger. Whether that is the ordinary end, a record that a power
//! cut took, or damage, follows from what stands behind it: records say up to where everything was
//! durable when they were written, and only a gap before that is damage.

use std::io;
use std::sync::Arc;

use super::Place;
use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::{Entry, Point, QueueFile};
use super::fold::{Fold, Queue};
use super::frame::{BadHeader, FileHeader};
use super::ledger::{self, Ledger, Reading, SPARE, Stop};
use super::queue_file::{self, QueueCursor, Unreadable};
use super::rejected_file::{self, RejectedReader};
use crate::process::random_u64;

/// What the beginning of a file needs, and the records of a while.
const SPARE_BYTES: u64 = 512 * 1024;

/// Why a store cannot be opened.
#[derive(Debug)]
pub(super) enum CannotOpen {
    /// Another process has the ledger's lock.
    Held,
    /// A newer version wrote it.
    Newer(String),
    /// It cannot be trusted.
    Damaged(String),
    /// The disk failed.
    Io(String, io::Error),
}

/// A store as the last sender left it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fold: Fold,
    pub(super) ledger: Ledger,
    /// The highest record that is known to be durable.
    pub(super) durable: u64,
}

/// Reads the store, whose lock is taken, as far as it counts. What a power cut took is left out; then, and
/// after every boot, a new file is begun. Makes the first file of a new store.
pub(super) fn open(disk: &Arc<dyn Disk>, boot_count: u32) -> Result<Opened, CannotOpen> {
    let in_ledger = |e| CannotOpen::Io(disk.describe(None), e);
    loop {
        let numbers = ledger::numbers(&**disk, Folder::Ledger).map_err(in_ledger)?;
        let Some(&highest) = numbers.last() else {
            return create(disk, boot_count);
        };
        let name = ledger::file_name(highest);
        let failed = |e| CannotOpen::Io(disk.describe(Some((Folder::Ledger, &name))), e);
        let opened = ledger::open(&**disk, Folder::Ledger, highest, Access::Write);
        let (file, header) = match opened {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(e)),
        };
        if !file.try_lock().map_err(failed)? {
            return Err(CannotOpen::Held);
        }
        // What is read from here on nobody else changes, if it still is the last file.
        let now = ledger::numbers(&**disk, Folder::Ledger).map_err(in_ledger)?;
        if now.last() != Some(&highest) {
            continue;
        }
        let header = match header {
            Ok(header) => header,
            Err(BadHeader::Newer(version)) => return Err(newer_file(&name, version)),
            Err(BadHeader::Damaged) => {
                return Err(damaged(&name, "its header is damaged"));
            }
        };
        let (fold, reading, is_cut) = read(&**disk, &*file, &header, boot_count)?;
        remove_strangers(&**disk, &fold).map_err(in_ledger)?;
        put_finished_away(&**disk, highest).map_err(in_ledger)?;
        let file: Arc<dyn DiskFile> = Arc::from(file);
        let ledger = Ledger::go_on(file, header, &reading);
        if !is_cut && header.boot_count == boot_count {
            return Ok(Opened {
                fold,
                ledger,
                durable: reading.durable,
            });
        }
        return begin_next(disk, boot_count, fold, &ledger);
    }
}

fn create(disk: &Arc<dyn Disk>, boot_count: u32) -> Result<Opened, CannotOpen> {
    check_nothing_is_there(&**disk)?;
    begin(disk, boot_count, Fold::default(), 0, 1)
}

/// Checks that no queue is there without a ledger.
pub(super) fn check_nothing_is_there(disk: &dyn Disk) -> Result<(), CannotOpen> {
    for folder in [Folder::Queues, Folder::Rejected] {
        let names = disk
            .list(folder)
            .map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
        if !names.is_empty() {
            let what = format!(
                "ledger: is gone, and {}/{} is there",
                folder.name(),
                names[0]
            );
            return Err(CannotOpen::Damaged(what));
        }
    }
    Ok(())
}

fn begin_next(
    disk: &Arc<dyn Disk>,
    boot_count: u32,
    fold: Fold,
    old: &Ledger,
) -> Result<Opened, CannotOpen> {
    let opened = begin(disk, boot_count, fold, old.seq, old.header.number + 1)?;
    put_finished_away(&**disk, opened.ledger.header.number)
        .map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
    Ok(opened)
}

fn begin(
    disk: &Arc<dyn Disk>,
    boot_count: u32,
    fold: Fold,
    seq: u64,
    number: u64,
) -> Result<Opened, CannotOpen> {
    let failed = |e| {
        let name = ledger::file_name(number);
        CannotOpen::Io(disk.describe(Some((Folder::Ledger, &name))), e)
    };
    let spare = Spare::take(&**disk).map_err(failed)?;
    let ledger = spare
        .begin(boot_count, &fold, seq, number)
        .map_err(failed)?;
    publish(&**disk, &ledger).map_err(failed)?;
    Ok(Opened {
        fold,
        durable: ledger.seq,
        ledger,
    })
}

/// The blocks of the next file, locked by this process.
#[derive(Debug)]
pub(super) struct Spare(Arc<dyn DiskFile>);

impl Spare {
    /// Opens and locks the spare, or makes one.
    pub(super) fn take(disk: &dyn Disk) -> io::Result<Self> {
        let opened = match disk.open(Folder::Ledger, SPARE, Access::Write) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                disk.open(Folder::Ledger, SPARE, Access::Create)?;
                disk.open(Folder::Ledger, SPARE, Access::Write)
            }
            opened => opened,
        }?;
        if opened.try_lock()? {
            Ok(Self(Arc::from(opened)))
        } else {
            Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process has it locked",
            ))
        }
    }

    /// Makes the spare and allocates its blocks, if there is room.
    pub(super) fn set_aside(disk: &dyn Disk) {
        if let Ok(spare) = Self::take(disk) {
            let _ = spare.0.allocate(0, SPARE_BYTES);
        }
    }

    /// Writes the beginning of file `number`, which is not published yet.
    pub(super) fn begin(
        self,
        boot_count: u32,
        fold: &Fold,
        seq: u64,
        number: u64,
    ) -> io::Result<Ledger> {
        let header = FileHeader {
            boot_count,
            number,
            nonce: random_u64(),
            created_ms: crate::clock::wall_ms(),
            lane: 0,
            queue: 0,
            first_id: fold.numbers.receipt + 1,
        };
        // Bytes of an earlier attempt are no records here, but they would be looked through.
        if self.0.size()? > 0 {
            self.0.truncate(0)?;
        }
        Ledger::begin(self.0, header, fold, seq)
    }
}

/// Makes a file that was begun the one that counts. Everything that its snapshot speaks of must be
/// durable by now.
pub(super) fn publish(disk: &dyn Disk, ledger: &Ledger) -> io::Result<()> {
    ledger.file.sync()?;
    let name = ledger::file_name(ledger.header.number);
    disk.rename((Folder::Ledger, SPARE), (Folder::Ledger, &name))?;
    disk.sync(Folder::Ledger)
}

/// Moves the files before `highest` to the receipts, which they may hold.
pub(super) fn put_finished_away(disk: &dyn Disk, highest: u64) -> io::Result<()> {
    for number in ledger::numbers(disk, Folder::Ledger)? {
        if number < highest {
            let name = ledger::file_name(number);
            match disk.rename((Folder::Ledger, &name), (Folder::Receipts, &name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Folds a ledger as far as it counts; `true`: a power cut took its end.
pub(super) fn read(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    header: &FileHeader,
    boot_count: u32,
) -> Result<(Fold, Reading, bool), CannotOpen> {
    let name = ledger::file_name(header.number);
    let failed = |e| CannotOpen::Io(disk.describe(Some((Folder::Ledger, &name))), e);
    let was_booted = header.boot_count != boot_count;
    let (mut fold, mut reading) = (Fold::default(), Reading::new());
    reading
        .read_on(file, header, &mut fold, |_, _| Ok(None))
        .map_err(failed)?;
    match &reading.stop {
        Stop::NoRecord | Stop::NotBacked(_) => {}
        Stop::Newer => return Err(newer_record(&name)),
        Stop::Contradiction(what) => return Err(damaged(&name, what)),
    }
    if !reading.has_snapshot() {
        return Err(damaged(&name, "its snapshot is not whole"));
    }
    let behind = ledger::durable_behind(file, header, reading.end).map_err(failed)?;
    if let Some(durable) = behind
        && (!was_booted || durable > reading.seq)
    {
        let what = format!("record {} cannot be read", reading.seq + 1);
        return Err(damaged(&name, &what));
    }
    if !was_booted {
        return Ok((fold, reading, false));
    }
    // What was not known to be durable is believed only as far as it is there.
    let known = reading.durable.max(behind.unwrap_or(0));
    let (mut fold, mut backed) = (Fold::default(), Reading::new());
    let mut seq = None;
    backed
        .read_on(file, header, &mut fold, |before, entries| {
            let next = *seq.get_or_insert(reading.seq_of_first());
            seq = Some(next + 1);
            if next <= known {
                return Ok(None);
            }
            missing(disk, before, entries)
        })
        .map_err(failed)?;
    let is_cut = behind.is_some() || matches!(backed.stop, Stop::NotBacked(_));
    Ok((fold, backed, is_cut))
}

/// What of the bytes that a record speaks of is not there.
fn missing(disk: &dyn Disk, before: &Fold, entries: &[Entry<'_>]) -> io::Result<Option<String>> {
    for entry in entries {
        let found = match entry {
            Entry::Queue { place, position } => {
                let files = entries.iter().find_map(|entry| match entry {
                    Entry::QueueFiles { place: of, files } if of == place => Some(files.clone()),
                    _ => None,
                });
                let known = before.queue(*place);
                let now = Queue {
                    position: *position,
                    files: files.unwrap_or_else(|| known.files.clone()),
                    ..Queue::default()
                };
                let from = match known.tail().file {
                    0 => now.first_point(),
                    _ => known.tail(),
                };
                check_runs(disk, *place, &now, from, known.position.last_run)
            }
            Entry::RejectedTail { number, end, .. } => {
                let last = before.rejected.last();
                let from = last.filter(|file| file.number == *number);
                check_rejected(disk, *number, from.map(|file| file.end), *end)
            }
            _ => Ok(()),
        };
        match found {
            Ok(()) => {}
            Err(Unreadable::Io(e)) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(Unreadable::Io(e)) => return Ok(Some(e.to_string())),
            Err(Unreadable::Newer(version)) => {
                return Ok(Some(format!("a file of version {version}")));
            }
            Err(Unreadable::Damaged(what)) => return Ok(Some(what)),
        }
    }
    Ok(None)
}

/// Checks every run of a queue from a point to its end.
pub(super) fn check_runs(
    disk: &dyn Disk,
    place: Place,
    queue: &Queue,
    from: Point,
    last_run: i64,
) -> Result<(), Unreadable> {
    let mut cursor = QueueCursor::new(place, from);
    let mut last = last_run;
    while let Some(run) = cursor.next(disk, queue)? {
        if run.id <= last {
            let what = format!("run {} stands behind run {last}", run.id);
            return Err(Unreadable::Damaged(what));
        }
        last = run.id;
    }
    Ok(())
}

/// Checks the rejected events of a file between two offsets.
fn check_rejected(
    disk: &dyn Disk,
    number: u64,
    from: Option<u64>,
    end: u64,
) -> Result<(), Unreadable> {
    let mut reader = RejectedReader::open(disk, number, end)?;
    if let Some(from) = from {
        reader.seek(from);
    }
    while let Some(header) = reader.peek()? {
        reader.read(&header)?;
    }
    Ok(())
}

/// Removes files that no record has ever spoken of: their numbers are above all given ones.
fn remove_strangers(disk: &dyn Disk, fold: &Fold) -> io::Result<()> {
    for name in disk.list(Folder::Queues)? {
        if queue_file::parse_name(&name).is_some_and(|(_, number)| number > fold.numbers.queue_file)
        {
            disk.remove(Folder::Queues, &name)?;
        }
    }
    for name in disk.list(Folder::Rejected)? {
        if rejected_file::parse_name(&name)
            .is_some_and(|number| number > fold.numbers.rejected_file)
        {
            disk.remove(Folder::Rejected, &name)?;
        }
    }
    Ok(())
}

impl Queue {
    /// Where its first run stands.
    fn first_point(&self) -> Point {
        self.files
            .first()
            .map_or_else(Point::default, |QueueFile { number, .. }| Point {
                file: *number,
                offset: super::frame::HEADER_LEN as u64,
            })
    }
}

pub(super) fn newer_file(name: &str, version: u32) -> CannotOpen {
    CannotOpen::Newer(format!("ledger/{name} has version {version}"))
}

fn newer_record(name: &str) -> CannotOpen {
    CannotOpen::Newer(format!("ledger/{name} holds records of a newer version"))
}

pub(super) fn damaged(name: &str, what: &str) -> CannotOpen {
    CannotOpen::Damaged(format!("ledger/{name}: {what}"))
}
