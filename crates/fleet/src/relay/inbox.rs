//! What other threads tell the thread of a lane, and how they wake it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meditopia::Result;
use meditopia::internals::lanes::Command;

/// A command of an operator, and who is told what has come of it.
pub struct Asked {
    /// The command.
    pub command: Command,
    /// Is called with the number of rows that it has changed.
    pub answer: Box<dyn FnOnce(Result<usize>) + Send>,
}

/// A lane's inbox.
#[derive(Default)]
pub(super) struct Inbox {
    told: Mutex<Told>,
    changed: Condvar,
}

/// What was told since it was taken last.
#[derive(Default)]
pub(super) struct Told {
    /// Something has changed that the lane has to look at.
    look: bool,
    /// Runs may have come to the end of its queue.
    pub(super) news: bool,
    /// It is to end.
    pub(super) stop: bool,
    pub(super) asked: Vec<Asked>,
}

impl Inbox {
    pub(super) fn look(&self) {
        self.tell(|told| told.look = true);
    }

    pub(super) fn news(&self) {
        self.tell(|told| told.news = true);
    }

    pub(super) fn stop(&self) {
        self.tell(|told| told.stop = true);
    }

    pub(super) fn ask(&self, asked: Asked) {
        self.tell(|told| told.asked.push(asked));
    }

    /// Takes what was told. A stop stays told.
    pub(super) fn take(&self) -> Told {
        let mut told = self.lock();
        let stop = told.stop;
        let taken = std::mem::take(&mut *told);
        told.stop = stop;
        taken
    }

    /// Waits until something is told, or for `rest`.
    pub(super) fn wait(&self, rest: Duration) {
        let is_quiet =
            |told: &mut Told| !told.look && !told.news && !told.stop && told.asked.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), rest, is_quiet);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Each change is one assignment.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
