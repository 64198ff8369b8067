//! Whether this process is alive, and whether the spool's events are being delivered.
//!
//! The process is alive if the threads of its sender report in time; see [`Vitals`]. A sender that
//! waits for an unavailable API is alive. Ready means more: events are delivered, or would be, by
//! this process or by the elected one for which it stands by. The process is not ready during a
//! pause, and not while the API is unavailable, although the sender retries by itself. A single
//! failure does not make it unready, because a probe would then flap (see [`Retry::is_lasting`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meditopia::Stats;
use meditopia::internals::client::{Retry, Standing, Vitals};
use meditopia::internals::clock::wall_ms;

use super::current_client::CurrentClient;
use crate::output::{failures, figures};

/// No sender is there if the last heartbeat is older; one is written at least every second. A process that is
/// elected and silent is noticed earlier where its lock can be seen: see [`SenderState`](crate::commands::status::sender_state::SenderState).
const HEARTBEAT_VALID: Duration = Duration::from_secs(5);

/// The health of this process.
pub struct Health {
    pub client: Arc<CurrentClient>,
    /// How much the sender's threads may be overdue.
    tolerance: Duration,
    ending: AtomicBool,
}

impl Health {
    pub fn new(client: Arc<CurrentClient>, tolerance: Duration) -> Self {
        Self {
            client,
            tolerance,
            ending: AtomicBool::new(false),
        }
    }

    /// Notes that the process is ending.
    pub fn set_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the sender is alive; an error says what is wrong.
    pub fn check_alive(&self) -> Result<(), String> {
        match self.client.vitals() {
            Ok(vitals) => check_overdue(&vitals, self.tolerance),
            // There is no client during a reload and at the end.
            Err(_) => Ok(()),
        }
    }

    /// Whether events are being delivered, and by which process; an error says why not.
    pub async fn check_ready(&self) -> Result<String, String> {
        let standing = self.describe_sender().await;
        let spool = match (self.client.spool_state().await, &standing) {
            (Ok(spool), _) => spool,
            (Err(_), Err(why)) => return Err(why.clone()),
            (Err(why), Ok(_)) => return Err(why),
        };
        let ready = standing.and_then(|standing| match &spool.retry {
            Some(retry) => check_retry(retry, &spool.stats, standing, wall_ms()),
            None => Ok(standing),
        });
        ready.map_err(|why| match &spool.last_failure {
            Some(failed) => format!(
                "{why}; the last failure: {}",
                failures::describe(failed, wall_ms())
            ),
            None => why,
        })
    }

    /// Which process sends, whether the API is available or not; an error says why none does.
    pub async fn describe_sender(&self) -> Result<String, String> {
        if self.ending.load(Ordering::Relaxed) {
            return Err("this process is ending".to_owned());
        }
        let vitals = self.client.vitals().map_err(|e| e.to_string())?;
        check_overdue(&vitals, self.tolerance)?;
        let spool = self.client.spool_state().await?;
        let problem = spool.sender_problem.as_deref();
        describe_standing(&vitals.standing, &spool.stats, problem, wall_ms())
    }
}

fn check_overdue(vitals: &Vitals, tolerance: Duration) -> Result<(), String> {
    if vitals.overdue < tolerance {
        return Ok(());
    }
    Err(format!(
        "the sender is stuck: one of its threads is overdue by {} s",
        vitals.overdue.as_secs()
    ))
}

