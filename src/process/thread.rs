//! Threads that never run a signal handler of the application.

use std::io;

/// Starts a detached thread with every signal blocked, so that no handler of the application runs
/// on it.
///
/// The stack size is given because the standard library would otherwise read it from the
/// environment.
pub(crate) fn spawn_with_signals_blocked(
    name: &str,
    body: Box<dyn FnOnce() + Send>,
) -> io::Result<()> {
    const STACK_BYTES: usize = 2 * 1024 * 1024;
    let mask = SignalsBlocked::new()?;
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map(drop);
    drop(mask);
    spawned
}

/// While this value lives, all signals of its thread are blocked, and of each thread that it
/// starts.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> io::Result<Self> {
        // SAFETY: both sets are plain memory owned here; an all-zero set is a valid value.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) {
                0 => Ok(Self { before }),
                code => Err(io::Error::from_raw_os_error(code)),
            }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: restores the set that was read in `new`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_the_library_runs_with_all_signals_blocked_and_its_starter_does_not() {
        let (sender, receiver) = std::sync::mpsc::channel();
        spawn_with_signals_blocked(
            "test",
            Box::new(move || {
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                sender.send(status).unwrap();
            }),
        )
        .unwrap();
        let status = receiver.recv().unwrap();
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:\t"))
            .unwrap();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        for signal in [
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGCHLD,
            libc::SIGPROF,
        ] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "signal {signal}");
        }
        // The mask of the thread that started it is as before.
        let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(ours.contains("SigBlk:\t0000000000000000"), "{ours}");
    }
}
