//! `tests/c/status_client.c`: a program in C that carries out one command per line and answers each
//! with the status that the library returned.

use std::process::Command;

use crate::process::{ChildProcess, Pipes};

pub struct StatusClient {
    pub process: ChildProcess,
    pipes: Pipes,
}

/// The answer to one command.
#[derive(Debug)]
pub struct StatusReply {
    /// The status without its prefix: `OK`, `ERROR_SPOOL_FULL` ...
    pub status: String,
    pub count: u64,
    pub message: String,
}

impl StatusReply {
    pub fn assert_status(&self, status: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.message);
        self
    }
}

impl StatusClient {
    pub fn start(mut command: Command) -> Self {
        let (process, pipes) = Pipes::spawn(&mut command);
        Self { process, pipes }
    }

    /// Has it carry out one command; the comment at the top of the program lists them.
    pub fn ask(&mut self, line: &str) -> StatusReply {
        let answer = self.pipes.ask(line).unwrap_or_default();
        let mut words = answer.splitn(3, ' ');
        let status = words.next().unwrap_or_default();
        StatusReply {
            status: status
                .strip_prefix("MEDITOPIA_")
                .unwrap_or_else(|| panic!("{line:?} was answered by {answer:?}"))
                .to_owned(),
            count: words.next().and_then(|word| word.parse().ok()).unwrap(),
            message: words.next().unwrap_or_default().to_owned(),
        }
    }

    /// Enqueues one event of `user`, which must be acknowledged.
    pub fn enqueue(&mut self, user: &str, number: u64) {
        self.ask(&format!("enqueue {user} {number}"))
            .assert_status("OK");
    }

    pub fn flush(&mut self) -> StatusReply {
        self.ask("flush 60000")
    }
}
