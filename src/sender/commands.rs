//! Operators' wishes on their way to the sender: small files in `commands/`.
//!
//! Only the sender may write to the store. A process that wants a change and finds another one
//! elected leaves a file here, rings, and waits for the answer beside it. A wish whose author gave
//! up is taken back by its author; one that was left by a dead author is carried out like any other.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::election::Seat;
use super::wake;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::process::pid;
use crate::spool::{Spool, remove_file, replace_file};
use crate::store::RejectedFilter;

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
    /// The same for all up to row `upto` that a filter takes.
    RequeueMatching { filter: RejectedFilter, upto: i64 },
    /// The same.
    DiscardMatching { filter: RejectedFilter, upto: i64 },
    /// Events leave a batch in doubt for the rejected store.
    SetAside(Vec<i64>),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    changed: usize,
    error: Option<String>,
}

/// File name endings of a command that waits, that the sender has, and of its answer.
const WAITING: &str = "json";
const CLAIMED: &str = "claimed";
const ANSWERED: &str = "answer";
/// An author that has not come for its answer by then has died.
const ANSWER_KEPT: Duration = Duration::from_secs(60);
/// How often an author looks for its answer.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who takes a place that has become free while a command waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heir {
    /// The author of the command, who then carries it out.
    ThisProcess,
    /// Whoever stands for election; the author may not send.
    SomebodyElse,
}

/// What has become of a command.
#[derive(Debug)]
pub(super) enum Submitted {
    /// The sender has carried it out, and this many rows have changed.
    Answered(usize),
    /// The sender has ended without it; it is taken back, and here is the place.
    Vacant(Seat),
}

/// Leaves `command` for the sender and waits for its answer.
///
/// Errors: [`ErrorKind::Timeout`] if no sender has taken it by `deadline` (it is taken back),
/// what the sender answered, or [`ErrorKind::Io`].
pub(super) fn submit(
    spool: &Arc<Spool>,
    command: &Command,
    deadline: Instant,
    heir: Heir,
) -> Result<Submitted> {
    let dir = spool.commands_dir();
    spool.ensure_dir(&dir)?;
    let path = dir.join(format!(
        "{:08}-{:020}-{}-{:08x}.{WAITING}",
        spool.boot_count(),
        clock::boot_ns(),
        pid(),
        fastrand::u32(..)
    ));
    replace_file(&path, &encode(command)?)?;
    wake::ring(spool, wake::Ring::Look);

    let answer = path.with_extension(ANSWERED);
    loop {
        if let Some(text) = read(&answer)? {
            let _ = fs::remove_file(&answer);
            let answer: Answer = decode(&answer, &text)?;
            return match answer.error {
                None => Ok(Submitted::Answered(answer.changed)),
                Some(message) => Err(Error::new(ErrorKind::Io, message)),
            };
        }
        // Only who has the place claims commands, so one that is still there nobody has seen.
        if heir == Heir::ThisProcess
            && let Some(seat) = Seat::try_take(spool)?
            && fs::remove_file(&path).is_ok()
        {
            return Ok(Submitted::Vacant(seat));
        }
        if Instant::now() >= deadline {
            // Gone: the sender has claimed it.
            let what = match fs::remove_file(&path) {
                Ok(()) => "did not take the command in time; nothing was changed; try again",
                Err(_) => "is still carrying the command out; look at the outcome",
            };
            let holder = super::election::holder(spool);
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("{}: {holder} sends and {what}", spool.name()),
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Takes the commands that wait out of their authors' hands, the earliest first. What is no command
/// is put aside, and answers that nobody came for are swept.
pub(super) fn claim(spool: &Spool, log: &Log) -> Result<Vec<(PathBuf, Command)>> {
    let dir = spool.commands_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(dir.display(), e)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort_unstable();
    let mut commands = Vec::new();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            // One that is claimed already was by a sender that died: to carry it out again is harmless.
            Some(WAITING | CLAIMED) => {}
            Some(ANSWERED) if is_old(&path) => {
                let _ = fs::remove_file(&path);
                continue;
            }
            _ => continue,
        }
        let claimed = path.with_extension(CLAIMED);
        // Gone: its author has taken it back.
        if fs::rename(&path, &claimed).is_err() {
            continue;
        }
        match read(&claimed).and_then(|text| decode(&claimed, &text.unwrap_or_default())) {
            Ok(command) => commands.push((claimed, command)),
            Err(e) => {
                log.error(format_args!("{e}; put aside as .bad"));
                let _ = fs::rename(&claimed, claimed.with_extension("bad"));
            }
        }
    }
    Ok(commands)
}

/// Answers a claimed command and removes it.
pub(super) fn answer(claimed: &Path, outcome: std::result::Result<usize, &Error>) -> Result<()> {
    let answer = Answer {
        changed: outcome.unwrap_or(0),
        error: outcome.err().map(|e| e.message().to_owned()),
    };
    replace_file(&claimed.with_extension(ANSWERED), &encode(&answer)?)?;
    remove_file(claimed)
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|about| about.modified())
        .map(|at| at.elapsed());
    matches!(age, Ok(Ok(age)) if age > ANSWER_KEPT)
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
