//! Whether this process is alive, and whether the spool's events are being delivered.
//!
//! Alive is a sender whose threads come by as they said they would; see [`Vitals`]. One that waits for an
//! API that is away is alive. Ready is more: events go, or would go, through this process or through the
//! one that it stands by for. A pause is a reason to be unready, and so is an API that is away, though the
//! sender tries on by itself; one failure is not, or a probe would flap (see [`Retry::is_lasting`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meditopia::Stats;
use meditopia::internals::client::{Retry, Standing, Vitals};

use super::current::Current;

/// A sender of another process that was not seen for so long is stuck; it shows itself every second.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// How this process is.
pub struct Health {
    pub current: Arc<Current>,
    /// How much its threads may be overdue.
    tolerance: Duration,
    ending: AtomicBool,
}

impl Health {
    pub fn new(current: Arc<Current>, tolerance: Duration) -> Self {
        Self {
            current,
            tolerance,
            ending: AtomicBool::new(false),
        }
    }

    /// It was told to end.
    pub fn ends(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the sender is alive; an error says what it is instead.
    pub fn alive(&self) -> Result<(), String> {
        match self.current.vitals() {
            Ok(vitals) => alive(&vitals, self.tolerance),
            // Between two clients, or at the end.
            Err(_) => Ok(()),
        }
    }

    /// Whether events are being delivered and how; an error says why not.
    pub async fn ready(&self) -> Result<String, String> {
        let state = self.state().await?;
        let look = self.current.look().await?;
        match &look.retry {
            Some(retry) => retrying(retry, &look.stats, state, now_ms()),
            None => Ok(state),
        }
    }

    /// Who sends, whether the API takes it or is away; an error says why nobody does.
    pub async fn state(&self) -> Result<String, String> {
        if self.ending.load(Ordering::Relaxed) {
            return Err("this process is ending".to_owned());
        }
        let vitals = self.current.vitals().map_err(|e| e.to_string())?;
        alive(&vitals, self.tolerance)?;
        let look = self.current.look().await?;
        state(&vitals.standing, &look.stats, now_ms())
    }
}

fn alive(vitals: &Vitals, tolerance: Duration) -> Result<(), String> {
    if vitals.overdue < tolerance {
        return Ok(());
    }
    Err(format!(
        "the sender is stuck: a thread of it is overdue by {} s",
        vitals.overdue.as_secs()
    ))
}

fn state(standing: &Standing, stats: &Stats, now_ms: i64) -> Result<String, String> {
    if let Some(reason) = stats.paused {
        let since = stats
            .paused_since_ms
            .map_or_else(String::new, |since| format!(" since {}", in_words(since)));
        return Err(format!(
            "paused ({reason}){since}; {} events wait",
            stats.pending
        ));
    }
    let waiting = format!("{} events wait", stats.pending);
    match standing {
        Standing::Elected | Standing::Busy => Ok(format!("sending; {waiting}")),
        Standing::Off => Err("the sender does not run".to_owned()),
        Standing::Hindered(error) => Err(format!("nothing is sent: {error}")),
        Standing::StandBy => match (stats.sender_pid, stats.sender_seen_ms) {
            (Some(pid), Some(seen_ms)) if now_ms - seen_ms <= SEEN_WITHIN.as_millis() as i64 => {
                Ok(format!("stand-by: pid {pid} sends; {waiting}"))
            }
            (Some(pid), Some(seen_ms)) => Err(format!(
                "another process is elected, and nobody was seen to send since {} (pid {pid}); {waiting}",
                in_words(seen_ms)
            )),
            _ => Err(format!("nobody was elected yet; {waiting}")),
        },
    }
}

fn retrying(retry: &Retry, stats: &Stats, state: String, now_ms: i64) -> Result<String, String> {
    match retry.is_lasting && stats.pending > 0 {
        false => Ok(state),
        true => Err(format!(
            "waiting for a retry: {}; {} events wait",
            retry.in_words(now_ms),
            stats.pending
        )),
    }
}

/// A wall time, in UTC.
pub fn in_words(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{time_ms} ms"),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use meditopia::{Error, ErrorKind, PauseReason};

    use super::*;

    const NOW_MS: i64 = 1_722_956_645_000;

    fn seen(ago_ms: i64) -> Stats {
        Stats {
            sender_pid: Some(81),
            sender_seen_ms: Some(NOW_MS - ago_ms),
            ..Stats::default()
        }
    }

    #[test]
    fn a_stand_by_is_ready_while_the_elected_one_is_seen() {
        let stand_by = |stats| state(&Standing::StandBy, &stats, NOW_MS);
        assert!(stand_by(seen(30_000)).unwrap().contains("pid 81"));
        let silent = stand_by(seen(30_001)).expect_err("nobody sends");
        assert!(silent.contains("2024-08-06T15:03:34Z"), "{silent}");
        stand_by(Stats::default()).expect_err("nobody was ever seen");
        // One that sends itself has no need to be seen.
        state(&Standing::Elected, &Stats::default(), NOW_MS).unwrap();
    }

    #[test]
    fn a_pause_goes_before_all_else_whoever_sends() {
        let hindered = Standing::Hindered(Error::new(ErrorKind::Io, "the disk"));
        for standing in [Standing::Elected, Standing::StandBy, hindered] {
            let paused = Stats {
                paused: Some(PauseReason::Auth),
                paused_since_ms: Some(NOW_MS),
                ..seen(0)
            };
            let why = state(&standing, &paused, NOW_MS).expect_err("paused");
            assert!(why.starts_with("paused (auth) since 2024-08-06T15:04:05Z"));
        }
    }

    #[test]
    fn what_hinders_the_sender_is_told() {
        let hindered = Standing::Hindered(Error::new(ErrorKind::Io, "the disk"));
        let why = state(&hindered, &seen(0), NOW_MS).expect_err("hindered");
        assert!(why.contains("the disk"));
        state(&Standing::Off, &seen(0), NOW_MS).expect_err("does not run");
    }

    #[test]
    fn as_much_overdue_as_is_tolerated_is_stuck() {
        let overdue = |overdue| Vitals {
            standing: Standing::Busy,
            overdue,
        };
        let second = Duration::from_secs(1);
        alive(&overdue(second - Duration::from_millis(1)), second).unwrap();
        alive(&overdue(second), second).expect_err("stuck");
    }

    #[test]
    fn an_api_that_is_away_is_told_and_one_failure_is_not() {
        let retry = Retry {
            next_ms: NOW_MS + 12_000,
            server_errors: 4,
            connection_lost: false,
            is_lasting: true,
        };
        let waiting = Stats {
            pending: 5,
            ..seen(0)
        };
        let asked = |retry: &Retry, stats| retrying(retry, stats, "sending".to_owned(), NOW_MS);
        let why = asked(&retry, &waiting).expect_err("away");
        assert_eq!(
            why,
            "waiting for a retry: next try in 12 s, after 4 server errors in a row; 5 events wait"
        );
        let nothing_waits = seen(0);
        asked(&retry, &nothing_waits).unwrap();
        let accident = Retry {
            is_lasting: false,
            ..retry
        };
        assert_eq!(asked(&accident, &waiting).unwrap(), "sending");
    }
}
