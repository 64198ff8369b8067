//! `meditopia status --check`: one line and an exit status for Nagios and compatible monitoring
//! systems.

use std::time::Duration;

use meditopia::PauseReason;

use super::snapshot::Snapshot;
use crate::failure::{Failure, USAGE};
use crate::output::{byte_size, event_count, grouped};
use crate::times::{parse_span, show_span};

/// The limits for a warning and for a critical result.
#[derive(Debug, clap::Args)]
pub struct Thresholds {
    /// Report WARNING if the oldest event has been pending this long; by default 15m, or --crit-age
    /// if that is shorter
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    warn_age: Option<Duration>,
    /// Report CRITICAL if the oldest event has been pending this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h", requires = "check")]
    crit_age: Duration,
    /// Report WARNING if this many events are pending
    #[arg(long, value_name = "EVENTS", requires = "check")]
    warn_pending: Option<u64>,
    /// Report CRITICAL if this many events are pending
    #[arg(long, value_name = "EVENTS", requires = "check")]
    crit_pending: Option<u64>,
    /// Report WARNING if this many rejected events are kept
    #[arg(long, value_name = "EVENTS", requires = "check")]
    warn_rejected: Option<u64>,
    /// Report CRITICAL if this many rejected events are kept
    #[arg(long, value_name = "EVENTS", requires = "check")]
    crit_rejected: Option<u64>,
    /// Report WARNING if no sender was seen for this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    warn_sender: Option<Duration>,
    /// Report CRITICAL if no sender was seen for this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    crit_sender: Option<Duration>,
    /// Report WARNING if the spool's disk has less than this many MiB free
    #[arg(long, value_name = "MIB", requires = "check")]
    warn_free: Option<u64>,
    /// Report CRITICAL if the spool's disk has less than this many MiB free
    #[arg(long, value_name = "MIB", requires = "check")]
    crit_free: Option<u64>,
}

/// The default of `--warn-age`.
const WARN_AGE: Duration = Duration::from_secs(15 * 60);

impl Thresholds {
    fn warn_age(&self) -> Duration {
        self.warn_age.unwrap_or(WARN_AGE.min(self.crit_age))
    }

    /// Refuses a pair of limits whose critical one is reached first, because its warning could
    /// never come.
    pub fn validate(&self) -> Result<(), Failure> {
        let pairs = [
            ("age", self.warn_age > Some(self.crit_age)),
            ("pending", is_above(self.warn_pending, self.crit_pending)),
            ("rejected", is_above(self.warn_rejected, self.crit_rejected)),
            ("sender", is_above(self.warn_sender, self.crit_sender)),
            ("free", is_above(self.crit_free, self.warn_free)),
        ];
        let Some((name, _)) = pairs.iter().find(|(_, is_crossed)| *is_crossed) else {
            return Ok(());
        };
        let default = if *name == "age" {
            " (by default 1h)"
        } else {
            ""
        };
        Err(Failure::new(
            USAGE,
            format!(
                "--warn-{name}: --crit-{name}{default} is reached first, so this never warns; exchange the two, or set both"
            ),
        ))
    }
}

fn is_above<T: PartialOrd>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one > other)
}

/// The result of a check; its number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl Grade {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

const MIB: u64 = 1024 * 1024;

