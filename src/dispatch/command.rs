//! What operators ask for, and how it is carried out: in steps, each of which is a commit.

use serde::{Deserialize, Serialize};

use super::Dispatcher;
use crate::clock::Moment;
use crate::delivery::{Engine, PauseChange};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{RejectedFilter, Store};

/// A change that only the sender may make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stop sending; enqueue goes on.
    Hold,
    /// Go on after any pause.
    Resume,
    /// The same, and let so many events be rejected whatever the brake would say.
    ResumeAllowing {
        /// How many.
        rejections: u64,
    },
    /// Rejected events go back to the end of their lanes.
    Requeue(Vec<i64>),
    /// Rejected events are forgotten.
    Discard(Vec<i64>),
    /// The same for all up to row `upto` that a filter takes.
    RequeueMatching {
        /// Which ones.
        filter: RejectedFilter,
        /// The last row that was there when the operator asked.
        upto: i64,
    },
    /// The same.
    DiscardMatching {
        /// Which ones.
        filter: RejectedFilter,
        /// The last row that was there when the operator asked.
        upto: i64,
    },
    /// Events leave a batch in doubt for the rejected store.
    SetAside(Vec<i64>),
    /// The batches in doubt that have one of these events are searched for the events on which the API fails.
    Bisect(Vec<i64>),
    /// An operator knows of so much damage.
    AcknowledgeDamage {
        /// How many records.
        upto: u64,
    },
    /// Everything is erased that is known of a user. The sender does it, which has the journal and the files.
    Forget {
        /// The `partner_user_id`.
        user: String,
        /// Of this boot of the host.
        boot_count: u32,
        /// The author waits until then; later it is not begun.
        until_ns: u64,
        /// It was carried out once: only what is at hand of the user goes, and what is bound is counted. An
        /// older sender does all of it again.
        #[serde(default)]
        again: bool,
    },
}

/// What a step of a command has done.
pub(crate) struct Carried {
    /// Rows that it changed.
    pub(crate) changed: usize,
    /// What is left to do.
    pub(crate) rest: Option<Command>,
}

/// Carries out `command`, each step by itself, so that others come to the store in between; says
/// how many rows were changed. `None`: the state has gone meanwhile.
pub(crate) fn in_steps(
    command: &Command,
    mut step: impl FnMut(&Command) -> Result<Option<Carried>>,
) -> Result<Option<usize>> {
    let mut changed = 0;
    let mut rest = Some(command.clone());
    while let Some(next) = rest {
        let Some(carried) = step(&next)? else {
            return Ok(None);
        };
        changed += carried.changed;
        rest = carried.rest;
    }
    Ok(Some(changed))
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Takes the first step of `command`.
    pub(crate) fn carry_out(&mut self, command: &Command, now: Moment) -> Result<Carried> {
        let mut rest = None;
        let changed = match command {
            Command::Hold => {
                let change = self.engine.hold(now);
                self.tell_pause(change, now);
                self.commit_pause()?;
                Ok(usize::from(change.is_some()))
            }
            Command::Resume => self.resume(now, Engine::resume),
            Command::ResumeAllowing { rejections } => {
                self.resume(now, |engine| engine.resume_allowing(*rejections))
            }
            Command::Requeue(ids) => {
                let found = self.found(ids)?;
                self.requeue(&found)
            }
            Command::Discard(ids) => {
                let found = self.found(ids)?;
                self.discard(&found)
            }
            Command::RequeueMatching { filter, upto } => {
                let (found, behind) = self.matching(filter, *upto)?;
                let upto = *upto;
                rest = behind.map(|filter| Command::RequeueMatching { filter, upto });
                self.requeue(&found)
            }
            Command::DiscardMatching { filter, upto } => {
                let (found, behind) = self.matching(filter, *upto)?;
                let upto = *upto;
                rest = behind.map(|filter| Command::DiscardMatching { filter, upto });
                self.discard(&found)
            }
            Command::SetAside(ids) => self.set_aside(ids, now),
            Command::Bisect(ids) => self.bisect(ids, now),
            Command::AcknowledgeDamage { upto } => {
                let mut totals = self.totals;
                let before = totals.damage_acknowledged;
                totals.damage_acknowledged = totals.damage().min(*upto).max(before);
                self.commit_with_totals(Vec::new(), totals)?;
                Ok((totals.damage_acknowledged - before) as usize)
            }
            Command::Forget { .. } => {
                let what = "an erasure is no step of the lanes";
                Err(Error::new(ErrorKind::Internal, what))
            }
        }?;
        Ok(Carried { changed, rest })
    }

    fn resume(
        &mut self,
        now: Moment,
        resume: impl FnOnce(&mut Engine) -> Option<PauseChange>,
    ) -> Result<usize> {
        let refused_before = self.engine.refused_in_a_row().len();
        let change = resume(&mut self.engine);
        self.watch_brake(refused_before, None);
        self.totals.measures.allowed_rejections = self.engine.allowed_rejections();
        self.tell_pause(change, now);
        let totals = self.totals;
        self.commit_with_totals(Vec::new(), totals)?;
        self.commit_pause()?;
        Ok(usize::from(change.is_some()))
    }
}
