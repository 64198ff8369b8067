//! `meditopia status --check`: one line and an exit status as Nagios and its kin want them.

use std::time::Duration;

use meditopia::PauseReason;

use super::snapshot::Snapshot;
use crate::failure::{Failure, USAGE};
use crate::output::{bytes, events, grouped};
use crate::times::{parse_span, show_span};

/// From when on a spool is worth a look, and from when on a call at night.
#[derive(Debug, clap::Args)]
pub struct Thresholds {
    /// Warn when the oldest event waits this long; 15m unless given, or --crit-age if that is less
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    warn_age: Option<Duration>,
    /// Be critical when the oldest event waits this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h", requires = "check")]
    crit_age: Duration,
    /// Warn when so many events wait
    #[arg(long, value_name = "EVENTS", requires = "check")]
    warn_pending: Option<u64>,
    /// Be critical when so many events wait
    #[arg(long, value_name = "EVENTS", requires = "check")]
    crit_pending: Option<u64>,
    /// Warn when so many rejected events are kept
    #[arg(long, value_name = "EVENTS", requires = "check")]
    warn_rejected: Option<u64>,
    /// Be critical when so many rejected events are kept
    #[arg(long, value_name = "EVENTS", requires = "check")]
    crit_rejected: Option<u64>,
    /// Warn when no sender was seen for this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    warn_sender: Option<Duration>,
    /// Be critical when no sender was seen for this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    crit_sender: Option<Duration>,
    /// Warn when the spool's disk has less than so many MiB free
    #[arg(long, value_name = "MIB", requires = "check")]
    warn_free: Option<u64>,
    /// Be critical when the spool's disk has less than so many MiB free
    #[arg(long, value_name = "MIB", requires = "check")]
    crit_free: Option<u64>,
}

/// When the oldest event waits for so long somebody should look, unless it is said otherwise.
const WARN_AGE: Duration = Duration::from_secs(15 * 60);

impl Thresholds {
    fn warn_age(&self) -> Duration {
        self.warn_age.unwrap_or(WARN_AGE.min(self.crit_age))
    }

    /// A warning that could never come is a slip of whoever gave it.
    ///
    /// Errors: the pair of which the critical one is reached first.
    pub fn check(&self) -> Result<(), Failure> {
        let crossed = [
            ("age", self.warn_age > Some(self.crit_age)),
            ("pending", is_above(self.warn_pending, self.crit_pending)),
            ("rejected", is_above(self.warn_rejected, self.crit_rejected)),
            ("sender", is_above(self.warn_sender, self.crit_sender)),
            ("free", is_above(self.crit_free, self.warn_free)),
        ];
        let Some((what, _)) = crossed.iter().find(|(_, crossed)| *crossed) else {
            return Ok(());
        };
        let default = if *what == "age" {
            " (1h unless given)"
        } else {
            ""
        };
        Err(Failure::new(
            USAGE,
            format!(
                "--warn-{what}: --crit-{what}{default} is reached before it, so it never warns; exchange them, or set both"
            ),
        ))
    }
}

fn is_above<T: PartialOrd>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one > other)
}

/// How grave it is; the number is the exit status.
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

/// The grade, and the line that says why, with the figures behind the bar.
pub fn check(seen: &Snapshot, limits: &Thresholds) -> (Grade, String) {
    let stats = &seen.stats;
    let age = Duration::from_millis(seen.oldest_age_ms().unwrap_or(0).unsigned_abs());
    let kept = seen.rejected_kept();
    let free = seen.room.free_bytes;
    let sender_ago = stats
        .sender_seen_ms
        .map(|at| Duration::from_millis((seen.now_ms - at).max(0).unsigned_abs()));
    let mut found: Vec<(Grade, String)> = Vec::new();

    if seen.known.is_elsewhere {
        found.push((
            Grade::Critical,
            "copied or moved: meditopia adopt".to_owned(),
        ));
    }
    match stats.paused {
        None => {}
        Some(PauseReason::Hold) => found.push((Grade::Warning, "held by an operator".to_owned())),
        Some(reason) => found.push((Grade::Critical, format!("paused: {reason}"))),
    }
    if let Some(retry) = seen.retry().filter(|retry| retry.is_lasting) {
        let retry = retry.in_words(seen.now_ms);
        found.push((Grade::Warning, format!("waiting for a retry: {retry}")));
    }
    if seen.room.is_full {
        found.push((Grade::Critical, "the disk is full".to_owned()));
    }
    let waits = format!(
        "the oldest event waits for {}",
        show_span(age.as_millis() as i64)
    );
    found.extend(reached(
        age,
        Some(limits.warn_age()),
        Some(limits.crit_age),
        waits,
    ));
    let pending = format!("{} wait", events(stats.pending));
    found.extend(reached(
        stats.pending,
        limits.warn_pending,
        limits.crit_pending,
        pending,
    ));
    let rejected = format!("{} rejected", events(kept));
    found.extend(reached(
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
    if !seen.is_sender_alive() {
        found.extend(reached(ago, limits.warn_sender, limits.crit_sender, unseen));
    }
    let below = |mib: Option<u64>| mib.is_some_and(|mib| free < mib.saturating_mul(MIB));
    let left = format!("{} free", bytes(free));
    if below(limits.crit_free) {
        found.push((Grade::Critical, left));
    } else if below(limits.warn_free) {
        found.push((Grade::Warning, left));
    }

    found.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    let grade = found.first().map_or(Grade::Ok, |(grade, _)| *grade);
    let why = match found.as_slice() {
        [] => format!("{} wait, {} rejected", events(stats.pending), grouped(kept)),
        found => found
            .iter()
            .map(|(_, what)| what.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let figures = figures(seen, limits, age, kept);
    (
        grade,
        format!("MEDITOPIA {} - {why} | {figures}", grade.name()),
    )
}

fn reached<T: PartialOrd>(
    value: T,
    warn: Option<T>,
    critical: Option<T>,
    what: String,
) -> Option<(Grade, String)> {
    let is = |limit: Option<T>| limit.is_some_and(|limit| value >= limit);
    match (is(critical), is(warn)) {
        (true, _) => Some((Grade::Critical, what)),
        (_, true) => Some((Grade::Warning, what)),
        _ => None,
    }
}

/// `name=value[unit];warn;critical;least`
fn figures(seen: &Snapshot, limits: &Thresholds, age: Duration, kept: u64) -> String {
    let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
    let figure = |name: &str, value: u64, unit: &str, warn: Option<u64>, critical: Option<u64>| {
        format!("{name}={value}{unit};{};{};0", limit(warn), limit(critical))
    };
    let free = |mib: Option<u64>| mib.map(|mib| mib.saturating_mul(MIB));
    let below = |bound: Option<u64>| bound.map(|b| format!("{b}:")).unwrap_or_default();
    [
        figure(
            "pending",
            seen.stats.pending,
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
        figure("in_doubt", seen.stats.in_doubt, "", None, None),
        figure(
            "rejected",
            kept,
            "",
            limits.warn_rejected,
            limits.crit_rejected,
        ),
        // It only grows: a counter.
        figure("delivered", seen.stats.delivered, "c", None, None),
        format!(
            "free={}B;{};{};0",
            seen.room.free_bytes,
            below(free(limits.warn_free)),
            below(free(limits.crit_free))
        ),
    ]
    .join(" ")
}
