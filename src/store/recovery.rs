//! Opening a store: what the last sender left is read, and judged.
//!
//! A record that is not there ends the ledger. Whether that is the ordinary end, a record that a power
//! cut took, or damage, follows from what stands behind it: records say up to where everything was
//! durable when they were written, and only a gap before that is damage.

use std::io;
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::Entry;
use super::failed_syncs;
use super::finished::{later_than, next_number, put_finished_away};
use super::fold::Fold;
use super::frame::{BadHeader, FileHeader, GIVEN, RECORD_HEADER_LEN};
use super::guards::{Guard, is_up};
use super::ledger::{self, Ledger, Reading, Stop, leaves_numbers_above};
use super::queue_file;
use super::receipt_files::last_receipt;
use super::rejected_file;
use super::spare::{Spare, publish, remove_begun};
use super::synced_mark;
use super::unsynced::Touched;
use super::verification::missing;

/// So many ids are left out after a boot of the host.
const IDS_LEFT_OUT: i64 = 1 << 20;

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
    /// Files that no record speaks of. Their numbers count as given, and once a record says so they may go.
    pub(super) strangers: Vec<(Folder, String)>,
    /// What must not be written to any more, because a sync has failed since the host was booted.
    pub(super) failed: Touched,
    /// A finished ledger is of a later moment, as in a copy. Receipts are searched in the order of the ledgers,
    /// so another one has to be begun before anything is delivered.
    pub(super) is_passed: bool,
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
        let early = match (is_up(Guard::LockFirst), &header) {
            (false, Ok(header)) => Some(read(&**disk, &*file, header, boot_count)?),
            _ => None,
        };
        if is_up(Guard::LedgerLock) && !file.try_lock().map_err(failed)? {
            return Err(CannotOpen::Held);
        }
        // Whoever had the lock before may have begun the next file, and cannot publish it without this name.
        remove_begun(&**disk).map_err(in_ledger)?;
        // What is read from here on nobody else changes, if it still is the last file.
        let now = ledger::numbers(&**disk, Folder::Ledger).map_err(in_ledger)?;
        if now.last() != Some(&highest) {
            continue;
        }
        let header = match header {
            Ok(header) => header,
            Err(e) => return Err(bad_header(&name, e)),
        };
        let (mut fold, reading, is_cut) = match early {
            Some(early) => early,
            None => read(&**disk, &*file, &header, boot_count)?,
        };
        if now.len() > 1 {
            // Whoever published this file may have died before its name was durable.
            disk.sync(Folder::Ledger).map_err(in_ledger)?;
        }
        put_finished_away(&**disk, highest).map_err(in_ledger)?;
        let later = later_than(&**disk, highest).map_err(in_ledger)?;
        if let Some(later) = later {
            let last = last_receipt(&**disk, later).map_err(in_ledger)?;
            fold.numbers.receipt = fold.numbers.receipt.max(last);
        }
        let strangers = count_strangers(&**disk, &mut fold).map_err(in_ledger)?;
        let file: Arc<dyn DiskFile> = Arc::from(file);
        let ledger = Ledger::go_on(file, header, &reading);
        if !is_cut && header.boot_count == boot_count {
            // The beginning of a record that its writer did not finish.
            let is_left = |size: u64| size > reading.end;
            if ledger.file.size().map(is_left).map_err(in_ledger)? {
                ledger.file.truncate(reading.end).map_err(in_ledger)?;
            }
            let failed = failed_syncs::read(&**disk, highest, &fold).map_err(in_ledger)?;
            return Ok(Opened {
                fold,
                ledger,
                durable: reading.durable,
                strangers,
                failed,
                is_passed: later.is_some(),
            });
        }
        let opened = begin_next(disk, boot_count, fold, &ledger)?;
        failed_syncs::forget(&**disk, highest).map_err(in_ledger)?;
        return Ok(Opened {
            strangers,
            ..opened
        });
    }
}

fn create(disk: &Arc<dyn Disk>, boot_count: u32) -> Result<Opened, CannotOpen> {
    check_nothing_is_there(&**disk)?;
    begin(disk, boot_count, Fold::default(), (0, 1), None)
}

/// Whether a file of the store has such a name.
fn is_of_store(folder: Folder, name: &str) -> bool {
    match folder {
        Folder::Queues => queue_file::parse_name(name).is_some(),
        Folder::Rejected => rejected_file::parse_name(name).is_some(),
        _ => ledger::parse_name(name).is_some(),
    }
}

/// Checks that nothing is there that only a ledger can have left.
pub(super) fn check_nothing_is_there(disk: &dyn Disk) -> Result<(), CannotOpen> {
    for folder in [Folder::Queues, Folder::Rejected, Folder::Receipts] {
        let names = disk
            .list(folder)
            .map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
        // Other programs leave files there, too.
        if let Some(name) = names.iter().find(|name| is_of_store(folder, name)) {
            let what = format!("ledger: is gone, and {}/{name} is there", folder.name());
            return Err(CannotOpen::Damaged(what));
        }
    }
    let marked = synced_mark::read(disk).map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
    match marked {
        0 => Ok(()),
        _ => Err(CannotOpen::Damaged("ledger: is gone".to_owned())),
    }
}

