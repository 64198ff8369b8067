//! A program that sends in the background on clocks that the test steps, and the API that it sends to.
//!
//! The waits of the sender are its own and may be as long as they are: the test lets them pass.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::c_host::Program;
use crate::sandbox::Sandbox;
use crate::steered::Steered;
use crate::stepped_clocks::Clocks;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stepped {
    pub api: Sandbox,
    pub program: Program,
    pub host: Steered,
    clocks: Clocks,
    ahead_s: i64,
}

impl Stepped {
    pub fn start(options: &[(&str, &str)]) -> Self {
        let api = Sandbox::start();
        let mut all = vec![("role", "both"), ("flush_interval_ms", "20")];
        all.extend_from_slice(options);
        let program = Program::of("steered.c").configured(&api, &all);
        let clocks = Clocks::of(&program);
        let host = clocks.start(&program);
        Self {
            api,
            program,
            host,
            clocks,
            ahead_s: 0,
        }
    }

    /// An event each of the users `u-<number>`, in one record: the sender sees all of them or none.
    pub fn enqueue_users(&mut self, numbers: std::ops::Range<u64>) {
        let line = format!("users {} {}", numbers.start, numbers.end - 1);
        assert_eq!(self.host.ask(&line), "ok");
    }

    /// Kills the program and starts it again.
    pub fn die_and_return(&mut self) {
        self.host.process.kill();
        self.host = self.clocks.start(&self.program);
    }

    /// Time goes on, for the program only.
    pub fn pass(&mut self, seconds: i64) {
        self.ahead_s += seconds;
        self.clocks.set_wall(self.ahead_s);
        self.clocks.set_boot(self.ahead_s);
    }

    /// The wall time that the program sees.
    pub fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.ahead_s * 1_000
    }

    pub fn stats(&mut self) -> Value {
        self.host.ask_json("stats")
    }

    pub fn wait_for_stats(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let stats = self.stats();
            if is_so(&stats) {
                return stats;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for {what}: {stats}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until so many requests have been answered and what that means is committed.
    pub fn wait_for_answers(&mut self, requests: u64) -> Value {
        let answered = |stats: &Value| stats["requests"].as_u64() >= Some(requests);
        self.wait_for_stats("an answer", answered)
    }
}
