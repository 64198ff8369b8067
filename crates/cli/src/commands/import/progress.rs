//! The progress of an import: a bar with rate and time left on a terminal, otherwise an occasional
//! line.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::print_error;

/// The interval between two lines.
const PRINT_EVERY: Duration = Duration::from_secs(5);
/// The clock is read only once in this many records.
const CHECK_EVERY: u64 = 512;

/// The bar that is on the terminal, for whoever ends the command in the middle.
static ON_TERMINAL: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Ends the line of a bar, so that what is printed next has a line of its own.
pub fn end_line() {
    let mut on_terminal = ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bar) = on_terminal.take() {
        bar.abandon();
        // The bar fills its line and leaves the cursor in it.
        print_error("");
    }
}

/// Shows the progress while an import runs.
pub struct Progress {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    total: Option<u64>,
    started: Instant,
    /// The bytes and the records of earlier runs.
    before: (u64, u64),
    printed: Instant,
}

impl Progress {
    /// Starts at `offset` of `total` bytes, if that is known, after `records`.
    pub fn start(is_quiet: bool, offset: u64, total: Option<u64>, records: u64) -> Self {
        let has_bar = !is_quiet && std::io::stderr().is_terminal();
        let bar = has_bar.then(|| {
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
            *ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
            bar
        });
        Self {
            bar,
            is_quiet,
            total,
            started: Instant::now(),
            before: (offset, records),
            printed: Instant::now(),
        }
    }

    /// Reports the present position.
    pub fn update(&mut self, offset: u64, records: u64) {
        if !records.is_multiple_of(CHECK_EVERY) {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(offset);
                bar.set_message(self.so_far(records));
            }
            None if !self.is_quiet && self.printed.elapsed() >= PRINT_EVERY => {
                self.printed = Instant::now();
                print_error(format_args!(
                    "import: {}{}",
                    self.so_far(records),
                    self.time_left(offset)
                ));
            }
            None => {}
        }
    }

    /// Completes the bar, or prints the last line.
    pub fn finish(&self, offset: u64, records: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(offset);
                bar.set_message(self.so_far(records));
                end_line();
            }
            None if self.is_quiet => {}
            None => print_error(format_args!("import: {}", self.so_far(records))),
        }
    }

    fn so_far(&self, records: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = (records - self.before.1) as f64 / seconds;
        format!(
            "{} records, {}/s",
            HumanCount(records),
            HumanCount(rate as u64)
        )
    }

    fn time_left(&self, offset: u64) -> String {
        let Some(total) = self.total.filter(|total| *total > 0) else {
            return String::new();
        };
        let done = offset.saturating_sub(self.before.0).max(1) as f64;
        let rest = total.saturating_sub(offset) as f64;
        let left = self.started.elapsed().mul_f64(rest / done);
        format!(", {} %, {} left", offset * 100 / total, HumanDuration(left))
    }
}
