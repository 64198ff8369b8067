//! What is in a directory.

use std::ffi::CStr;
use std::io;

use rustix::fs::{DirEntry, FileType};

use super::Dir;

impl Dir {
    /// What is in it, in any order.
    pub(crate) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let entries = rustix::fs::Dir::read_from(self.fd()?)?;
        let is_above = |entry: &DirEntry| matches!(entry.file_name().to_bytes(), b"." | b"..");
        let entries = entries.map(|entry| entry.map(Entry).map_err(io::Error::from));
        Ok(entries.filter(move |entry| !entry.as_ref().is_ok_and(|entry| is_above(&entry.0))))
    }
}

/// One name in a directory.
pub(crate) struct Entry(DirEntry);

impl Entry {
    /// The name; `None` if it is no text, which no name of this library is.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.file_name().to_str().ok()
    }

    /// The name for messages.
    pub(crate) fn shown_name(&self) -> String {
        CStr::to_string_lossy(self.0.file_name()).into_owned()
    }

    /// Whether it is a regular file, by the directory or, where that does not say it, by the file.
    pub(crate) fn is_file(&self, dir: &Dir) -> bool {
        match self.0.file_type() {
            FileType::Unknown => {
                let about = self.name().map(|name| dir.about(name));
                about.is_some_and(|about| {
                    about.is_ok_and(|about| FileType::from_raw_mode(about.st_mode).is_file())
                })
            }
            kind => kind.is_file(),
        }
    }
}
