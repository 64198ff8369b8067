//! Operators' commands: from their rows to the threads of their lanes, and the answers back.

use std::collections::BTreeSet;
use std::sync::Arc;

use meditopia::internals::lanes::Command as LaneCommand;

use super::inbox;
use super::owned::OwnedLanes;
use super::pool::Pool;
use crate::command::{self, Answer, Asked, Command};
use crate::failure::Result;

/// The commands that were handed to lanes and are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Commands {
    handed: BTreeSet<Asked>,
}

impl Commands {
    /// Hands what waits for these lanes to their threads. Each answers when it comes to it, after the request that it
    /// has in flight.
    ///
    /// # Errors
    /// Those of [`Pool::with`].
    pub(super) fn hand_over(&mut self, pool: &Arc<Pool>, lanes: &OwnedLanes) -> Result<()> {
        let owned: Vec<i16> = lanes.threads().map(super::lane::LaneThread::lane).collect();
        let waiting = pool.with(|connection| command::waiting(connection, &owned))?;
        // What is answered or withdrawn is not waited for; what a thread that has ended was handed may be handed again.
        self.handed
            .retain(|asked| waiting.iter().any(|waiting| waiting.asked == *asked));
        for waiting in waiting {
            let asked = waiting.asked;
            let Some(what) = waiting.command else {
                let unknown =
                    "the relay that owns the lane is older than this command; use a newer relay";
                answer(pool, asked, Answer::Error(unknown.to_owned()))?;
                continue;
            };
            if let Some(thread) = lanes.thread(asked.lane)
                && self.handed.insert(asked)
            {
                let pool = pool.clone();
                thread.ask(inbox::Asked {
                    command: of_lane(what),
                    answer: Box::new(move |done| {
                        let said = match done {
                            Ok(rows) => Answer::Changed(rows as u64),
                            Err(error) => Answer::Error(error.message().to_owned()),
                        };
                        // An operator who gets no answer asks again, which does no harm.
                        let _ = answer(&pool, asked, said);
                    }),
                });
            }
        }
        Ok(())
    }

    /// The thread of this lane has ended: what it had not come to is handed to the next one.
    pub(super) fn forget(&mut self, lane: i16) {
        self.handed.retain(|asked| asked.lane != lane);
    }
}

fn answer(pool: &Pool, asked: Asked, answer: Answer) -> Result<()> {
    pool.with(|connection| command::answer(connection, asked, &answer))
}

fn of_lane(command: Command) -> LaneCommand {
    match command {
        Command::Resume => LaneCommand::Resume,
        Command::ResumeAllowing { rejections } => LaneCommand::ResumeAllowing { rejections },
        Command::SetAside(ids) => LaneCommand::SetAside(ids),
        Command::Bisect(ids) => LaneCommand::Bisect(ids),
    }
}
