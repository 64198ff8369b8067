//! How far an import is: a bar with rate and time left on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::complain;

/// Plain lines come this often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// The clock is read once in so many records.
const LOOK_EVERY: u64 = 512;

/// What is shown while an import runs.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    begun: Instant,
    /// What was done before, by an earlier run.
    before: (u64, u64),
    told: Instant,
}

impl Progress {
    /// Begins at `offset` of `total` bytes, if that is known, behind `records`.
    pub fn begin(offset: u64, total: Option<u64>, records: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = match total {
                Some(_) => "{wide_bar} {percent:>3} %  {msg}  {eta} left",
                None => "{spinner} {bytes}  {msg}  {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_position(offset);
            bar.reset_eta();
            bar
        });
        Self {
            bar,
            total,
            begun: Instant::now(),
            before: (offset, records),
            told: Instant::now(),
        }
    }

    /// So far it is now.
    pub fn is_at(&mut self, offset: u64, records: u64) {
        if !records.is_multiple_of(LOOK_EVERY) {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(offset);
                bar.set_message(self.so_far(records));
            }
            None if self.told.elapsed() >= TELL_EVERY => {
                self.told = Instant::now();
                complain(format_args!(
                    "import: {}{}",
                    self.so_far(records),
                    self.left(offset)
                ));
            }
            None => {}
        }
    }

    /// It is over: the terminal is free for other words, or the last plain line is written.
    pub fn end(&self, offset: u64, records: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(offset);
                bar.set_message(self.so_far(records));
                bar.abandon();
            }
            None => complain(format_args!("import: {}", self.so_far(records))),
        }
    }

    fn so_far(&self, records: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = (records - self.before.1) as f64 / seconds;
        format!(
            "{} records, {}/s",
            HumanCount(records),
            HumanCount(rate as u64)
        )
    }

    fn left(&self, offset: u64) -> String {
        let Some(total) = self.total.filter(|total| *total > 0) else {
            return String::new();
        };
        let done = offset.saturating_sub(self.before.0).max(1) as f64;
        let rest = total.saturating_sub(offset) as f64;
        let left = self.begun.elapsed().mul_f64(rest / done);
        format!(", {} %, {} left", offset * 100 / total, HumanDuration(left))
    }
}
