//! `tests/c/teller.c` as a fixture: a host in C that does what a test tells it, a line at a time.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::c_host::Running;

/// A running host that waits to be told.
pub struct Told {
    pub process: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// The status without its prefix: `OK`, `ERROR_SPOOL_FULL` ...
    pub status: String,
    pub count: u64,
    pub message: String,
}

impl Answer {
    pub fn assert(&self, status: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.message);
        self
    }
}

impl Told {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            process: Running(child),
            input,
            output: BufReader::new(output),
        }
    }

    pub fn tell(&mut self, line: &str) -> Answer {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let mut words = answer.trim_end().splitn(3, ' ');
        let status = words.next().unwrap_or_default();
        Answer {
            status: status
                .strip_prefix("MEDITOPIA_")
                .unwrap_or_else(|| panic!("{line:?} was answered by {answer:?}"))
                .to_owned(),
            count: words.next().and_then(|word| word.parse().ok()).unwrap(),
            message: words.next().unwrap_or_default().to_owned(),
        }
    }

    /// One event of `user`, which has to be acknowledged.
    pub fn enqueue(&mut self, user: &str, number: u64) {
        self.tell(&format!("enqueue {user} {number}")).assert("OK");
    }

    pub fn flush(&mut self) -> Answer {
        self.tell("flush 60000")
    }
}
