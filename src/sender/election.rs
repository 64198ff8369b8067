//! One sender per spool: the process that holds the `flock` on the spool's directory is elected.
//!
//! The lock dies with its process, so a successor needs nobody's word; a child of the sender closes
//! its copy at fork. A lock on the directory itself cannot be recreated beside its holder.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::state::State;
use super::{Shared, wake};
use crate::error::{PauseReason, Result};
use crate::process::{Announcement, CloseOnFork, FileKey};
use crate::spool::{Heartbeat, Spool, open_dir, try_lock};
use crate::store::{PauseState, Reader};

/// How long a sender that has given the election up does not stand for it itself.
pub(super) const GIVEN_UP_FOR: Duration = Duration::from_secs(1);

/// This process is the elected one, as long as the value lives. What only the elected one may do
/// takes it as a parameter.
#[derive(Debug)]
pub(crate) struct Election {
    /// It goes before the lock does, so a sender never takes itself for elected without the lock.
    _own: Option<OwnElectionGuard>,
    _lock: CloseOnFork,
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
        let announced = Announcement::new(FileKey::Inode(spool.inode()))?;
        let dir = announced.opened(open_dir(spool.dir())?);
        if !try_lock(&dir, spool.name())? {
            return Ok(None);
        }
        spool.check_same_directory(dir.metadata())?;
        Ok(Some(Self {
            _own: None,
            _lock: dir,
        }))
    }

    /// The same for a sender, which knows by `own` that it is elected.
    pub(super) fn try_win_for(spool: &Arc<Spool>, own: &OwnElection) -> Result<Option<Self>> {
        Ok(Self::try_win(spool)?.map(|election| {
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
        // A list of several pages may lack a line when another one goes between two pages.
        for _ in 0..2 {
            match fs::read_to_string("/proc/locks") {
                Err(_) => return Ok(Self::Unknown),
                Ok(locks) if is_taken(&locks, spool.inode(), last.pid) => {
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

/// Whether `locks`, as `/proc/locks` has them, hold that of a sender on the directory `dir`. Some file
/// systems name another device there than everywhere else: then the last sender's pid has to do.
fn is_taken(locks: &str, dir: (u64, u64), pid: u32) -> bool {
    let device = format!(
        "{:02x}:{:02x}",
        rustix::fs::major(dir.0),
        rustix::fs::minor(dir.0)
    );
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", holder, file, ..] = words[..] else {
            return false;
        };
        match file.rsplit_once(':') {
            Some((on, inode)) if inode.parse() == Ok(dir.1) => {
                on == device || holder.parse() == Ok(pid)
            }
            _ => false,
        }
    })
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

    const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 81 fe:00:4711 0 EOF
2: FLOCK  ADVISORY  WRITE 82 fe:00:4711 0 EOF
2: -> FLOCK  ADVISORY  WRITE 83 fe:00:4712 0 EOF
3: FLOCK  ADVISORY  READ 84 fe:00:4713 0 EOF
";

    #[test]
    fn the_lock_of_a_sender_is_found_by_its_directory_or_its_pid_and_no_other_is_taken_for_it() {
        let disk = rustix::fs::makedev(0xfe, 0);
        let subvolume = rustix::fs::makedev(0, 0x1b);
        assert!(is_taken(LOCKS, (disk, 4711), 1));
        assert!(is_taken(LOCKS, (subvolume, 4711), 82));
        assert!(!is_taken(LOCKS, (subvolume, 4711), 81));
        // One that waits for it, one that only shares it, one of another file.
        assert!(!is_taken(LOCKS, (disk, 4712), 83));
        assert!(!is_taken(LOCKS, (disk, 4713), 84));
        assert!(!is_taken(LOCKS, (disk, 471), 82));
        assert!(!is_taken("", (disk, 4711), 82));
    }
}
