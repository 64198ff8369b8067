//! The file of bad records: one JSON object per line, with line, record, field, reason and the
//! record.
//!
//! Like the input it holds users' tokens, so only its owner can read it. An existing file is never
//! overwritten. An import that continues appends to its own file, after cutting it to the length at
//! the last commit. If that file is gone, the import may continue with another one, because a lost
//! list of bad records is no reason to enqueue the good ones twice.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Serialize;

use super::splitter::OriginalRecord;
use crate::failure::Failure;
use crate::output::print_error;
use crate::owner;

/// This many bad records are also printed to standard error.
const PRINTED: u64 = 10;

/// One bad record.
#[derive(Serialize)]
pub struct BadRecord {
    /// The line in which it begins, counted from 1.
    pub line: u64,
    /// Its number among the records, counted from 1.
    pub record: u64,
    pub field: Option<&'static str>,
    pub reason: String,
    pub input: OriginalRecord,
}

/// The length of a file; `None` if there is no regular file or it is not accessible.
pub fn file_length(path: &Path) -> Option<u64> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Where bad records are written.
pub struct BadRecords {
    /// `None` means only to standard error.
    path: Option<PathBuf>,
    /// Opened with the first bad record.
    file: Option<BufWriter<File>>,
    bytes: u64,
    count: u64,
}

impl BadRecords {
    /// A new file at `path`, created with the first bad record; or the existing file of an import
    /// that continues, of which `committed_bytes` are covered by the last commit.
    pub fn new(path: Option<PathBuf>, committed_bytes: Option<u64>) -> Result<Self, Failure> {
        let mut bad_records = Self {
            path,
            file: None,
            bytes: 0,
            count: 0,
        };
        let Some(path) = &bad_records.path else {
            return Ok(bad_records);
        };
        let shown = path.display();
        match (std::fs::symlink_metadata(path), committed_bytes) {
            (Err(e), None | Some(0)) if e.kind() == io::ErrorKind::NotFound => {}
            (Err(e), Some(_)) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::from(format!(
                    "{shown}: {e}; the interrupted import wrote its bad records there; put the file back, or name another file with --bad for further ones"
                )));
            }
            (Err(e), _) => {
                let owner = owner::current_user();
                return Err(Failure::from(format!(
                    "{shown}: cannot be accessed as the spool's owner, {owner}: {e}; give {owner} access, or name a file with --bad where {owner} may write"
                )));
            }
            (Ok(_), None) => {
                return Err(Failure::from(format!(
                    "{shown}: the file exists already; move it away, or name another file with --bad"
                )));
            }
            (Ok(metadata), Some(committed))
                if !metadata.is_file() || metadata.len() < committed =>
            {
                return Err(Failure::from(format!(
                    "{shown}: the file is shorter than the interrupted import left it; restore it, or name another file with --bad for further bad records"
                )));
            }
            (Ok(_), Some(committed)) => {
                let file = cut(path, committed).map_err(|e| cannot_write(path, &e))?;
                bad_records.file = Some(BufWriter::new(file));
                bad_records.bytes = committed;
            }
        }
        Ok(bad_records)
    }

    /// The path of the file, if bad records are written to one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a bad record.
    pub fn add(&mut self, source: &str, bad: &BadRecord) -> Result<(), Failure> {
        self.count += 1;
        if self.count <= PRINTED {
            print_error(format_args!("{source}:{}: {}", bad.line, bad.reason));
        } else if self.count == PRINTED + 1 {
            print_error(format_args!("{source}: there are more bad records"));
        }
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut write = || -> io::Result<()> {
            let file = match &mut self.file {
                Some(file) => file,
                none => {
                    let mut options = OpenOptions::new();
                    options.append(true).create_new(true).mode(0o600);
                    none.insert(BufWriter::new(options.open(path)?))
                }
            };
            let mut line = serde_json::to_vec(bad)?;
            line.push(b'\n');
            self.bytes += line.len() as u64;
            file.write_all(&line)
        };
        write().map_err(|e| cannot_write(path, &e))
    }

    /// Makes all that was written survive a power cut.
    pub fn sync(&mut self) -> Result<(), Failure> {
        let (Some(path), Some(file)) = (&self.path, &mut self.file) else {
            return Ok(());
        };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|e| cannot_write(path, &e))
    }
}

/// Opens a file to append to it, and cuts it to this length. A link that has taken its name is not followed.
fn cut(path: &Path, bytes: u64) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options
        .append(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() < bytes {
        return Err(io::Error::other("was replaced by another file"));
    }
    file.set_len(bytes)?;
    Ok(file)
}

fn cannot_write(path: &Path, cause: &io::Error) -> Failure {
    Failure::from(format!(
        "cannot write bad records to {}: {cause}; name another file with --bad",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_bad_records_is_cut_only_if_it_is_the_one_that_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("bad"), "committed, and more").unwrap();
        assert!(cut(&at("bad"), 9).is_ok());
        assert_eq!(fs::read(at("bad")).unwrap(), b"committed");

        fs::write(at("other"), "of somebody").unwrap();
        std::os::unix::fs::symlink("other", at("link")).unwrap();
        for not_it in ["link", ".", "bad"] {
            assert!(cut(&at(not_it), 10).is_err(), "{not_it}");
        }
        assert_eq!(fs::read(at("other")).unwrap(), b"of somebody");
    }
}
