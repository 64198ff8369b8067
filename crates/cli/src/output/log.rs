//! The log of a command on standard error: as text, as JSON lines, or in the format of the systemd
//! journal.
//!
//! The library calls back on the thread that logs, which may be the one that sends. The callback
//! therefore only puts the record into a queue, and a thread of its own writes it. If nobody reads
//! standard error, the sender continues; records that do not fit into the queue are counted, and
//! the count is logged.

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use super::shown;
use meditopia::internals::clock::wall_ms;
use meditopia::{Config, LogCallback as Callback, LogLevel as Level, LogRecord as Record};

/// The number of records that are kept for a slow reader.
const QUEUE_RECORDS: usize = 1_024;
/// How long the command waits at its end for the last records to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// The format of a log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Time, level and message
    Text,
    /// One JSON object per line, with time, level and message
    Json,
    /// <PRIORITY> and message, for the systemd journal
    Journal,
}

impl LogFormat {
    /// `Journal` if standard error goes to the systemd journal, otherwise `Text`.
    pub fn of_standard_error() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let standard_error = rustix::fs::fstat(std::io::stderr())
            .ok()
            .map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        if journal.is_some() && journal == standard_error {
            Self::Journal
        } else {
            Self::Text
        }
    }

    fn line(self, record: &Record) -> String {
        // A message of this command may quote anything; the library's are shown already.
        let message = shown(&record.message.replace(['\n', '\r'], " "), &[]);
        let level = record.level.name();
        let time = || match jiff::Timestamp::from_millisecond(record.time_ms) {
            Ok(time) => format!("{time:.3}"),
            Err(_) => record.time_ms.to_string(),
        };
        match self {
            Self::Text => format!("{} {level:5} {message}\n", time()),
            Self::Journal => format!("<{}>{message}\n", syslog_priority(record.level)),
            Self::Json => {
                let line = serde_json::json!({"time": time(), "level": level, "message": message});
                format!("{line}\n")
            }
        }
    }
}

/// How many levels there are up to this one.
fn levels_up_to(level: Option<Level>) -> u8 {
    level.map_or(0, |level| level as u8 + 1)
}

/// The priority of a level in syslog.
fn syslog_priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

/// The log of a command. Clones write to the same log.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Record>,
    lost: Arc<AtomicU64>,
    /// How many of the levels are written: a reload changes it.
    levels: Arc<AtomicU8>,
}

/// The thread that writes the log.
pub struct LogThread {
    ended: Receiver<()>,
}

impl Log {
    /// Starts a log of the records up to `level`; `None` writes nothing.
    ///
    /// Errors: the thread cannot be started.
    pub fn start(format: LogFormat, level: Option<Level>) -> std::io::Result<(Self, LogThread)> {
        let (queue, records) = sync_channel(QUEUE_RECORDS);
        let lost = Arc::new(AtomicU64::new(0));
        let (ending, ended) = channel();
        let counted_lost = lost.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_all(format, &records, &counted_lost);
                drop(ending);
            })?;
        let levels = Arc::new(AtomicU8::new(levels_up_to(level)));
        let log = Self {
            queue,
            lost,
            levels,
        };
        Ok((log, LogThread { ended }))
    }

    /// Writes the records up to `level` from now on.
    pub fn set_level(&self, level: Option<Level>) {
        self.levels.store(levels_up_to(level), Ordering::Relaxed);
    }

    /// A callback that adds the library's records to this log.
    pub fn callback(&self) -> Callback {
        let log = self.clone();
        Box::new(move |record| log.write(record.clone()))
    }

    /// Logs the warnings of a configuration, such as unknown keys.
    pub fn warn_about(&self, config: &Config) {
        for warning in config.warnings() {
            self.warn(warning);
        }
    }

    pub fn error(&self, message: impl Display) {
        self.add(Level::Error, message);
    }

    pub fn warn(&self, message: impl Display) {
        self.add(Level::Warn, message);
    }

    pub fn info(&self, message: impl Display) {
        self.add(Level::Info, message);
    }

    fn add(&self, level: Level, message: impl Display) {
        self.write(Record {
            level,
            time_ms: wall_ms(),
            message: message.to_string(),
        });
    }

    fn write(&self, record: Record) {
        if levels_up_to(Some(record.level)) > self.levels.load(Ordering::Relaxed) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(record) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogThread {
    /// Waits briefly for the last records to be written. Drop every [`Log`] before.
    pub fn finish(self) {
        let _ = self.ended.recv_timeout(FINISH_TIMEOUT);
    }
}

fn write_all(format: LogFormat, records: &Receiver<Record>, lost: &AtomicU64) {
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
        // If this fails there is no other place to report it.
        let _ = std::io::stderr().lock().write_all(lines.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_record_is_one_line_in_every_format() {
        let record = Record {
            level: Level::Warn,
            time_ms: 1_722_956_645_007,
            message: "the API said \"no\"\nand more".to_owned(),
        };
        let line = |format: LogFormat| format.line(&record);
        assert_eq!(
            line(LogFormat::Text),
            "2024-08-06T15:04:05.007Z warn  the API said \"no\" and more\n"
        );
        assert_eq!(
            line(LogFormat::Journal),
            "<4>the API said \"no\" and more\n"
        );
        let read: serde_json::Value = serde_json::from_str(&line(LogFormat::Json)).unwrap();
        assert_eq!(read["level"], "warn");
        assert_eq!(read["time"], "2024-08-06T15:04:05.007Z");
        assert_eq!(read["message"], "the API said \"no\" and more");
    }
}
