//! The log of a command, on standard error: text, JSON lines, or what the systemd journal reads.
//!
//! The library calls back on the thread that logs, which may be the one that sends. So a record only goes
//! into a queue here, and a thread of its own writes: when nobody reads standard error, the sender goes
//! on, and what did not fit is counted and said.

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meditopia::Config;
use meditopia::{LogCallback as Callback, LogLevel as Level, LogRecord as Record};

/// How many records wait for a slow reader.
const QUEUE_RECORDS: usize = 1_024;
/// How long the end of the command waits for the last of them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Time, level and message
    Text,
    /// One JSON object a line, with time, level and message
    Json,
    /// <PRIORITY> and message, as the systemd journal reads them
    Journal,
}

impl Format {
    /// For the journal if standard error goes there, else text.
    pub fn of_standard_error() -> Self {
        let told = std::env::var("JOURNAL_STREAM").ok();
        let is = rustix::fs::fstat(std::io::stderr())
            .ok()
            .map(|about| format!("{}:{}", about.st_dev, about.st_ino));
        if told.is_some() && told == is {
            Self::Journal
        } else {
            Self::Text
        }
    }

    fn line(self, record: &Record) -> String {
        // A record is one line, whatever a server's answer put into it.
        let message = record.message.replace(['\n', '\r'], " ");
        let level = record.level.name();
        let time = || match jiff::Timestamp::from_millisecond(record.time_ms) {
            Ok(time) => format!("{time:.3}"),
            Err(_) => record.time_ms.to_string(),
        };
        match self {
            Self::Text => format!("{} {level:5} {message}\n", time()),
            Self::Journal => format!("<{}>{message}\n", priority(record.level)),
            Self::Json => {
                let line = serde_json::json!({"time": time(), "level": level, "message": message});
                format!("{line}\n")
            }
        }
    }
}

/// As syslog numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

/// Where a command's log goes. Clones write to the same place.
#[derive(Clone)]
pub struct Output {
    queue: SyncSender<Record>,
    lost: Arc<AtomicU64>,
    level: Option<Level>,
}

/// The thread that writes.
pub struct Writing {
    ended: Receiver<()>,
}

impl Output {
    /// Starts writing records of `level` and graver ones; `None` writes nothing.
    ///
    /// Errors: no thread can be started.
    pub fn start(format: Format, level: Option<Level>) -> std::io::Result<(Self, Writing)> {
        let (queue, records) = sync_channel(QUEUE_RECORDS);
        let lost = Arc::new(AtomicU64::new(0));
        let (ending, ended) = channel();
        let lost_before = lost.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_all(format, &records, &lost_before);
                drop(ending);
            })?;
        let output = Self { queue, lost, level };
        Ok((output, Writing { ended }))
    }

    /// The library's log goes here, too.
    pub fn callback(&self) -> Callback {
        let output = self.clone();
        Box::new(move |record| output.write(record.clone()))
    }

    /// What of a configuration was not understood.
    pub fn warnings_of(&self, config: &Config) {
        for warning in config.warnings() {
            self.warn(warning);
        }
    }

    /// Something that needs somebody.
    pub fn error(&self, message: impl Display) {
        self.say(Level::Error, message);
    }

    /// Something to look at.
    pub fn warn(&self, message: impl Display) {
        self.say(Level::Warn, message);
    }

    /// What the command does.
    pub fn info(&self, message: impl Display) {
        self.say(Level::Info, message);
    }

    fn say(&self, level: Level, message: impl Display) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.write(Record {
            level,
            time_ms: since.map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }),
            message: message.to_string(),
        });
    }

    fn write(&self, record: Record) {
        if self.level.is_none_or(|level| record.level > level) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(record) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writing {
    /// Waits a moment for what was said last; every [`Output`] has to be gone.
    pub fn finish(self) {
        let _ = self.ended.recv_timeout(LAST_WORDS);
    }
}

fn write_all(format: Format, records: &Receiver<Record>, lost: &AtomicU64) {
    for record in records {
        let mut lines = String::new();
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => lines.push_str(&format.line(&Record {
                level: Level::Warn,
                time_ms: record.time_ms,
                message: format!("log records lost because standard error was not read: {lost}"),
            })),
        }
        lines.push_str(&format.line(&record));
        // There is no other place to say that this one fails.
        let _ = std::io::stderr().lock().write_all(lines.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_in_every_format() {
        let record = Record {
            level: Level::Warn,
            time_ms: 1_722_956_645_007,
            message: "the API said \"no\"\nand more".to_owned(),
        };
        let line = |format: Format| format.line(&record);
        assert_eq!(
            line(Format::Text),
            "2024-08-06T15:04:05.007Z warn  the API said \"no\" and more\n"
        );
        assert_eq!(line(Format::Journal), "<4>the API said \"no\" and more\n");
        let read: serde_json::Value = serde_json::from_str(&line(Format::Json)).unwrap();
        assert_eq!(read["level"], "warn");
        assert_eq!(read["time"], "2024-08-06T15:04:05.007Z");
        assert_eq!(read["message"], "the API said \"no\" and more");
    }
}
