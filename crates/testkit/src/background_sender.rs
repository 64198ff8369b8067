//! A program whose sender runs in the background on clocks that the test sets, and the API that it
//! sends to. The test advances the clocks, so it need not wait as long as the sender does.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::c_program::CProgram;
use crate::remote_client::RemoteClient;
use crate::sandbox::Sandbox;
use crate::test_clocks::TestClocks;
use crate::wait::WAIT_LIMIT;

pub struct BackgroundSender {
    pub api: Sandbox,
    pub program: CProgram,
    pub client: RemoteClient,
    clocks: TestClocks,
    ahead_s: i64,
}

impl BackgroundSender {
    pub fn start(options: &[(&str, &str)]) -> Self {
        let api = Sandbox::start();
        let mut all = vec![("role", "both"), ("flush_interval_ms", "20")];
        all.extend_from_slice(options);
        let program = CProgram::compile("remote_client.c").with_config(&api, &all);
        let clocks = TestClocks::new(&program);
        let client = clocks.start_client(&program);
        Self {
            api,
            program,
            client,
            clocks,
            ahead_s: 0,
        }
    }

    /// Enqueues an event each of the users `u-<number>` in one record: the sender sees all or none.
    pub fn enqueue_users(&mut self, numbers: std::ops::Range<u64>) {
        let line = format!("users {} {}", numbers.start, numbers.end - 1);
        assert_eq!(self.client.ask(&line), "ok");
    }

    /// Kills the program and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.client.process.kill();
        self.client = self.clocks.start_client(&self.program);
    }

    /// Sets the program's clocks forward.
    pub fn advance(&mut self, seconds: i64) {
        self.ahead_s += seconds;
        self.clocks.set_wall(self.ahead_s);
        self.clocks.set_boot(self.ahead_s);
    }

    /// The wall time that the program sees.
    pub fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.ahead_s * 1_000
    }

    pub fn stats(&mut self) -> Value {
        self.client.ask_json("stats")
    }

    /// Waits until the statistics fulfil `condition`, and returns them.
    pub fn wait_for_stats(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let stats = self.stats();
            if condition(&stats) {
                return stats;
            }
            assert!(begun.elapsed() < WAIT_LIMIT, "waited for {what}: {stats}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until this many requests have been answered and their outcomes are committed.
    pub fn wait_for_answers(&mut self, requests: u64) -> Value {
        let answered = |stats: &Value| stats["requests"].as_u64() >= Some(requests);
        self.wait_for_stats("an answer", answered)
    }
}
