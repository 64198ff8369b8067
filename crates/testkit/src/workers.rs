//! Processes of `enqueuer.c`, told over a pipe what to enqueue, and looked at from outside.
//!
//! What a worker has answered is acknowledged. What it was told and has not answered when it dies is
//! *unknown*: it may be delivered, in its place, or not at all.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use meditopia::Client;

use crate::c_host::{Program, Running};
use crate::ledger::{Arrivals, Event, lost, out_of_order};
use crate::patience::wait_until;
use crate::sandbox::Sandbox;
use crate::trials::{Outcome, report};

/// One process. Told by any thread, one event at a time; killed by any thread at any moment.
pub struct Worker {
    pid: u32,
    process: Mutex<Running>,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Worker {
    /// Starts `enqueuer.c` with this role.
    pub fn start(program: &Program, role: &str) -> Self {
        Self::spawn(&mut program.command(&[role]))
    }

    /// Starts whatever talks as `enqueuer.c` does.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            pid: child.id(),
            process: Mutex::new(Running(child)),
            pipes: Mutex::new((input, output)),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Has it enqueue one event; says whether that was acknowledged, or whether it died before.
    pub fn enqueue(&self, user: &str, number: u64) -> bool {
        let line = format!("{user} {number}\n");
        match self.ask(&line) {
            Some(answer) => {
                assert_eq!(answer, line);
                true
            }
            None => false,
        }
    }

    /// The sender's pid and when it was last seen, as this process sees it.
    pub fn sender(&self) -> (i64, i64) {
        let answer = self.ask("?\n").expect("it lives");
        let (pid, seen_ms) = answer.trim_end().split_once(' ').expect("two words");
        (pid.parse().unwrap(), seen_ms.parse().unwrap())
    }

    /// Ends it as the kernel does where memory runs out.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill();
    }

    /// Stops it; returns when it has stopped.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        wait_until("it has stopped", || state(self.pid) == Some('T'));
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its answer to one line; `None`: it died before it answered.
    pub fn ask(&self, line: &str) -> Option<String> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        pipes.0.write_all(line.as_bytes()).ok()?;
        pipes.1.read_line(&mut answer).ok()?;
        answer.ends_with('\n').then_some(answer)
    }
}

/// The pid of the sender that was seen last.
pub fn sender_pid(observer: &Client) -> Option<u32> {
    observer.stats().unwrap().sender_pid
}

/// Tells the table what became of the events, and asserts: none lost, each user's in order, at most one
/// request repeated a death, and that one whole.
pub fn assert_sound(fault: &str, api: &Sandbox, deaths: usize, acknowledged: &[Event]) -> Arrivals {
    let arrivals = Arrivals::of(api);
    let delivered = arrivals.first_appearances();
    let lost = lost(acknowledged, &[&delivered]);
    let repeats = arrivals.repeats();
    report(
        fault,
        Outcome {
            trials: deaths as u64,
            acknowledged: acknowledged.len() as u64,
            delivered: delivered.values().map(|n| n.len() as u64).sum(),
            lost: lost.len() as u64,
            duplicated: repeats as u64,
            ..Outcome::default()
        },
        format!("{deaths} requests"),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    arrivals.assert_only_whole_requests_came_twice();
    assert!(repeats <= deaths, "{repeats} requests were repeated");
    for (user, numbers) in &delivered {
        assert_eq!(out_of_order(numbers), None, "{user}");
    }
    arrivals
}

/// Ends what runs beside a test, also where the test fails.
pub struct AtDrop<F: Fn()>(pub F);

impl<F: Fn()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Starts a program that writes a line "USER NUMBER" for each event that was acknowledged, each with one
/// write, so that no kill cuts one. What it writes to its end comes through the channel.
pub fn start_telling(command: &mut Command) -> (Running, Receiver<Event>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in lines {
            let line = line.unwrap();
            let (user, number) = line.split_once(' ').expect("two words");
            let number = number.parse().expect("a number");
            sender.send((user.to_owned(), number)).unwrap();
        }
    });
    (Running(child), receiver)
}

/// The descriptors of a process, as entries of `/proc`; none if it has ended.
pub fn descriptors(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// Whether a process has this file open, under whatever path.
pub fn opens(pid: u32, path: &Path) -> bool {
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    let Ok(wanted) = fs::metadata(path).map(place) else {
        return false;
    };
    let open = |entry: &PathBuf| fs::metadata(entry).map(place).is_ok_and(|p| p == wanted);
    descriptors(pid).iter().any(open)
}

/// The state of a process, as `ps` shows it; `None` if it has ended.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
