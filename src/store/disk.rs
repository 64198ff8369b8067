//! The files of the store, as the rest of this room sees them: few operations, each of which can fail.
//!
//! `SpoolDisk` (`spool_disk`) carries them out on the file system, and opens every file of
//! the store. The tests have a disk in memory whose power can be cut after any of them.

use std::fmt;
use std::io;

/// A folder of the spool that the store owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// What the sender did, the latest file last.
    Ledger,
    /// Finished ledgers, kept for the receipts in them.
    Receipts,
    /// Events that wait.
    Queues,
    /// Events that are not sent again.
    Rejected,
    /// What a recovery has replaced, and ledgers of a copy that were there twice. Names there have a folder of their own before them.
    Damaged,
}

impl Folder {
    /// The folders that the store works with.
    pub const ALL: [Self; 4] = [Self::Ledger, Self::Receipts, Self::Queues, Self::Rejected];

    /// Its name in the spool.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Receipts => "receipts",
            Self::Queues => "queues",
            Self::Rejected => "rejected",
            Self::Damaged => "damaged",
        }
    }
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read a file that exists.
    Read,
    /// To read and write a file that exists, and perhaps to lock it.
    Write,
    /// To write a file that must not exist yet.
    Create,
}

/// The folders of one spool.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names in a folder, in any order; none if the folder does not exist.
    fn list(&self, folder: Folder) -> io::Result<Vec<String>>;

    /// Opens a file. Creates the folder, durably, if the file is to be created in it.
    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, which no file has, perhaps in another folder.
    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()>;

    /// Gives a file the name of another one, which goes; there is a file of that name at any moment.
    fn replace(&self, folder: Folder, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if it exists.
    fn remove(&self, folder: Folder, name: &str) -> io::Result<()>;

    /// Returns once the names of a folder survive a power cut.
    fn sync(&self, folder: Folder) -> io::Result<()>;

    /// The most bytes that a file may have. What would be more fails with `EFBIG`.
    fn file_limit(&self) -> u64 {
        u64::MAX
    }

    /// How messages name a file, or the spool as a whole.
    fn describe(&self, file: Option<(Folder, &str)>) -> String;
}

/// Moves a file, if it is there, to folder `kept` under `damaged/`.
pub(super) fn put_away(disk: &dyn Disk, kept: &str, folder: Folder, name: &str) -> io::Result<()> {
    let to = format!("{kept}/{}-{name}", folder.name());
    match disk.rename((folder, name), (Folder::Damaged, &to)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads from `offset` on until `buffer` is full or the file ends; says how many bytes it read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Where the first bytes at `offset` or behind it stand that are no hole, as far as the disk knows
    /// holes; `u64::MAX`: there are none.
    fn data_from(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }

    /// Writes all of `bytes` at `offset`. After an error, some of them may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The file's size.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file to `size` bytes.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Returns once everything that was written survives a power cut.
    fn sync(&self) -> io::Result<()>;

    /// Allocates the blocks of a range, without changing the file's size.
    fn allocate(&self, from: u64, upto: u64) -> io::Result<()>;

    /// Gives the blocks of a range back; its bytes read as zeros from then on.
    fn punch(&self, from: u64, upto: u64) -> io::Result<()>;

    /// Takes the lock of the file, which lasts until this value is dropped. `false`: somebody else has it.
    fn try_lock(&self) -> io::Result<bool>;

    /// Checks that the descriptor still is this file's: the application may have closed it, and opened
    /// another file under the same number.
    fn check_open(&self) -> io::Result<()>;
}
