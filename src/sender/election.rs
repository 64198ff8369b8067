//! One sender per spool: the process that holds the `flock` on `sender.lock` is elected.
//!
//! The lock dies with its process, so a successor needs nobody's word; a child of the sender closes
//! its copy at fork. The file is private, so nobody else can lock it: a directory of mode 0755 can be locked by
//! any local user, and then nobody would send.
//!
//! A program that cleans up may remove the file, and the next process that stands for election makes and
//! locks another one. So a lock counts only if its file has the name after it was locked, and the sender
//! looks at each of its rounds ([`Election::keep`]). If the name is not its lock's any more, it locks the
//! file that is there now, and goes on; or another process has done so, and it gives the election up.
//! Until then two processes are elected, and the ledger's own lock lets one of them write and send: the
//! other one cannot open the store.
//!
//! A sender whose token was refused gives the election up to a process that has another token.
//! Tokens are renewed in one worker first. The one that was elected long ago may never hear of it,
//! and would keep all others from sending. So while delivery is paused for the token, each process
//! on stand-by compares its own with the fingerprint of the refused one. If it differs, the process
//! wakes the sender, and the sender gives the election up for long enough to be followed. A process
//! does not ask with a token that it has seen refused: two wrong tokens must not hand the election
//! back and forth for ever.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::state::State;
use super::{Shared, wake};
use crate::error::{PauseReason, Result};
use crate::mutex::lock;
use crate::spool::{Heartbeat, LockFile, SENDER_LOCK, Spool, holder_in};
use crate::store::{PauseState, Reader};

/// How long a sender that has given the election up does not stand for it itself.
pub(super) const GIVEN_UP_FOR: Duration = Duration::from_secs(1);

/// This process is the elected one, as long as the value lives. What only the elected one may do
/// takes it as a parameter.
#[derive(Debug)]
pub(crate) struct Election {
    /// It goes before the lock does, so a sender never takes itself for elected without the lock.
    _own: Option<OwnElectionGuard>,
    /// Only the sender's coordinator takes another one, and no forked child does.
    lock: Mutex<LockFile>,
}

/// Whether a sender is elected itself: whether an [`Election`] that it has won lives.
///
/// `/proc/locks` cannot say that. It names processes, and another sender may have the same one: two
/// copies of the library in a process exclude each other. The sender may also be in the election
/// without a state: after an error it first drops the state.
#[derive(Debug, Default)]
pub(super) struct OwnElection(Arc<AtomicBool>);

impl OwnElection {
    pub(super) fn is_held(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct OwnElectionGuard(Arc<AtomicBool>);

impl Drop for OwnElectionGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Election {
    /// Wins the election if no process is elected. Use [`Elected::look`] to only look: a process
    /// that won for a moment would keep a candidate from it.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io);
    /// [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if another directory stands at the
    /// spool's path by now.
    pub(crate) fn try_win(spool: &Arc<Spool>) -> Result<Option<Self>> {
        spool.check_path()?;
        let Some(lock) = LockFile::try_take(&*spool.held_dir()?, SENDER_LOCK)? else {
            return Ok(None);
        };
        // Again: whoever opens the spool at its path has to find this lock.
        spool.check_path()?;
        Ok(Some(Self {
            _own: None,
            lock: Mutex::new(lock),
        }))
    }

    /// Makes sure that no other process can be elected: takes the lock anew if its file was removed or
    /// replaced. `false`: another process has it.
    pub(super) fn keep(&self, spool: &Spool) -> Result<bool> {
        let dir = spool.held_dir()?;
        let mut lock = lock(&self.lock);
        if lock.is_in_place(&dir) {
            return Ok(true);
        }
        lock.take_again(&dir)
    }

    /// The same for a sender, which knows by `own` that it is elected; not in a spool that is forwarded.
    pub(super) fn try_win_for(spool: &Arc<Spool>, own: &OwnElection) -> Result<Option<Self>> {
        let won = Self::try_win(spool)?;
        if won.is_some() {
            spool.refuse_forwarded()?;
        }
        Ok(won.map(|election| {
            own.0.store(true, Ordering::SeqCst);
            Self {
                _own: Some(OwnElectionGuard(own.0.clone())),
                ..election
            }
        }))
    }
}

/// Whether a process is elected, as far as can be known without standing for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elected {
    /// One is.
    Somebody,
    /// None is.
    Nobody,
    /// The last one was in a pid namespace whose locks this process does not see, or there is no `/proc`.
    Unknown,
}

impl Elected {
    pub(crate) fn look(spool: &Spool) -> Result<Self> {
        let Some(last) = Heartbeat::read(spool)? else {
            return Ok(Self::Unknown);
        };
        let dir = spool.held_dir()?;
        let about = dir.about(SENDER_LOCK);
        let file = about.map_or((0, 0), |about| (about.st_dev, about.st_ino));
        // A list of several pages may lack a line when another one goes between two pages.
        for _ in 0..2 {
            match fs::read_to_string("/proc/locks") {
                Err(_) => return Ok(Self::Unknown),
                Ok(locks) if holder_in(&locks, file, last.pid).is_some() => {
                    return Ok(Self::Somebody);
                }
                Ok(_) => {}
            }
        }
        Ok(match pid_namespace() {
            Some(ours) if last.pid_namespace == Some(ours) => Self::Nobody,
            _ => Self::Unknown,
        })
    }
}

/// Which processes this one can know by their pids.
pub(super) fn pid_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/pid")
        .ok()
        .map(|about| about.ino())
}

