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

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::files::{
    ANSWERED, AT_ONCE, Answer, BAD, Claim, WAITING, answer, claim, decode, read, waiting,
    with_ending, write,
};
pub(crate) use self::files::{bad_ones_naming, remove_bad_ones_naming};
use super::election::{Election, describe_elected};
use super::erasure::Erased;
use super::{Shared, wake};
use crate::clock;
use crate::dispatch::{Carried, Command, in_steps};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{pid, random_u64};
use crate::spool::{Spool, Subdirectory};

/// What a command has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Rows that it changed.
    pub(super) changed: usize,
    /// Of an erasure.
    pub(super) erased: Option<Erased>,
}

/// What whoever carries commands out has to do next.
pub(super) enum Task<'a> {
    /// The next step of a command.
    Step(&'a Command),
    /// All that is known of this user is to be erased.
    Erasure(&'a str),
    /// What is at hand of this user is to be erased, once more.
    ErasureAgain(&'a str),
}

/// What came of it.
pub(super) enum Done {
    Step(Carried),
    Erasure(Erased),
}

/// What is done with the erasures among the commands.
#[derive(Clone, Copy)]
pub(super) enum Erasures<'a> {
    /// They are carried out.
    Now,
    /// The same, and whoever carries them out has left this one: it is not late.
    Own(&'a str),
    /// They wait, and the other commands need not.
    Later,
}

/// How often an author looks for its answer.
const LOOK_EVERY: Duration = Duration::from_millis(10);
impl Shared {
    /// Has the elected process carry `command` out, or this one if none is; says what it has done.
    ///
    /// Errors: [`ErrorKind::Timeout`] if no sender has taken it by `deadline` (it is taken back),
    /// or what came of it.
    pub(super) fn command(&self, command: &Command, deadline: Instant) -> Result<Outcome> {
        let spool = &self.spool;
        spool.refuse_forwarded()?;
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
            if let Some(election) = Election::try_win_for(spool, &self.own_election)? {
                let carried = match command {
                    Command::Forget { .. } => self.erase_as(election, &waiting.name, deadline),
                    _ => self.carry_out_as(&election, deadline),
                };
                if let Err(e) = carried {
                    waiting.take_back();
                    return Err(e);
                }
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
        let _ = carry_out_waiting(self, election, Erasures::Later, &mut |task| {
            let Task::Step(step) = task else {
                return Ok(None);
            };
            let carried = state.dispatcher.carry_out(step, clock::now())?;
            self.keep_committed_of(&state)?;
            Ok(Some(Done::Step(carried)))
        });
        for note in state.dispatcher.take_notes() {
            note.write(&self.log);
        }
        Ok(())
    }

    /// The same where one of them is an erasure, which takes over and goes on in other ledgers, as a sender does.
    #[cold]
    fn erase_as(&self, election: Election, own: &str, deadline: Instant) -> Result<()> {
        // Threads of this process would send. Its coordinator stands for election, and carries the command out.
        if self.threads.has_lanes() {
            drop(election);
            std::thread::sleep(LOOK_EVERY);
            return Ok(());
        }
        let damage = self.session_until(deadline)?.damage().cloned();
        let state = self.open_state(&election, damage)?;
        let election = Arc::new(election);
        self.session_until(deadline)?.open(state, election.clone());
        // Their errors are their answers.
        let _ = carry_out_waiting(self, &election, Erasures::Own(own), &mut |task| {
            self.carry_out(&election, task, &mut || Ok(()))
        });
        self.session().close();
        Ok(())
    }

    /// Carries a task out in the session. `alive` is called after each step.
    #[cold]
    pub(super) fn carry_out(
        &self,
        election: &Election,
        task: Task<'_>,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<Done>> {
        match task {
            Task::Step(step) => {
                let carried = self.step(|state| state.dispatcher.carry_out(step, clock::now()))?;
                self.keep_committed()?;
                alive()?;
                Ok(carried.map(Done::Step))
            }
            Task::Erasure(user) => Ok(self.erase(election, user, alive)?.map(Done::Erasure)),
            Task::ErasureAgain(user) => Ok(self.erase_at_hand(user)?.map(Done::Erasure)),
        }
    }

    /// Carries out what does not wait for the erasure that is under way. That a command fails is its answer, and the
    /// next step of the erasure finds the state gone.
    #[cold]
    pub(super) fn carry_out_meanwhile(&self, election: &Election) {
        let _ = carry_out_waiting(self, election, Erasures::Later, &mut |task| {
            self.carry_out(election, task, &mut || Ok(()))
        });
    }

    /// Says that a file was no command. Of many it says the first, the second, the fourth and so on.
    fn say_bad_command(&self, why: &Error) {
        let number = 1 + self.bad_commands.fetch_add(1, Ordering::Relaxed);
        if number.is_power_of_two() {
            self.log.error(format_args!(
                "{why}; put aside as .bad ({number} since this sender began)"
            ));
        }
    }
}

/// A command that its author has left for the sender.
struct Waiting {
    commands: Subdirectory,
    name: String,
}

impl Waiting {
    fn leave(spool: &Spool, command: &Command) -> Result<Self> {
        let commands = spool.commands();
        let name = format!(
            "{:08}-{:020}-{}-{:08x}.{WAITING}",
            spool.boot_count(),
            clock::boot_ns(),
            pid(),
            random_u64() as u32
        );
        write(&commands.ensure()?, &name, command)?;
        Ok(Self { commands, name })
    }

    /// The answer, once there is one.
    fn take_answer(&self) -> Result<Option<Result<Outcome>>> {
        let dir = self.commands.require()?;
        let name = with_ending(&self.name, ANSWERED);
        let Some(text) = read(&dir, &name)? else {
            return Ok(None);
        };
        let _ = dir.remove(&name);
        let answer: Answer = decode(&dir, &name, &text)?;
        Ok(Some(match answer.error {
            None => Ok(Outcome {
                changed: answer.changed,
                erased: answer.erased,
            }),
            Some(error) => Err(error.into_error()),
        }))
    }

    /// Takes the command back; says whether no sender had claimed it.
    fn take_back(&self) -> bool {
        let dir = self.commands.require();
        dir.is_ok_and(|dir| dir.remove(&self.name).is_ok_and(|was_there| was_there))
    }

    /// Whether the sender has put the command aside, as none. The file goes: it may name a user.
    fn is_unknown(&self) -> bool {
        let dir = self.commands.require();
        dir.is_ok_and(|dir| {
            let removed = dir.remove(&with_ending(&self.name, BAD));
            removed.is_ok_and(|was_there| was_there)
        })
    }

    fn give_up(&self, spool: &Spool) -> Error {
        let what = if self.take_back() {
            "did not take the command in time; nothing was changed; try again"
        } else if self.is_unknown() {
            "is of an older version that does not know the command; nothing was changed; update that program"
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
    shared: &Shared,
    election: &Election,
    erasures: Erasures<'_>,
    carry_out: &mut dyn FnMut(Task<'_>) -> Result<Option<Done>>,
) -> Result<usize> {
    let mut count = 0;
    let Some(dir) = shared.spool.commands().open()? else {
        return Ok(count);
    };
    let names = waiting(&dir)?;
    let is_full = names.len() == AT_ONCE;
    let mut are_fewer = false;
    for name in names {
        let (claimed, command) = match claim(&dir, &name, election) {
            Claim::Command(claimed, command) => (claimed, command),
            Claim::Gone => continue,
            Claim::Bad(e) => {
                are_fewer = true;
                shared.say_bad_command(&e);
                continue;
            }
        };
        if let Command::Forget {
            boot_count,
            until_ns,
            ..
        } = &command
        {
            let is_own = match erasures {
                Erasures::Later => continue,
                Erasures::Now => false,
                Erasures::Own(own) => own == name,
            };
            if !is_own && let Err(e) = shared.check_erasure(*boot_count, *until_ns) {
                answer(&dir, &claimed, election, Err(&e))?;
                continue;
            }
        }
        match carry_out_one(&command, carry_out) {
            // The state is gone: the next elected sender carries the command out as a whole.
            Ok(None) => break,
            Ok(Some(outcome)) => answer(&dir, &claimed, election, Ok(outcome))?,
            Err(e) => {
                answer(&dir, &claimed, election, Err(&e))?;
                return Err(e);
            }
        }
        count += 1;
    }
    // After the sender has looked at everything else; and not for files that it cannot rename.
    if is_full && (are_fewer || count > 0) {
        wake::send(&shared.spool, wake::Wake::Look);
    }
    Ok(count)
}

/// Carries a command out; `None`: the state is gone.
fn carry_out_one(
    command: &Command,
    carry_out: &mut dyn FnMut(Task<'_>) -> Result<Option<Done>>,
) -> Result<Option<Outcome>> {
    if let Command::Forget { user, again, .. } = command {
        let task = match again {
            true => Task::ErasureAgain(user),
            false => Task::Erasure(user),
        };
        let erased = match carry_out(task)? {
            Some(Done::Erasure(erased)) => erased,
            Some(Done::Step(_)) | None => return Ok(None),
        };
        return Ok(Some(Outcome {
            changed: 0,
            erased: Some(erased),
        }));
    }
    let changed = in_steps(command, |step| {
        Ok(match carry_out(Task::Step(step))? {
            Some(Done::Step(carried)) => Some(carried),
            Some(Done::Erasure(_)) | None => None,
        })
    })?;
    Ok(changed.map(|changed| Outcome {
        changed,
        erased: None,
    }))
}

mod files;
#[cfg(test)]
mod tests;
