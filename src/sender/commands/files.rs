//! The files of commands: how they are named, written, claimed and answered.

use std::collections::BinaryHeap;
use std::io::ErrorKind as IoKind;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::election::Election;
use super::super::erasure::Erased;
use super::Outcome;
use crate::clock;
use crate::dispatch::Command;
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::spool::{Dir, Safety, Spool};

/// File name endings of a command that waits, that the sender has, and of its answer.
pub(super) const WAITING: &str = "json";
pub(super) const CLAIMED: &str = "claimed";
pub(super) const ANSWERED: &str = "answer";
/// Of a file that is no command.
pub(super) const BAD: &str = "bad";
/// An author that has not come for its answer by then has died.
const ANSWER_KEPT: Duration = Duration::from_secs(60);
/// So many commands are carried out at a look, and so many answers looked at. The others wait for the next one.
pub(super) const AT_ONCE: usize = 1_000;
/// A command names the events that it is about, perhaps each by its number.
pub(super) const BYTES_AT_MOST: usize = 64 * 1024 * 1024;

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) changed: usize,
    #[serde(default)]
    pub(super) erased: Option<Erased>,
    pub(super) error: Option<AnsweredError>,
}

/// An error on its way to another process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AnsweredError {
    kind: String,
    message: String,
    pause_reason: Option<String>,
}

/// The first files of commands, the earliest first. Removes answers that nobody has come for.
pub(super) fn waiting(dir: &Dir) -> Result<Vec<String>> {
    let mut names = BinaryHeap::new();
    let mut answers = 0;
    for entry in dir.entries().map_err(|e| dir.own_error(e))?.flatten() {
        let Some(name) = entry.name() else {
            continue;
        };
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            // A sender that died has claimed it: to carry it out again is harmless.
            Some(WAITING | CLAIMED) => {
                names.push(name.to_owned());
                if names.len() > AT_ONCE {
                    names.pop();
                }
            }
            Some(ANSWERED) if answers < AT_ONCE => {
                answers += 1;
                if is_old(dir, name) {
                    let _ = dir.remove(name);
                }
            }
            _ => {}
        }
    }
    Ok(names.into_sorted_vec())
}

/// The files that were put aside as none, and name a user.
#[cold]
pub(crate) fn bad_ones_naming(spool: &Spool, user: &str) -> Result<Vec<String>> {
    let mut naming = Vec::new();
    let Some(dir) = spool.commands().open()? else {
        return Ok(naming);
    };
    // As a command has it.
    let quoted = serde_json::Value::from(user).to_string();
    for entry in dir.entries().map_err(|e| dir.own_error(e))?.flatten() {
        let Some(name) = entry.name() else { continue };
        if name.rsplit_once('.').is_some_and(|(_, ending)| ending == BAD)
            // What is too large is no command either.
            && let Ok(Some(text)) = read(&dir, name)
            && text.windows(quoted.len()).any(|at| at == quoted.as_bytes())
        {
            naming.push(name.to_owned());
        }
    }
    Ok(naming)
}

/// Removes these.
#[cold]
pub(crate) fn remove_bad_ones_naming(spool: &Spool, user: &str) -> Result<()> {
    for name in bad_ones_naming(spool, user)? {
        let dir = spool.commands().require()?;
        dir.remove(&name).map_err(|e| dir.error(&name, e))?;
    }
    Ok(())
}

/// What has become of the file of a command.
pub(super) enum Claim {
    /// Its author has no say any more: the file's name, and the command.
    Command(String, Command),
    /// Its author has taken it back.
    Gone,
    /// It is no command, and was put aside.
    Bad(Error),
}

/// Takes a command out of its author's hands.
pub(super) fn claim(dir: &Dir, name: &str, _election: &Election) -> Claim {
    let claimed = with_ending(name, CLAIMED);
    if dir.rename(name, dir, &claimed).is_err() {
        return Claim::Gone;
    }
    match read(dir, &claimed).and_then(|text| decode(dir, &claimed, &text.unwrap_or_default())) {
        Ok(command) => Claim::Command(claimed, command),
        Err(e) => {
            let _ = dir.rename(&claimed, dir, &with_ending(name, BAD));
            Claim::Bad(e)
        }
    }
}

/// Answers a claimed command and removes it.
pub(super) fn answer(
    dir: &Dir,
    claimed: &str,
    _election: &Election,
    outcome: std::result::Result<Outcome, &Error>,
) -> Result<()> {
    let done = outcome.unwrap_or_default();
    let answer = Answer {
        changed: done.changed,
        erased: done.erased,
        error: outcome.err().map(AnsweredError::from_error),
    };
    write(dir, &with_ending(claimed, ANSWERED), &answer)?;
    dir.remove(claimed).map_err(|e| dir.error(claimed, e))?;
    Ok(())
}

impl AnsweredError {
    pub(super) fn from_error(error: &Error) -> Self {
        Self {
            kind: error.kind().name().to_owned(),
            message: error.message().to_owned(),
            pause_reason: error.pause_reason().map(|reason| reason.name().to_owned()),
        }
    }

    pub(super) fn into_error(self) -> Error {
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

fn is_old(dir: &Dir, name: &str) -> bool {
    let kept_ms = ANSWER_KEPT.as_millis() as i64;
    let changed_ms = dir
        .about(name)
        .map(|about| about.st_mtime.saturating_mul(1_000));
    changed_ms.is_ok_and(|changed_ms| clock::wall_ms().saturating_sub(changed_ms) > kept_ms)
}

/// The name with another ending.
pub(super) fn with_ending(name: &str, ending: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("{stem}.{ending}")
}

pub(super) fn read(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>> {
    match dir.read(name, BYTES_AT_MOST) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(dir.error(name, e)),
    }
}

/// Writes a file that appears as a whole.
pub(super) fn write(dir: &Dir, name: &str, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("command: {e}")))?;
    if text.len() > BYTES_AT_MOST {
        let what = "command: names too many events for one call; split it";
        return Err(Error::new(ErrorKind::InvalidArgument, what.to_owned()));
    }
    dir.replace(name, &text, Safety::Process)
        .map_err(|e| dir.error(name, e))
}

pub(super) fn decode<T: for<'a> Deserialize<'a>>(dir: &Dir, name: &str, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: {e}", dir.path(name).display()),
        )
    })
}