/// The grade of a spool, and the line that gives the reasons, followed by the figures.
pub fn grade(snapshot: &Snapshot, limits: &Thresholds) -> (Grade, String) {
    let stats = &snapshot.stats;
    let age = Duration::from_millis(snapshot.oldest_age_ms().unwrap_or(0).unsigned_abs());
    let kept = snapshot.rejected_kept();
    let free = snapshot.disk.free_bytes;
    let sender_ago = stats
        .sender_seen_ms
        .map(|at| Duration::from_millis((snapshot.now_ms - at).max(0).unsigned_abs()));
    let mut problems: Vec<(Grade, String)> = Vec::new();

    if snapshot.known.is_elsewhere {
        problems.push((
            Grade::Critical,
            "copied or moved: run meditopia adopt".to_owned(),
        ));
    }
    match stats.paused {
        None => {}
        Some(PauseReason::Hold) => {
            problems.push((Grade::Warning, "held by an operator".to_owned()))
        }
        Some(reason) => problems.push((Grade::Critical, format!("paused: {reason}"))),
    }
    if let Some(retry) = snapshot.retry().filter(|retry| retry.is_lasting) {
        let retry = retry.in_words(snapshot.now_ms);
        problems.push((Grade::Warning, format!("waiting for a retry: {retry}")));
    }
    if snapshot.disk.is_full {
        problems.push((Grade::Critical, "the disk is full".to_owned()));
    }
    let oldest = format!(
        "the oldest event has been pending for {}",
        show_span(age.as_millis() as i64)
    );
    problems.extend(reached(
        age,
        Some(limits.warn_age()),
        Some(limits.crit_age),
        oldest,
    ));
    let pending = format!("{} pending", event_count(stats.pending));
    problems.extend(reached(
        stats.pending,
        limits.warn_pending,
        limits.crit_pending,
        pending,
    ));
    let rejected = format!("{} rejected", event_count(kept));
    problems.extend(reached(
        kept,
        limits.warn_rejected,
        limits.crit_rejected,
        rejected,
    ));
    let ago = sender_ago.unwrap_or(Duration::MAX);
    let unseen = match sender_ago {
        Some(ago) => format!(
            "no sender was seen for {}",
            show_span(ago.as_millis() as i64)
        ),
        None => "no sender was ever seen".to_owned(),
    };
    if !snapshot.is_sender_alive() {
        problems.extend(reached(ago, limits.warn_sender, limits.crit_sender, unseen));
    }
    let below = |mib: Option<u64>| mib.is_some_and(|mib| free < mib.saturating_mul(MIB));
    let left = format!("{} free", byte_size(free));
    if below(limits.crit_free) {
        problems.push((Grade::Critical, left));
    } else if below(limits.warn_free) {
        problems.push((Grade::Warning, left));
    }

    problems.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    let grade = problems.first().map_or(Grade::Ok, |(grade, _)| *grade);
    let why = match problems.as_slice() {
        [] => format!(
            "{} pending, {} rejected",
            event_count(stats.pending),
            grouped(kept)
        ),
        problems => problems
            .iter()
            .map(|(_, problem)| problem.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let figures = figures(snapshot, limits, age, kept);
    (
        grade,
        format!("MEDITOPIA {} - {why} | {figures}", grade.name()),
    )
}

/// The problem with its grade, if `value` reaches a limit.
fn reached<T: PartialOrd>(
    value: T,
    warn: Option<T>,
    critical: Option<T>,
    problem: String,
) -> Option<(Grade, String)> {
    let reaches = |limit: Option<T>| limit.is_some_and(|limit| value >= limit);
    match (reaches(critical), reaches(warn)) {
        (true, _) => Some((Grade::Critical, problem)),
        (_, true) => Some((Grade::Warning, problem)),
        _ => None,
    }
}

/// The figures in the format `name=value[unit];warn;critical;minimum`.
fn figures(snapshot: &Snapshot, limits: &Thresholds, age: Duration, kept: u64) -> String {
    let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
    let figure = |name: &str, value: u64, unit: &str, warn: Option<u64>, critical: Option<u64>| {
        format!("{name}={value}{unit};{};{};0", limit(warn), limit(critical))
    };
    let free = |mib: Option<u64>| mib.map(|mib| mib.saturating_mul(MIB));
    let below = |bound: Option<u64>| bound.map(|b| format!("{b}:")).unwrap_or_default();
    [
        figure(
            "pending",
            snapshot.stats.pending,
            "",
            limits.warn_pending,
            limits.crit_pending,
        ),
        figure(
            "oldest_age",
            age.as_secs(),
            "s",
            Some(limits.warn_age().as_secs()),
            Some(limits.crit_age.as_secs()),
        ),
        figure("in_doubt", snapshot.stats.in_doubt, "", None, None),
        figure(
            "rejected",
            kept,
            "",
            limits.warn_rejected,
            limits.crit_rejected,
        ),
        // A counter: it only grows.
        figure("delivered", snapshot.stats.delivered, "c", None, None),
        format!(
            "free={}B;{};{};0",
            snapshot.disk.free_bytes,
            below(free(limits.warn_free)),
            below(free(limits.crit_free))
        ),
    ]
    .join(" ")
}
