//! What is in a directory.

use std::ffi::CStr;
use std::io;

use rustix::fs::{DirEntry, FileType};
use rustix::io::{Errno, retry_on_intr};

use super::Dir;

impl Dir {
    /// What is in it, in any order.
    pub(crate) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let dir = self.fd()?;
        Ok(Entries {
            dir: retry_on_intr(|| rustix::fs::Dir::read_from(dir))?,
            behind: 0,
        })
    }
}

struct Entries {
    dir: rustix::fs::Dir,
    /// Where the last entry ends.
    behind: i64,
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.dir.read()? {
                // A signal has ended the call.
                #[cfg(target_pointer_width = "64")]
                Err(Errno::INTR) if self.dir.seek(self.behind).is_ok() => {}
                Err(e) => return Some(Err(e.into())),
                Ok(entry) => {
                    #[cfg(target_os = "linux")]
                    (self.behind = entry.offset());
                    if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                        return Some(Ok(Entry(entry)));
                    }
                }
            }
        }
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
