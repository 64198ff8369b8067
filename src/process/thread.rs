//! Threads that no signal of the host ever reaches.

use std::io;

/// Starts a detached thread with every signal blocked, so that the host's handlers never run on it.
///
/// Its stack is sized here because the standard library would otherwise read the environment for it.
pub(crate) fn spawn_quiet(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
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

/// All signals of this thread are blocked while it lives; a thread started meanwhile inherits that.
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
    fn no_signal_reaches_a_thread_of_this_library() {
        let (tell, told) = std::sync::mpsc::channel();
        spawn_quiet(
            "quiet",
            Box::new(move || {
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                tell.send(status).unwrap();
            }),
        )
        .unwrap();
        let status = told.recv().unwrap();
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
        // The starter's own mask is as it was.
        let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(ours.contains("SigBlk:\t0000000000000000"), "{ours}");
    }
}
