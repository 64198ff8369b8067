//! Where a user still stands in files, and finished ledgers without a user.
//!
//! That an event has left a queue, or is forgotten, is a matter of the ledger. Its bytes stay in their file
//! until the file goes, or is copied without them ([`FileStore::rewrite`](super::FileStore::rewrite)). Here
//! is how it is known which files these are. A finished ledger is only kept for its receipts, so a
//! copy of it without a user's takes its place.

use std::io;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::{Entry, entries};
use super::frame::{FileHeader, HEADER_LEN, Kind, begin_record, finish_record};
use super::ledger::{self, Records};
use super::receipts::Receipt;
use super::spool_disk::SpoolDisk;
use crate::error::{Error, Result};
use crate::event;
use crate::process::random_u64;
use crate::spool::Spool;

/// Bytes that are looked at together.
const WINDOW_BYTES: usize = 256 * 1024;
/// The name of a copy until it takes its ledger's place. No ledger has it.
const COPY: &str = "copy.new";

/// Whether a user's mark (`event::mark_of_user`) stands in a file, from offset `from` up to `upto`.
#[cold]
pub fn has_mark(
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    (from, upto): (u64, u64),
    mark: &[u8],
) -> io::Result<bool> {
    let mut window = vec![0; WINDOW_BYTES.max(2 * mark.len())];
    let mut at = from;
    loop {
        let left = usize::try_from(upto.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = window.len().min(left);
        let got = read(&mut window[..length], at)?;
        if event::has_mark(&window[..got], mark) {
            return Ok(true);
        }
        if got < window.len() {
            return Ok(false);
        }
        // A mark may begin in this window and end in the next one.
        at += (got - mark.len()) as u64;
    }
}

/// Whether a user's mark stands in a file of the store.
#[cold]
pub fn file_has_mark(
    disk: &dyn Disk,
    (folder, name): (Folder, &str),
    mark: &[u8],
) -> io::Result<bool> {
    let file = match disk.open(folder, name, Access::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    has_mark(|buffer, at| file.read_at(buffer, at), (0, u64::MAX), mark)
}

/// Whether the ledger in use names a user.
#[cold]
pub fn ledger_names(disk: &dyn Disk, user: &[u8]) -> io::Result<bool> {
    let numbers = ledger::numbers(disk, Folder::Ledger)?;
    match numbers.last() {
        Some(last) => Ok(count_names(disk, Folder::Ledger, *last, user)?.0),
        None => Ok(false),
    }
}

/// The ledgers that name a user, those in use and the finished ones.
///
/// Errors: [`Io`](crate::error::ErrorKind::Io).
#[cold]
pub fn ledgers_naming(spool: &Spool, user: &[u8]) -> Result<Vec<String>> {
    let disk = SpoolDisk::new(spool);
    let failed = |e| Error::io(disk.describe(None), e);
    let mut naming = Vec::new();
    for folder in [Folder::Ledger, Folder::Receipts] {
        for number in ledger::numbers(&disk, folder).map_err(failed)? {
            if count_names(&disk, folder, number, user).map_err(failed)?.0 {
                naming.push(format!("{}/{}", folder.name(), ledger::file_name(number)));
            }
        }
    }
    Ok(naming)
}

/// Takes a user out of all finished ledgers; says how many receipts named the user. `alive` is called for each.
#[cold]
pub fn erase_receipts(
    disk: &dyn Disk,
    user: &[u8],
    mut alive: impl FnMut() -> Result<()>,
) -> Result<u64> {
    let failed = |e| Error::io(disk.describe(None), e);
    // Left by a sender that died.
    disk.remove(Folder::Receipts, COPY).map_err(failed)?;
    let mut receipts = 0;
    for number in ledger::numbers(disk, Folder::Receipts).map_err(failed)? {
        receipts += erase_from_finished(disk, number, user).map_err(failed)?;
        alive()?;
    }
    Ok(receipts)
}

#[cold]
fn erase_from_finished(disk: &dyn Disk, number: u64, user: &[u8]) -> io::Result<u64> {
    let (is_named, receipts) = count_names(disk, Folder::Receipts, number, user)?;
    if !is_named {
        return Ok(0);
    }
    let (file, header) = ledger::open(disk, Folder::Receipts, number, Access::Read)?;
    let Ok(header) = header else { return Ok(0) };
    let copy = disk.open(Folder::Receipts, COPY, Access::Create)?;
    copy_without(&*file, &header, &*copy, user)?;
    copy.sync()?;
    let name = ledger::file_name(number);
    disk.replace(Folder::Receipts, COPY, &name)?;
    Ok(receipts)
}

/// Whether a ledger names a user at all, and in how many receipts.
#[cold]
fn count_names(
    disk: &dyn Disk,
    folder: Folder,
    number: u64,
    user: &[u8],
) -> io::Result<(bool, u64)> {
    let (file, header) = match ledger::open(disk, folder, number, Access::Read) {
        Ok((file, Ok(header))) => (file, header),
        Ok((_, Err(_))) => return Ok((false, 0)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((false, 0)),
        Err(e) => return Err(e),
    };
    let text = event::user_text(user);
    let (mut is_named, mut receipts) = (false, 0);
    let mut records = Records::new(&*file, &header, HEADER_LEN as u64);
    while let Some((_, payload, _)) = records.next()? {
        for entry in entries(payload).flatten() {
            is_named |= match &entry {
                Entry::Receipt { bytes, .. } => {
                    let named = Receipt::decode(bytes).is_some_and(|receipt| receipt.names(user));
                    receipts += u64::from(named);
                    named
                }
                Entry::Suspect(suspect) => suspect.user == user,
                Entry::Cleared { user: cleared } => *cleared == user,
                Entry::RefusedInARow { user } => *user == text,
                Entry::Pause(Some(pause)) => event::names_user(&pause.message, &text),
                _ => false,
            };
        }
    }
    Ok((is_named, receipts))
}

/// Copies the receipts of a ledger, each without the share of a user.
#[cold]
fn copy_without(
    file: &dyn DiskFile,
    header: &FileHeader,
    copy: &dyn DiskFile,
    user: &[u8],
) -> io::Result<()> {
    let header_of_copy = FileHeader {
        nonce: random_u64(),
        ..*header
    };
    copy.write_at(&header_of_copy.encode(Kind::Ledger), 0)?;
    let mut records = Records::new(file, header, HEADER_LEN as u64);
    let (mut out, mut at) = (Vec::new(), HEADER_LEN as u64);
    while let Some((record, payload, _)) = records.next()? {
        begin_record(&mut out);
        let empty = out.len();
        for entry in entries(payload).flatten() {
            if let Entry::Receipt { id, bytes } = entry
                && let Some(mut receipt) = Receipt::decode(bytes)
            {
                receipt.leave_out(user);
                if receipt.events > 0 {
                    let bytes = &*receipt.encode();
                    Entry::Receipt { id, bytes }.encode(&mut out);
                }
            }
        }
        if out.len() > empty {
            let position = header_of_copy.position(at);
            finish_record(&mut out, record.seq, record.durable, position);
            copy.write_at(&out, at)?;
            at += out.len() as u64;
        }
    }
    Ok(())
}
