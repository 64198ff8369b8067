//! The file of bad records: one JSON object per line, with line, record, field, reason and the
//! record.
//!
//! Like the input it holds users' tokens, so only its owner can read it. An existing file is never
//! overwritten, and never stands in the way: a file that would be in the place of another one gets the time
//! into its name. Only an import that continues appends to its own file, after cutting it to the length at
//! the last commit.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::Serialize;

use super::splitter::OriginalRecord;
use super::{Options, note};
use crate::failure::Failure;
use crate::output::print_error;
use crate::owner;

/// This many bad records are also printed to standard error.
const PRINTED: u64 = 10;
/// So many names are tried for a new file.
const NAMES_MAX: usize = 1_000;

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

/// What the command line says about the file.
pub struct Place {
    /// The file or the directory that `--bad` names.
    pub given: Option<PathBuf>,
    /// The input, or what stands for its name.
    pub input: PathBuf,
}

impl Place {
    /// A path at which there is nothing: the given one if that is free, else one with the time in it.
    fn free(&self) -> Result<PathBuf, Failure> {
        let default = |dir: &Path| {
            let mut name = self.input.file_name().unwrap_or_default().to_owned();
            name.push(".rejected");
            (dir.join(name), ".ndjson")
        };
        let (stem, end) = match &self.given {
            None => default(self.input.parent().unwrap_or(Path::new(""))),
            Some(given) if given.is_dir() => default(given),
            Some(given) if is_free(given)? => return Ok(given.clone()),
            Some(given) => (given.clone(), ""),
        };
        let time = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        for number in 1..=NAMES_MAX {
            let number = match number {
                1 => String::new(),
                more => format!("-{more}"),
            };
            let mut path = stem.clone().into_os_string();
            path.push(format!("-{time}{number}{end}"));
            let path = PathBuf::from(path);
            if is_free(&path)? {
                return Ok(path);
            }
        }
        Err(Failure::from(format!(
            "{}: {NAMES_MAX} names of files of bad records are taken; name another file with --bad",
            stem.display()
        )))
    }
}

/// Whether there is nothing at `path`.
fn is_free(path: &Path) -> Result<bool, Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) => {
            let (shown, owner) = (path.display(), owner::current_user());
            Err(Failure::from(format!(
                "{shown}: cannot be accessed as the spool's owner, {owner}: {e}; give {owner} access, or name a file with --bad where {owner} may write"
            )))
        }
    }
}

/// Whether there is a regular file with at least so many bytes, which an import can go on with.
pub fn has_bytes(path: &Path, bytes: u64) -> bool {
    let metadata = std::fs::symlink_metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() >= bytes)
}

/// Where bad records are written.
pub struct BadRecords {
    /// `None` means only to standard error.
    path: Option<PathBuf>,
    place: Option<Place>,
    /// Opened with the first bad record.
    file: Option<BufWriter<File>>,
    bytes: u64,
    count: u64,
}

impl BadRecords {
    /// A new file, created with the first bad record. Without a place there is none.
    pub fn new(place: Option<Place>) -> Result<Self, Failure> {
        Ok(Self {
            path: place.as_ref().map(Place::free).transpose()?,
            place,
            file: None,
            bytes: 0,
            count: 0,
        })
    }

    /// The file of an import that continues, of which `bytes` are covered by the last commit. If it is not
    /// there any more, a new one: a lost list of bad records is no reason to leave out the good ones.
    pub fn continued(place: Place, path: &Path, bytes: u64) -> Result<Self, Failure> {
        // A given name was only planned, and what has it now may be another import's. One with the time in it is
        // this import's, which was ended before its first commit.
        let is_given = place.given.as_deref() == Some(path);
        if is_given && bytes == 0 && has_bytes(path, 1) {
            return Self::new(Some(place));
        }
        if bytes > 0 && !has_bytes(path, bytes) {
            print_error(format_args!(
                "import: {}, with the bad records so far, is gone or shorter than it was; further ones go to another file",
                path.display()
            ));
            return Self::new(Some(place));
        }
        let file = match cut(path, bytes) {
            Ok(file) => Some(BufWriter::new(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(cannot_write(path, &e)),
        };
        Ok(Self {
            path: Some(path.to_owned()),
            place: Some(place),
            file,
            bytes,
            count: 0,
        })
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
    pub fn add(&mut self, options: &Options, bad: &BadRecord) -> Result<(), Failure> {
        self.count += 1;
        let source = options.source();
        if self.count <= PRINTED {
            note(
                options,
                format_args!("{source}:{}: {}", bad.line, bad.reason),
            );
        } else if self.count == PRINTED + 1 {
            note(
                options,
                format_args!("{source}: there are more bad records"),
            );
        }
        if self.path.is_none() {
            return Ok(());
        }
        self.create()?;
        let (Some(path), Some(file)) = (&self.path, &mut self.file) else {
            return Ok(());
        };
        let written = serde_json::to_vec(bad)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.bytes += line.len() as u64;
                file.write_all(&line)
            });
        written.map_err(|e| cannot_write(path, &e))
    }

    /// Creates the file if it is not open. If its name was taken meanwhile, it gets another one.
    fn create(&mut self) -> Result<(), Failure> {
        while let (Some(path), None) = (&self.path, &self.file) {
            let mut options = OpenOptions::new();
            options.append(true).create_new(true).mode(0o600);
            match (options.open(path), &self.place) {
                (Ok(file), _) => self.file = Some(BufWriter::new(file)),
                (Err(e), Some(place)) if e.kind() == ErrorKind::AlreadyExists => {
                    self.path = Some(place.free()?);
                }
                (Err(e), _) => return Err(cannot_write(path, &e)),
            }
        }
        Ok(())
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
