//! Operators' wishes on their way to the sender: small files in `commands/`.
//!
//! Only the sender may write to the store. A process that wants a change and finds another one
//! elected leaves a file here, rings, and waits for the answer beside it. A wish whose author gave
//! up is taken back by its author; one that was left by a dead author is carried out like any other.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::wake;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::process::pid;
use crate::spool::{Spool, replace_file};

/// A change that only the sender may make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Stop sending; enqueue goes on.
    Hold,
    /// Go on after any pause.
    Resume,
    /// Rejected events go back to the end of their lanes.
    Requeue(Vec<i64>),
    /// Rejected events are forgotten.
    Discard(Vec<i64>),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    changed: usize,
    error: Option<String>,
}

/// How often an author looks for its answer.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Leaves `command` for the sender and waits for its answer: how many rows it changed.
///
/// Errors: [`ErrorKind::Timeout`] if no sender has taken it within `timeout` (it is taken back),
/// what the sender answered, or [`ErrorKind::Io`].
pub(crate) fn submit(spool: &Spool, command: &Command, timeout: Duration) -> Result<usize> {
    let dir = spool.commands();
    spool.make_dir(&dir)?;
    let path = dir.join(format!(
        "{:020}-{}-{:08x}.json",
        clock::boot_ns(),
        pid(),
        fastrand::u32(..)
    ));
    replace_file(&path, &encode(command)?)?;
    wake::ring(spool, wake::Ring::Look);

    let deadline = Instant::now() + timeout;
    let answer = path.with_extension("answer");
    loop {
        if let Some(text) = read(&answer)? {
            let _ = fs::remove_file(&answer);
            let answer: Answer = decode(&answer, &text)?;
            return match answer.error {
                None => Ok(answer.changed),
                Some(message) => Err(Error::new(ErrorKind::Io, message)),
            };
        }
        if Instant::now() >= deadline {
            return match fs::remove_file(&path) {
                Ok(()) => Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "{}: {} sends but did not answer in time; nothing was changed; try again",
                        spool.name(),
                        super::election::holder(spool)
                    ),
                )),
                Err(_) => Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "{}: the sender is still at it; look at the outcome",
                        spool.name()
                    ),
                )),
            };
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The commands that wait, the earliest first.
pub(super) fn waiting(spool: &Spool) -> Result<Vec<(PathBuf, Command)>> {
    let dir = spool.commands();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(dir.display(), e)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort_unstable();
    let mut commands = Vec::new();
    for path in paths {
        // Gone: its author has taken it back.
        let Some(text) = read(&path)? else { continue };
        match decode(&path, &text) {
            Ok(command) => commands.push((path, command)),
            Err(e) => answer(&path, &Err(e))?,
        }
    }
    Ok(commands)
}

/// Answers a command and removes it.
pub(super) fn answer(path: &Path, outcome: &Result<usize>) -> Result<()> {
    let answer = Answer {
        changed: *outcome.as_ref().unwrap_or(&0),
        error: outcome.as_ref().err().map(|e| e.message().to_owned()),
    };
    replace_file(&path.with_extension("answer"), &encode(&answer)?)?;
    fs::remove_file(path).map_err(|e| Error::io(path.display(), e))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path.display(), e)),
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::new(ErrorKind::Internal, format!("command: {e}")))
}

fn decode<T: for<'a> Deserialize<'a>>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: {e}", path.display()),
        )
    })
}
