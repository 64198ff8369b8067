//! Operators' commands on their way to the sender: small files in `commands/`.
//!
//! Only the elected process may write to the store. A process that wants a change leaves a file
//! here, wakes the sender, and waits for the answer beside it. If no process is elected, the author
//! wins the election itself. Either way all files are carried out in the order of their time, also
//! those that a sender had claimed when it died: so an old `hold` cannot undo a new `resume`. An
//! author that gives up takes its file back; the file of an author that died is carried out like
//! any other.
//!
//! The files are not synced: no author outlives a power cut.

use std::fs;
use std::io::{ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::election::{Election, describe_elected};
use super::{Shared, wake};
use crate::clock;
use crate::dispatch::{Carried, Command, in_steps};
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::log::Log;
use crate::process::{pid, random_u64};
use crate::spool::{Spool, private_file, remove_file};

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    changed: usize,
    error: Option<AnsweredError>,
}

/// An error on its way to another process.
#[derive(Debug, Serialize, Deserialize)]
struct AnsweredError {
    kind: String,
    message: String,
    pause_reason: Option<String>,
}

/// File name endings of a command that waits, that the sender has, and of its answer.
const WAITING: &str = "json";
const CLAIMED: &str = "claimed";
const ANSWERED: &str = "answer";
/// An author that has not come for its answer by then has died.
const ANSWER_KEPT: Duration = Duration::from_secs(60);
/// How often an author looks for its answer.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Shared {
    /// Has the elected process carry `command` out, or this one if none is; says how many rows it
    /// changed.
    ///
    /// Errors: [`ErrorKind::Timeout`] if no sender has taken it by `deadline` (it is taken back),
    /// or what came of it.
    pub(super) fn command(&self, command: &Command, deadline: Instant) -> Result<usize> {
        let spool = &self.spool;
        let waiting = match Waiting::leave(spool, command) {
            // An operator must be able to act on a full disk of all days.
            Err(e) if e.kind() == ErrorKind::SpoolFull => {
                spool.reserve().release()?;
                Waiting::leave(spool, command)?
            }
            left => left?,
        };
        wake::send(spool, wake::Wake::Look);
        loop {
            if let Some(election) = Election::try_win_for(spool, &self.own_election)?
                && let Err(e) = self.carry_out_as(&election, deadline)
            {
                waiting.take_back();
                return Err(e);
            }
            if let Some(answer) = waiting.take_answer()? {
                return answer;
            }
            if Instant::now() >= deadline {
                return Err(waiting.give_up(spool));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Carries out all commands that wait, in the place of a sender.
    fn carry_out_as(&self, election: &Election, deadline: Instant) -> Result<()> {
        let damage = self.session_until(deadline)?.damage().cloned();
        let mut state = self.open_state(election, damage)?;
        // The error of a command is its answer, and the state that failed is not used again.
        let _ = carry_out_waiting(&self.spool, &self.log, election, |step| {
            let carried = state.dispatcher.carry_out(step, clock::now())?;
            self.keep_committed_of(&state)?;
            Ok(Some(carried))
        });
        for note in state.dispatcher.take_notes() {
            note.write(&self.log);
        }
        Ok(())
    }
}

/// A command that its author has left for the sender.
struct Waiting {
    path: PathBuf,
}

impl Waiting {
    fn leave(spool: &Spool, command: &Command) -> Result<Self> {
        let dir = spool.commands_dir();
        spool.ensure_dir(&dir)?;
        let path = dir.join(format!(
            "{:08}-{:020}-{}-{:08x}.{WAITING}",
            spool.boot_count(),
            clock::boot_ns(),
            pid(),
            random_u64() as u32
        ));
        write(&path, command)?;
        Ok(Self { path })
    }

    /// The answer, once there is one.
    fn take_answer(&self) -> Result<Option<Result<usize>>> {
        let path = self.path.with_extension(ANSWERED);
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        let _ = fs::remove_file(&path);
        let answer: Answer = decode(&path, &text)?;
        Ok(Some(match answer.error {
            None => Ok(answer.changed),
            Some(error) => Err(error.into_error()),
        }))
    }

    /// Takes the command back; says whether no sender had claimed it.
    fn take_back(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    fn give_up(&self, spool: &Spool) -> Error {
        let what = if self.take_back() {
            "did not take the command in time; nothing was changed; try again"
        } else {
            "is still carrying the command out; look at the outcome"
        };
        let elected = describe_elected(spool);
        let name = spool.name();
        Error::new(
            ErrorKind::Timeout,
            format!("{name}: {elected} sends and {what}"),
        )
    }
}

/// Carries out the commands that wait, the earliest first, by `step`, and answers each; says how
/// many there were. If one fails, those behind it go on waiting.
pub(super) fn carry_out_waiting(
    spool: &Spool,
    log: &Log,
    election: &Election,
    mut step: impl FnMut(&Command) -> Result<Option<Carried>>,
) -> Result<usize> {
    let mut count = 0;
    for path in waiting(spool)? {
        let Some((claimed, command)) = claim(&path, log, election) else {
            continue;
        };
        match in_steps(&command, &mut step) {
            // The state is gone: the next elected sender carries the command out as a whole.
            Ok(None) => break,
            Ok(Some(changed)) => answer(&claimed, election, Ok(changed))?,
            Err(e) => {
                answer(&claimed, election, Err(&e))?;
                return Err(e);
            }
        }
        count += 1;
    }
    Ok(count)
}

/// The files of commands, the earliest first. Removes answers that nobody has come for.
fn waiting(spool: &Spool) -> Result<Vec<PathBuf>> {
    let dir = spool.commands_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(dir.display(), e)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.retain(
        |path| match path.extension().and_then(|extension| extension.to_str()) {
            // A sender that died has claimed it: to carry it out again is harmless.
            Some(WAITING | CLAIMED) => true,
            Some(ANSWERED) if is_old(path) => {
                let _ = fs::remove_file(path);
                false
            }
            _ => false,
        },
    );
    paths.sort_unstable();
    Ok(paths)
}

/// Takes a command out of its author's hands; `None`: the author has taken it back, or it is no
/// command, and then it is put aside.
fn claim(path: &Path, log: &Log, _election: &Election) -> Option<(PathBuf, Command)> {
    let claimed = path.with_extension(CLAIMED);
    fs::rename(path, &claimed).ok()?;
    match read(&claimed).and_then(|text| decode(&claimed, &text.unwrap_or_default())) {
        Ok(command) => Some((claimed, command)),
        Err(e) => {
            log.error(format_args!("{e}; put aside as .bad"));
            let _ = fs::rename(&claimed, claimed.with_extension("bad"));
            None
        }
    }
}

/// Answers a claimed command and removes it.
fn answer(
    claimed: &Path,
    _election: &Election,
    outcome: std::result::Result<usize, &Error>,
) -> Result<()> {
    let answer = Answer {
        changed: outcome.unwrap_or(0),
        error: outcome.err().map(AnsweredError::from_error),
    };
    write(&claimed.with_extension(ANSWERED), &answer)?;
    remove_file(claimed)
}

impl AnsweredError {
    fn from_error(error: &Error) -> Self {
        Self {
            kind: error.kind().name().to_owned(),
            message: error.message().to_owned(),
            pause_reason: error.pause_reason().map(|reason| reason.name().to_owned()),
        }
    }

    fn into_error(self) -> Error {
        // A newer version may know another kind.
        let kind = ErrorKind::from_name(&self.kind).unwrap_or(ErrorKind::Io);
        let error = Error::new(kind, self.message);
        match self
            .pause_reason
            .as_deref()
            .and_then(PauseReason::from_name)
        {
            Some(reason) => error.paused_for(reason),
            None => error,
        }
    }
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

/// Writes a file that appears as a whole.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("command: {e}")))?;
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = private_file().truncate(true).open(&fresh)?;
        file.write_all(&text)?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| Error::io(path.display(), e))
}

fn decode<T: for<'a> Deserialize<'a>>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: {e}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests;
