//! Opening a file of runs or of rejected events: its header has to be the one that its name stands for.

use std::io;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::frame::{BadHeader, FileHeader, HEADER_LEN, Kind, read_upto};

/// Why a file cannot be read as what its name says.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The disk failed.
    Io(io::Error),
    /// A newer version wrote it.
    Newer(u32),
    /// It is not what it should be.
    Damaged(String),
}

impl From<io::Error> for Unreadable {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Opens a file and checks that its header is that of the file with this name.
pub(super) fn open_as(
    disk: &dyn Disk,
    (folder, name): (Folder, &str),
    kind: Kind,
    expected: &FileHeader,
    access: Access,
) -> Result<(Box<dyn DiskFile>, FileHeader), Unreadable> {
    let file = disk.open(folder, name, access)?;
    let what = match FileHeader::decode(&read_upto(&*file, 0, HEADER_LEN)?, kind) {
        Ok(header) if header.is_of_same_file(expected) => return Ok((file, header)),
        Ok(_) => "its header is that of another file",
        Err(BadHeader::Newer(version)) => return Err(Unreadable::Newer(version)),
        Err(BadHeader::Damaged) => "its header is damaged",
    };
    Err(Unreadable::Damaged(what.to_owned()))
}
