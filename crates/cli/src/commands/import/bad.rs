//! The file of the bad records: a JSON object a line, with line, record, field, reason and the record.
//!
//! It holds users' tokens as the input does, so it is its owner's alone. A file that is there is never
//! written over; only an import that goes on takes up its own, cut to what the last commit knew of it.
//! Where that is gone it may go on with another: its records are no reason to queue the good ones twice.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::records::Shown;
use crate::failure::Failure;
use crate::output::complain;
use crate::owner;

/// So many are told on standard error as well.
const TOLD: u64 = 10;

/// One bad record.
#[derive(Serialize)]
pub struct Bad {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// Its number among the records, from 1.
    pub record: u64,
    pub field: Option<&'static str>,
    pub reason: String,
    pub input: Shown,
}

/// How long a file is; `None`: there is none that can be seen.
pub fn length(path: &Path) -> Option<u64> {
    let about = std::fs::symlink_metadata(path).ok()?;
    about.is_file().then_some(about.len())
}

/// Where bad records go.
pub struct BadRecords {
    /// `None`: nowhere but to standard error.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    bytes: u64,
    told: u64,
}

impl BadRecords {
    /// A new file at `path`, made with the first bad record; or the one of an import that goes on, of
    /// which `known` bytes were committed.
    pub fn new(path: Option<PathBuf>, known: Option<u64>) -> Result<Self, Failure> {
        let mut bad = Self {
            path,
            file: None,
            bytes: 0,
            told: 0,
        };
        let Some(path) = &bad.path else {
            return Ok(bad);
        };
        let shown = path.display();
        match (std::fs::symlink_metadata(path), known) {
            (Err(e), None | Some(0)) if e.kind() == io::ErrorKind::NotFound => {}
            (Err(e), Some(_)) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::from(format!(
                    "{shown}: {e}; the interrupted import has noted bad records there; put it back, or name another file with --bad for those to come"
                )));
            }
            (Err(e), _) => {
                let owner = owner::name();
                return Err(Failure::from(format!(
                    "{shown}: cannot be looked at as the spool's owner, {owner}: {e}; let {owner} reach it, or name a file with --bad where {owner} may write"
                )));
            }
            (Ok(_), None) => {
                return Err(Failure::from(format!(
                    "{shown}: is there already; move it away, or name another file with --bad"
                )));
            }
            (Ok(about), Some(known)) if !about.is_file() || about.len() < known => {
                return Err(Failure::from(format!(
                    "{shown}: is shorter than the interrupted import has left it; put that back, or name another file with --bad for the bad records to come"
                )));
            }
            (Ok(_), Some(known)) => {
                let file = OpenOptions::new().append(true).open(path);
                let file = file.and_then(|file| file.set_len(known).map(|()| file));
                bad.file = Some(BufWriter::new(file.map_err(|e| failure(path, &e))?));
                bad.bytes = known;
            }
        }
        Ok(bad)
    }

    /// Its path, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// How long the file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds one.
    pub fn add(&mut self, source: &str, bad: &Bad) -> Result<(), Failure> {
        self.told += 1;
        if self.told <= TOLD {
            complain(format_args!("{source}:{}: {}", bad.line, bad.reason));
        } else if self.told == TOLD + 1 {
            complain(format_args!("{source}: there are more bad lines"));
        }
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut add = || -> io::Result<()> {
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
        add().map_err(|e| failure(path, &e))
    }

    /// All of it is on the disk.
    pub fn sync(&mut self) -> Result<(), Failure> {
        let (Some(path), Some(file)) = (&self.path, &mut self.file) else {
            return Ok(());
        };
        let sync = file.flush().and_then(|()| file.get_ref().sync_all());
        sync.map_err(|e| failure(path, &e))
    }
}

fn failure(path: &Path, cause: &io::Error) -> Failure {
    Failure::from(format!(
        "bad lines cannot be noted in {}: {cause}; name another file with --bad",
        path.display()
    ))
}
