//! What keeps a sender from sending: noted for its callers, told once, and outlived.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Shared;
use super::file_state::FileState;
use super::state::Note;
use super::take_over::lane_of;
use crate::error::{Error, ErrorKind, PauseReason};
use crate::log::Level;
use crate::mutex::lock;
use crate::spool::Heartbeat;
use crate::store::sqlite::recover;

/// How long a thread rests after a panic.
const PANIC_REST: Duration = Duration::from_secs(1);

impl Shared {
    /// Notes why nothing is sent just now, and logs it when it is news. A full disk is the moment that
    /// the reserve is for.
    pub(super) fn trouble(&self, e: &Error) {
        let e = &self.confirmed(e);
        let spent = (e.kind() == ErrorKind::SpoolFull).then(|| self.spool.reserve().release());
        let mut desk = lock(&self.desk);
        if let Some(Err(e)) = spent {
            desk.notes
                .push(Note::new(Level::Error, format_args!("{e}")));
        }
        if desk.trouble.as_ref().is_none_or(|(known, _)| known != e) {
            desk.notes
                .push(Note::new(Level::Error, format_args!("{e}")));
        }
        desk.trouble = Some((e.clone(), Instant::now()));
        let damaged = e.pause_reason() == Some(PauseReason::StoreDamaged);
        let news = damaged && desk.damaged.is_none();
        if news {
            desk.damaged = Some((FileState::of(&self.spool.store_path()), e.clone()));
        }
        drop(self.tell(desk));
        if news {
            let found = Heartbeat::publish_pause(&self.spool, e.pause_reason());
            found.unwrap_or_else(|e| self.log.error(format_args!("{e}")));
        }
        self.changed.notify_all();
    }

    /// What the trouble is: a store that is said to be damaged is looked at as a whole first.
    fn confirmed(&self, e: &Error) -> Error {
        let said = e.pause_reason() == Some(PauseReason::StoreDamaged);
        if !said || lock(&self.desk).damaged.is_some() {
            return e.clone();
        }
        self.pulse.excuse_all();
        let unread = match recover::is_damaged(&self.spool, lane_of) {
            Ok(true) => return e.clone(),
            Ok(false) => "is sound".to_owned(),
            Err(why) => why.message().to_owned(),
        };
        let name = self.spool.name();
        let said = "could not be read just now; it is tried again";
        Error::new(ErrorKind::Io, format!("{name}: store.db {said} ({unread})"))
    }

    /// All went well, unless a lane has dropped the state meanwhile.
    pub(super) fn trouble_is_over(&self) {
        let mut desk = lock(&self.desk);
        if desk.state.is_some() {
            desk.trouble = None;
        }
        drop(desk);
        self.changed.notify_all();
    }

    /// Runs a thread's body again after a panic, which is a defect of ours: the state that it may have
    /// left half changed goes, and the rest of the process does not notice.
    pub(super) fn through_panics(&self, body: impl Fn()) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(&body)) {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            self.drop_state();
            self.trouble(&Error::new(
                ErrorKind::Internal,
                format!(
                    "{}: the sender panicked: {what}; it starts anew",
                    self.spool.name()
                ),
            ));
            std::thread::sleep(PANIC_REST);
        }
    }
}
