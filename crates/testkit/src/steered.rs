//! A running `steered.c`, told line by line what to do.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::c_host::Running;
use crate::patience::wait_until;

pub struct Steered {
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub process: Running,
}

impl Steered {
    /// Starts it; returns when its client is open.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running(command.spawn().expect("it starts"));
        let mut steered = Self {
            input: process.0.stdin.take(),
            output: BufReader::new(process.0.stdout.take().unwrap()),
            process,
        };
        assert_eq!(steered.answer(), "ready");
        steered
    }

    /// What it answers to `line`.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").expect("it listens");
        self.answer()
    }

    /// One event; returns when it is acknowledged.
    pub fn enqueue(&mut self, user: &str, number: u64) {
        assert_eq!(self.ask(&format!("enqueue {user} {number}")), "ok");
    }

    /// What it answers to `line`, which asks for JSON.
    pub fn ask_json(&mut self, line: &str) -> serde_json::Value {
        let answer = self.ask(line);
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}: {e}: {answer}"))
    }

    /// The records of its log that it has not told yet.
    pub fn log(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.ask("log")).filter(|record| record != "none")).collect()
    }

    /// The same, once a record holds `text`: what happens is told to the log after it has happened.
    pub fn log_with(&mut self, text: &str) -> Vec<String> {
        let mut log = Vec::new();
        wait_until(text, || {
            log.extend(self.log());
            log.iter().any(|record| record.contains(text))
        });
        log
    }

    /// Ends it in peace: it closes its client.
    pub fn end(mut self) {
        drop(self.input.take());
        assert!(self.process.0.wait().unwrap().success());
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