/// `problem`: what keeps the process that is elected from sending.
fn describe_standing(
    standing: &Standing,
    stats: &Stats,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<String, String> {
    if let Some(reason) = stats.paused {
        let since = stats
            .paused_since_ms
            .map_or_else(String::new, |since| format!(" since {}", utc(since)));
        let pending = figures::all_pending(stats);
        return Err(format!("paused ({reason}){since}; {pending}"));
    }
    let pending = figures::all_pending(stats);
    match standing {
        Standing::Elected | Standing::Busy => Ok(format!("sending; {pending}")),
        Standing::Off => Err("the sender is not running".to_owned()),
        Standing::Hindered(error) => Err(format!("nothing is sent: {error}")),
        Standing::StandBy => match (problem, stats.sender_pid, stats.sender_seen_ms) {
            (Some(problem), ..) => Err(format!("{problem}; {pending}")),
            (None, Some(pid), Some(seen_ms))
                if now_ms - seen_ms <= HEARTBEAT_VALID.as_millis() as i64 =>
            {
                Ok(format!("stand-by: pid {pid} sends; {pending}"))
            }
            (None, Some(pid), Some(seen_ms)) => Err(format!(
                "no sender was seen since {} (pid {pid}); {pending}",
                utc(seen_ms)
            )),
            _ => Err(format!("no sender has been elected yet; {pending}")),
        },
    }
}

/// Returns `standing`, unless the retry shows that the API is unavailable.
fn check_retry(
    retry: &Retry,
    stats: &Stats,
    standing: String,
    now_ms: i64,
) -> Result<String, String> {
    match retry.is_lasting && stats.pending > 0 {
        false => Ok(standing),
        true => Err(format!(
            "waiting for a retry: {}; {}",
            retry.in_words(now_ms),
            figures::all_pending(stats)
        )),
    }
}

/// A wall time in UTC.
fn utc(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{time_ms} ms"),
    }
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
    fn a_process_on_stand_by_is_ready_while_the_elected_sender_is_seen() {
        let stand_by = |stats| describe_standing(&Standing::StandBy, &stats, None, NOW_MS);
        assert!(stand_by(seen(5_000)).unwrap().contains("pid 81"));
        let silent = stand_by(seen(5_001)).expect_err("no sender is seen");
        assert!(silent.contains("2024-08-06T15:03:59Z"), "{silent}");
        stand_by(Stats::default()).expect_err("no sender was ever seen");
        // The elected process itself does not depend on its heartbeat.
        describe_standing(&Standing::Elected, &Stats::default(), None, NOW_MS).unwrap();
        // One that is seen to be stopped is none, however recent its heartbeat is.
        let stopped = describe_standing(&Standing::StandBy, &seen(0), Some("stopped"), NOW_MS);
        assert_eq!(stopped, Err("stopped; 0 events pending".to_owned()));
    }

    #[test]
    fn a_pause_takes_precedence_over_every_standing_of_the_sender() {
        let hindered = Standing::Hindered(Error::new(ErrorKind::Io, "the disk"));
        for standing in [Standing::Elected, Standing::StandBy, hindered] {
            let paused = Stats {
                paused: Some(PauseReason::Auth),
                paused_since_ms: Some(NOW_MS),
                ..seen(0)
            };
            let why = describe_standing(&standing, &paused, None, NOW_MS).expect_err("paused");
            assert!(why.starts_with("paused (auth) since 2024-08-06T15:04:05Z"));
        }
    }

    #[test]
    fn readiness_names_the_error_that_hinders_the_sender() {
        let hindered = Standing::Hindered(Error::new(ErrorKind::Io, "the disk"));
        let why = describe_standing(&hindered, &seen(0), None, NOW_MS).expect_err("hindered");
        assert!(why.contains("the disk"));
        describe_standing(&Standing::Off, &seen(0), None, NOW_MS).expect_err("not running");
    }

    #[test]
    fn a_sender_that_is_overdue_by_the_tolerance_is_stuck() {
        let overdue = |overdue| Vitals {
            standing: Standing::Busy,
            overdue,
        };
        let second = Duration::from_secs(1);
        check_overdue(&overdue(second - Duration::from_millis(1)), second).unwrap();
        check_overdue(&overdue(second), second).expect_err("stuck");
    }

    #[test]
    fn readiness_reports_an_unavailable_api_but_not_a_single_failure() {
        let retry = Retry {
            next_ms: NOW_MS + 12_000,
            server_errors: 4,
            connection_lost: false,
            is_lasting: true,
        };
        let with_pending = Stats {
            pending: 5,
            ..seen(0)
        };
        let check = |retry: &Retry, stats| check_retry(retry, stats, "sending".to_owned(), NOW_MS);
        let why = check(&retry, &with_pending).expect_err("unavailable");
        assert_eq!(
            why,
            "waiting for a retry: next try in 12 s, after 4 server errors in a row; 5 events pending"
        );
        let nothing_pending = seen(0);
        check(&retry, &nothing_pending).unwrap();
        let single_failure = Retry {
            is_lasting: false,
            ..retry
        };
        assert_eq!(check(&single_failure, &with_pending).unwrap(), "sending");
    }
}
