//! What the log is told, kept until the lock is released: an application's callback may be slow, or call back.

use std::fmt;

use super::{Dispatcher, Due};
use crate::clock::Moment;
use crate::delivery::verdict::MESSAGE_CHARS;
use crate::delivery::{PauseChange, Verdict};
use crate::exchange::Exchange;
use crate::log::{Level, Log};
use crate::store::Store;

impl<S: Store + ?Sized> Dispatcher<S> {
    pub(super) fn say_answer(&mut self, due: Due, exchange: &Exchange, verdict: &Verdict) {
        let events = due.events;
        if let Some(why) = failure(exchange, verdict) {
            let waits = match events {
                1 => "1 event waits".to_owned(),
                _ => format!("{events} events wait"),
            };
            self.say(Level::Warn, format_args!("{waits} for a retry: {why}"));
            self.last_failure = Some(why);
            return;
        }
        self.last_failure = None;
        match verdict {
            Verdict::Delivered => {
                self.say(Level::Debug, format_args!("delivered {events}"));
            }
            Verdict::Refused(refusal) if events > 1 => self.say(
                Level::Debug,
                format_args!(
                    "a batch of {events} was refused: {} (HTTP {})",
                    refusal.code, refusal.status
                ),
            ),
            Verdict::TooLarge { .. } if events > 1 => self.say(
                Level::Info,
                format_args!("a batch of {events} is too large (HTTP 413)"),
            ),
            // Told with what becomes of the event, or with the pause.
            _ => {}
        }
    }

    /// Notes what made a request come to nothing.
    pub(super) fn note_failed(
        &mut self,
        due: Due,
        exchange: &Exchange,
        verdict: &Verdict,
        now: Moment,
    ) {
        let (api_code, message) = match verdict {
            Verdict::Pause { code, message, .. } => (code.clone(), message.clone()),
            Verdict::TooLarge { refusal: None } => (None, "the request is too large".to_owned()),
            _ => match failure(exchange, verdict) {
                Some(why) => (None, why),
                None => return,
            },
        };
        self.is_failure_untold = true;
        self.failed = Some(Failed {
            at_ms: now.wall_ms,
            events: due.events as u64,
            http_status: match exchange {
                Exchange::Answered(answer) => Some(answer.status),
                Exchange::NotSent { .. } | Exchange::Unsettled { .. } => None,
            },
            api_code,
            message: message.chars().take(MESSAGE_CHARS).collect(),
        });
    }

    /// Counts and tells that a pause has begun, or tells that one has ended.
    pub(super) fn tell_pause(&mut self, change: Option<PauseChange>, now: Moment) {
        match change {
            Some(PauseChange::Begun(reason)) => {
                self.totals.measures.pauses += 1;
                // The pause may be because of them.
                self.say_untold();
                let Some(pause) = self.pause_state() else {
                    return;
                };
                let (cause, end) = (pause.cause(), pause.end(now.wall_ms));
                self.say(Level::Error, format_args!("paused ({reason}): {cause}"));
                self.say(
                    Level::Error,
                    format_args!("every event is kept during the pause; {end}"),
                );
            }
            Some(PauseChange::Ended(reason)) => self.say(
                Level::Info,
                format_args!("delivery goes on after the pause ({reason})"),
            ),
            None => {}
        }
    }

    /// A probe has not ended the pause.
    pub(super) fn say_still_paused(&mut self, now: Moment) {
        if let Some(pause) = self.pause_state() {
            let (reason, cause, end) = (pause.reason, pause.cause(), pause.end(now.wall_ms));
            self.say(
                Level::Info,
                format_args!("still paused ({reason}), {end}: {cause}"),
            );
        }
    }

    /// Leaves a note for the log. It is written once the lock is released, because the callback
    /// of an application may be slow, or call back.
    pub(crate) fn say(&mut self, level: Level, message: fmt::Arguments<'_>) {
        if self.log.keeps(level) {
            self.notes.push(Note::new(level, message));
        }
    }

    /// The notes since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// A request that came to nothing.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) at_ms: i64,
    pub(crate) events: u64,
    pub(crate) http_status: Option<u16>,
    pub(crate) api_code: Option<String>,
    pub(crate) message: String,
}

/// A record for the log.
#[derive(Debug)]
pub(crate) struct Note {
    level: Level,
    message: String,
}

impl Note {
    pub(crate) fn new(level: Level, message: fmt::Arguments<'_>) -> Self {
        Self {
            level,
            message: message.to_string(),
        }
    }

    pub(crate) fn write(&self, log: &Log) {
        log.write(self.level, format_args!("{}", self.message));
    }
}

/// Why a request has to be repeated, if it has to.
fn failure(exchange: &Exchange, verdict: &Verdict) -> Option<String> {
    match (exchange, verdict) {
        (Exchange::NotSent { why } | Exchange::Unsettled { why }, _) => Some(why.clone()),
        (Exchange::Answered(answer), Verdict::Retry { .. } | Verdict::InDoubt { .. }) => {
            Some(format!("HTTP {}", answer.status))
        }
        _ => None,
    }
}
