//! The size up to which this process may write files: `ulimit -f`, RLIMIT_FSIZE.
//!
//! A write beyond it raises SIGXFSZ, which ends a process that does not expect it. So no file of a
//! spool grows beyond it: files are followed by the next ones earlier.

use std::fs::File;
use std::io::{self, Write};

use rustix::process::{Resource, getrlimit};

use crate::error::{Error, ErrorKind, Result};

/// With less than this, a store cannot go on: it writes files of so many bytes at once.
const LEAST_BYTES: u64 = 2 * 1024 * 1024;

/// The most bytes that a file may have; `u64::MAX`: there is no limit.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Fails where the file would become larger than `limit`, without the call that raises the signal.
pub(crate) fn check_file_limit(end: u64, limit: u64) -> io::Result<()> {
    match end <= limit {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EFBIG)),
    }
}

/// A new file that is written from its beginning, and does not grow beyond the limit.
pub(crate) struct LimitedFile {
    file: File,
    written: u64,
}

impl LimitedFile {
    pub(crate) fn new(file: File) -> Self {
        Self { file, written: 0 }
    }
}

impl Write for LimitedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check_file_limit(self.written + bytes.len() as u64, file_limit())?;
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Refuses to work with a limit that is too low; `spool` is how messages name the spool.
pub(super) fn refuse_low_file_limit(spool: &str) -> Result<()> {
    match file_limit() {
        limit if limit >= LEAST_BYTES => Ok(()),
        limit => Err(Error::new(
            ErrorKind::Io,
            format!(
                "{spool}: this process may write files of {limit} bytes at most (ulimit -f, RLIMIT_FSIZE); a spool needs {LEAST_BYTES}; raise the limit"
            ),
        )),
    }
}
