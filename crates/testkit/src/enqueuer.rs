//! Processes of `tests/c/enqueuer.c`, each of which enqueues the events that the test names.
//!
//! An event that the process has answered is acknowledged. An event that it was given and has not
//! answered when it dies is *unknown*: it may be delivered at its place in the order, or not at all.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::c_program::CProgram;
use crate::process::{ChildProcess, Pipes, state_of};
use crate::wait::wait_until;

/// One process. Any thread may have it enqueue, one event at a time, and any thread may kill it at
/// any moment.
pub struct Enqueuer {
    pid: u32,
    process: Mutex<ChildProcess>,
    pipes: Mutex<Pipes>,
}

impl Enqueuer {
    /// Starts `enqueuer.c` with this role.
    pub fn start(program: &CProgram, role: &str) -> Self {
        Self::spawn(&mut program.command(&[role]))
    }

    /// Starts a command that answers as `enqueuer.c` does.
    pub fn spawn(command: &mut Command) -> Self {
        let (process, pipes) = Pipes::spawn(command);
        Self {
            pid: process.0.id(),
            process: Mutex::new(process),
            pipes: Mutex::new(pipes),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Enqueues one event; `true` if it was acknowledged, `false` if the process died before that.
    pub fn enqueue(&self, user: &str, number: u64) -> bool {
        let line = format!("{user} {number}");
        match self.ask(&line) {
            Some(answer) => {
                assert_eq!(answer, line);
                true
            }
            None => false,
        }
    }

    /// The sender's pid and the time of its last heartbeat, as this process sees them.
    pub fn sender(&self) -> (i64, i64) {
        let answer = self.ask("?").expect("it lives");
        let (pid, seen_ms) = answer.split_once(' ').expect("two words");
        (pid.parse().unwrap(), seen_ms.parse().unwrap())
    }

    /// Kills it, as the kernel does when memory runs out.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill();
    }

    /// Stops it with SIGSTOP; returns when it has stopped.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        wait_until("it has stopped", || state_of(self.pid) == Some('T'));
    }

    /// Lets it go on after [`Enqueuer::stop`].
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its answer to one line; `None` if it died before it answered.
    pub fn ask(&self, line: &str) -> Option<String> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.ask(line)
    }
}