fn begin_next(
    disk: &Arc<dyn Disk>,
    boot_count: u32,
    mut fold: Fold,
    old: &Ledger,
) -> Result<Opened, CannotOpen> {
    // Somebody may have seen ids that a power cut has taken.
    let left_out = |number: i64| (number + IDS_LEFT_OUT).min(GIVEN.end - 1);
    fold.numbers.run = left_out(fold.numbers.run);
    fold.numbers.rejected = left_out(fold.numbers.rejected);
    let number = next_number(&**disk, old.header.number)
        .map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
    let numbers = (old.seq, number);
    let opened = begin(disk, boot_count, fold, numbers, Some(&*old.file))?;
    put_finished_away(&**disk, opened.ledger.header.number)
        .map_err(|e| CannotOpen::Io(disk.describe(None), e))?;
    Ok(opened)
}

fn begin(
    disk: &Arc<dyn Disk>,
    boot_count: u32,
    fold: Fold,
    (seq, number): (u64, u64),
    old: Option<&dyn DiskFile>,
) -> Result<Opened, CannotOpen> {
    let failed = |e| {
        let name = ledger::file_name(number);
        CannotOpen::Io(disk.describe(Some((Folder::Ledger, &name))), e)
    };
    let spare = Spare::take(&**disk).map_err(failed)?;
    let (ledger, begun) = spare
        .begin(old, boot_count, &fold, (seq, number))
        .map_err(failed)?;
    publish(&**disk, &ledger, &begun).map_err(failed)?;
    Ok(Opened {
        fold,
        durable: ledger.seq,
        ledger,
        strangers: Vec::new(),
        failed: Touched::default(),
        is_passed: false,
    })
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
    // Before the ledger: its sender may go on meanwhile.
    let marked = synced_mark::read(disk).map_err(failed)?;
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
    if !ledger::leaves_numbers(header.number, reading.seq) {
        return Err(damaged(&name, ledger::NO_NUMBERS));
    }
    let range = (reading.end, ledger::longest(reading.snapshot_end));
    let behind = ledger::durable_behind(file, header, range).map_err(failed)?;
    if let Some(durable) = behind
        && (!was_booted || durable > reading.seq || !is_up(Guard::GapIsJudged))
        && (!was_booted || is_up(Guard::GapIsDamage))
    {
        let what = format!("record {} cannot be read", reading.seq + 1);
        return Err(damaged(&name, &what));
    }
    if reading.seq < marked {
        let what = format!("it ends at record {}, and {marked} was synced", reading.seq);
        return Err(damaged(&name, &what));
    }
    if !was_booted {
        // A writer that died left the beginning of its record. Nothing else may stand there.
        let left = file.size().map_err(failed)?.saturating_sub(reading.end);
        if left >= RECORD_HEADER_LEN as u64
            && !ledger::is_record_begun(file, header, reading.end).map_err(failed)?
        {
            let what = format!("record {} cannot be read", reading.seq + 1);
            return Err(damaged(&name, &what));
        }
        return Ok((fold, reading, false));
    }
    // What was not known to be durable is believed only as far as it is there. A snapshot was durable, with
    // all that it speaks of, before its file had a name.
    let known = reading
        .durable
        .max(behind.unwrap_or(0))
        .max(reading.snapshot_seq)
        .max(marked);
    let (mut fold, mut backed) = (Fold::default(), Reading::new());
    let mut seq = None;
    backed
        .read_on(file, header, &mut fold, |before, entries| {
            let next = *seq.get_or_insert(reading.seq_of_first());
            seq = Some(next + 1);
            // A file gets its name only once its snapshot, and all that it speaks of, is durable.
            let is_snapshot = matches!(entries.first(), Some(Entry::Snapshot { .. }));
            if next <= known || is_snapshot || !is_up(Guard::Verification) {
                return Ok(None);
            }
            missing(disk, before, entries)
        })
        .map_err(failed)?;
    if !backed.has_snapshot() {
        return Err(damaged(&name, "its snapshot is not whole"));
    }
    let is_cut = behind.is_some() || matches!(backed.stop, Stop::NotBacked(_));
    Ok((fold, backed, is_cut))
}

/// The files that no record has ever spoken of: their numbers are above all given ones, and count as given
/// from now on. So a sender that removes them late cannot meet a file of a later one. A number that leaves
/// hardly any above it was not given by a store: such a file is left alone.
fn count_strangers(disk: &dyn Disk, fold: &mut Fold) -> io::Result<Vec<(Folder, String)>> {
    let mut strangers = Vec::new();
    let given = fold.numbers;
    for name in disk.list(Folder::Queues)? {
        if let Some((_, number)) = queue_file::parse_name(&name)
            && number > given.queue_file
            && leaves_numbers_above(number)
        {
            fold.numbers.queue_file = fold.numbers.queue_file.max(number);
            strangers.push((Folder::Queues, name));
        }
    }
    for name in disk.list(Folder::Rejected)? {
        if let Some(number) = rejected_file::parse_name(&name)
            && number > given.rejected_file
            && leaves_numbers_above(number)
        {
            fold.numbers.rejected_file = fold.numbers.rejected_file.max(number);
            strangers.push((Folder::Rejected, name));
        }
    }
    Ok(strangers)
}

pub(super) fn bad_header(name: &str, e: BadHeader) -> CannotOpen {
    match e {
        BadHeader::Newer(version) => newer_file(name, version),
        BadHeader::Damaged => damaged(name, "its header is damaged"),
    }
}

pub(super) fn newer_file(name: &str, version: u32) -> CannotOpen {
    CannotOpen::Newer(format!("ledger/{name} has version {version}"))
}

pub(super) fn newer_record(name: &str) -> CannotOpen {
    CannotOpen::Newer(format!("ledger/{name} holds records of a newer version"))
}

pub(super) fn damaged(name: &str, what: &str) -> CannotOpen {
    CannotOpen::Damaged(format!("ledger/{name}: {what}"))
}
