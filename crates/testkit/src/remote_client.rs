//! `tests/c/remote_client.c`: a client in a process of its own, which a test uses over its standard
//! input and output.

use std::process::Command;

use crate::process::{ChildProcess, Pipes};
use crate::wait::wait_until;

pub struct RemoteClient {
    pipes: Pipes,
    pub process: ChildProcess,
}

impl RemoteClient {
    /// Starts the program; returns when its client is open.
    pub fn start(mut command: Command) -> Self {
        let (process, mut pipes) = Pipes::spawn(&mut command);
        assert_eq!(pipes.read_line().as_deref(), Some("ready"));
        Self { pipes, process }
    }

    /// Its answer to one command; the comment at the top of the program lists them.
    pub fn ask(&mut self, line: &str) -> String {
        let answer = self.pipes.ask(line);
        answer.unwrap_or_else(|| panic!("{line:?} got no answer"))
    }

    /// Enqueues one event, which must be acknowledged.
    pub fn enqueue(&mut self, user: &str, number: u64) {
        assert_eq!(self.ask(&format!("enqueue {user} {number}")), "ok");
    }

    /// Its answer to a command that is answered with JSON.
    pub fn ask_json(&mut self, line: &str) -> serde_json::Value {
        let answer = self.ask(line);
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}: {e}: {answer}"))
    }

    /// The log records that were not read yet.
    pub fn read_log(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.ask("log")).filter(|record| record != "none")).collect()
    }

    /// Reads the log until a record contains `text`: a record may follow the event that it is about.
    pub fn read_log_until(&mut self, text: &str) -> Vec<String> {
        let mut log = Vec::new();
        wait_until(text, || {
            log.extend(self.read_log());
            log.iter().any(|record| record.contains(text))
        });
        log
    }

    /// Has it close its client and end, and waits for that.
    pub fn close(mut self) {
        self.pipes.close_input();
        assert!(self.process.0.wait().unwrap().success());
    }
}
