//! Processes that a test starts: their output, their end, and what the kernel shows of them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::ledger::Event;

/// A process that is killed when the value is dropped, so that it does not outlive its test.
pub struct ChildProcess(pub Child);

impl ChildProcess {
    /// Kills it by SIGKILL. It must still be running.
    pub fn kill(&mut self) {
        self.0.kill().expect("it still runs");
        let status = self.0.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The standard input and output of a process that answers each line of input with one line.
pub struct Pipes {
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    /// Starts `command` with its standard input and output piped.
    pub fn spawn(command: &mut Command) -> (ChildProcess, Self) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let pipes = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
        };
        (ChildProcess(child), pipes)
    }

    /// Writes one line and reads the answer, without its line end; `None` if the process died
    /// first.
    pub fn ask(&mut self, line: &str) -> Option<String> {
        let input = self.input.as_mut().expect("the input is open");
        // One write, so that a process that is killed has read all of the line or nothing.
        input.write_all(format!("{line}\n").as_bytes()).ok()?;
        self.read_line()
    }

    /// The next line of the output, without its line end; `None` if the process died first.
    pub fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }
}

/// Starts a program with its standard input piped, and waits until it has written the line "ready".
pub fn spawn_until_ready(command: &mut Command) -> ChildProcess {
    let mut process = ChildProcess(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts"),
    );
    let mut line = String::new();
    let mut output = BufReader::new(process.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    process
}

/// Starts a program that writes a line "USER NUMBER" for each event that was acknowledged. It
/// writes each line with one write, so that no kill cuts a line in two. The channel carries the
/// events until the program's output ends.
pub fn spawn_reporting(command: &mut Command) -> (ChildProcess, Receiver<Event>) {
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
    (ChildProcess(child), receiver)
}

/// The standard output of `command`, which must succeed and write nothing to standard error.
pub fn stdout_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    assert_success(command, &output);
    assert!(output.stderr.is_empty(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn assert_success(command: &Command, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
}

/// The descriptors of a process, as entries of `/proc`; none if it has ended.
pub fn open_descriptors(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// Whether a process has this file open, under any path.
pub fn has_open(pid: u32, path: &Path) -> bool {
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    let Ok(wanted) = fs::metadata(path).map(place) else {
        return false;
    };
    let open = |entry: &PathBuf| fs::metadata(entry).map(place).is_ok_and(|p| p == wanted);
    open_descriptors(pid).iter().any(open)
}

/// The state of a process, as `ps` shows it; `None` if it has ended.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Calls a function when it is dropped: ends what runs beside a test, also when the test fails.
pub struct OnDrop<F: Fn()>(pub F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