/// The process that is elected, for messages.
pub(crate) fn describe_elected(spool: &Spool) -> String {
    match Heartbeat::read(spool) {
        Ok(Some(heartbeat)) => format!("pid {}", heartbeat.pid),
        _ => "another process".to_owned(),
    }
}

/// Asks the sender to give the election up, if its token was refused and this process has another.
pub(super) fn ask_for_it(shared: &Shared) -> Result<()> {
    let spool = &shared.spool;
    let paused = Heartbeat::read(spool)?.and_then(|heartbeat| heartbeat.pause_reason());
    if paused != Some(PauseReason::Auth) {
        return Ok(());
    }
    // A process that sends with the file says what is wrong with it.
    let _ = shared.token.follow_file();
    if !shared.token.is_untried() {
        return Ok(());
    }
    let store = Reader::open(spool)?;
    let pause = store.as_ref().and_then(Reader::pause);
    if pause.is_some_and(|pause| may_end(shared, pause)) {
        wake::send(spool, wake::Wake::AnotherToken);
    }
    Ok(())
}

/// Whether the token of this process may end `pause`.
pub(super) fn may_end(shared: &Shared, pause: &PauseState) -> bool {
    pause.reason == PauseReason::Auth
        && shared.token.is_untried()
        && shared.token.differs_from(pause.fingerprint.as_deref())
}

/// Whether this sender has nothing better than a refused token, and no request in flight.
pub(super) fn may_be_given_up(state: &State) -> bool {
    state.dispatcher.is_token_refused() && !state.dispatcher.is_in_flight()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Destination, NetworkFileSystem};
    use std::fs;

    fn spool() -> (tempfile::TempDir, Arc<Spool>) {
        let parent = tempfile::tempdir().unwrap();
        let destination = Destination {
            endpoint: "https://api.example/events",
            account: "",
        };
        let dir = parent.path().join("spool");
        let spool = Spool::open(&dir, destination, NetworkFileSystem::Refuse).unwrap();
        (parent, Arc::new(spool))
    }

    #[test]
    fn an_elected_process_whose_lock_file_was_removed_locks_a_new_one_and_stays_the_only_one() {
        let (_parent, spool) = spool();
        let elected = Election::try_win(&spool).unwrap().unwrap();
        let file = spool.dir().join(SENDER_LOCK);
        for _ in 0..3 {
            fs::remove_file(&file).unwrap();
            assert!(elected.keep(&spool).unwrap());
            assert!(file.exists());
            assert!(Election::try_win(&spool).unwrap().is_none());
        }
        drop(elected);
        assert!(Election::try_win(&spool).unwrap().is_some());
    }

    #[test]
    fn an_elected_process_notices_that_another_one_has_locked_a_new_file() {
        let (_parent, spool) = spool();
        let first = Election::try_win(&spool).unwrap().unwrap();
        fs::remove_file(spool.dir().join(SENDER_LOCK)).unwrap();
        let second = Election::try_win(&spool).unwrap().unwrap();
        assert!(!first.keep(&spool).unwrap());
        assert!(second.keep(&spool).unwrap());
        drop(first);
        assert!(Election::try_win(&spool).unwrap().is_none());
    }

    #[test]
    fn a_lock_whose_descriptor_the_application_has_closed_is_taken_anew_and_then_kept() {
        let (_parent, spool) = spool();
        let elected = Election::try_win(&spool).unwrap().unwrap();
        let number = lock(&elected.lock).descriptor();
        // SAFETY: closes a descriptor of the library, as an application does that closes all.
        unsafe { libc::close(number) };
        assert!(elected.keep(&spool).unwrap());
        // The new descriptor may have the same number: the old value must not have closed it.
        assert!(Election::try_win(&spool).unwrap().is_none());
        assert!(elected.keep(&spool).unwrap());
    }
}
