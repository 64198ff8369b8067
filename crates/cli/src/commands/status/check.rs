//! `meditopia status --check`: one line and an exit status for Nagios and compatible monitoring
//! systems.

use std::path::Path;
use std::time::Duration;

use meditopia::internals::spelling::shell_word;
use meditopia::internals::spool::DiskSpace;
use serde_json::{Value, json};

use super::fleet::snapshot::FleetSnapshot;
use super::snapshot::Snapshot;
use crate::alarms::{self, Alarm, Grade, Patience, reached};
use crate::failure::{Failure, USAGE};
use crate::fleet_alarms;
use crate::options::typed::Typed;
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
    /// Report WARNING if no sender was seen for this long; by default 5m, and only while events wait
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    warn_sender: Option<Duration>,
    /// Report CRITICAL if no sender was seen for this long; by default 20m, and only while events wait
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "check")]
    crit_sender: Option<Duration>,
    /// Report WARNING if the spool's disk has less than this many MiB free; by default if it is nearly full
    #[arg(long, value_name = "MIB", requires = "check")]
    warn_free: Option<u64>,
    /// Report CRITICAL if the spool's disk has less than this many MiB free; by default if events will soon be refused
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

impl Thresholds {
    /// Refuses a limit of what a fleet does not have.
    pub fn validate_for_fleet(&self) -> Result<(), Failure> {
        match self.warn_free.or(self.crit_free) {
            None => Ok(()),
            Some(_) => Err(Failure::new(
                USAGE,
                "--warn-free and --crit-free are about the disk of a spool; leave them out with --store, and watch the disk of the database",
            )),
        }
    }
}

fn is_above<T: PartialOrd>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one > other)
}

const MIB: u64 = 1024 * 1024;

/// What a check has found: the worst grade first.
pub struct Checked {
    pub grade: Grade,
    alarms: Vec<Alarm>,
    /// What is said if there is no alarm.
    summary: String,
    /// Nagios' figures, and the same in JSON.
    figures: Option<(String, Value)>,
}

impl Checked {
    /// The spool could not be checked.
    pub fn unknown(why: &Failure) -> Self {
        let advice = why.to_string();
        let advice = advice.split_once("; ").map_or("", |(_, advice)| advice);
        let alarm = Alarm::new(
            "unreadable",
            Grade::Unknown,
            why.to_string(),
            advice.to_owned(),
        );
        Self {
            grade: Grade::Unknown,
            summary: String::new(),
            alarms: vec![alarm],
            figures: None,
        }
    }

    /// The line that a monitoring system reads.
    pub fn line(&self) -> String {
        let found: Vec<&str> = self
            .alarms
            .iter()
            .map(|alarm| alarm.finding.as_str())
            .collect();
        let why = match found.as_slice() {
            [] => self.summary.clone(),
            found => found.join(", "),
        };
        let figures = match &self.figures {
            Some((figures, _)) => format!(" | {figures}"),
            None => String::new(),
        };
        format!("MEDITOPIA {} - {why}{figures}", self.grade.name())
    }

    /// The same as one object, with what to do for each finding.
    pub fn to_json(&self) -> Value {
        let findings: Vec<Value> = self
            .alarms
            .iter()
            .map(|alarm| {
                json!({
                    "name": alarm.name,
                    "grade": alarm.grade.name(),
                    "finding": alarm.finding,
                    "advice": (!alarm.advice.is_empty()).then_some(&alarm.advice),
                })
            })
            .collect();
        json!({
            "grade": self.grade.name(),
            "status": self.grade as u8,
            "findings": findings,
            "figures": self.figures.as_ref().map(|(_, figures)| figures),
        })
    }
}

/// What limits are held against. What cannot be read is not known.
struct Measured<'a> {
    pending: Option<u64>,
    age: Duration,
    in_doubt: Option<u64>,
    rejected: Option<u64>,
    delivered: Option<u64>,
    /// Of a spool.
    disk: Option<(&'a DiskSpace, &'a Path)>,
}

/// Checks a fleet.
pub fn check_fleet(snapshot: &FleetSnapshot, limits: &Thresholds, typed: &Typed) -> Checked {
    let given = (limits.warn_sender, limits.crit_sender);
    let alarms = fleet_alarms::of_fleet(snapshot, typed, (given != (None, None)).then_some(given));
    let figures = &snapshot.figures;
    let measured = Measured {
        pending: Some(figures.pending()),
        age: Duration::from_millis(snapshot.oldest_age_ms().unwrap_or(0).unsigned_abs()),
        in_doubt: Some(figures.in_doubt),
        rejected: Some(snapshot.rejected_kept()),
        delivered: Some(figures.totals.delivered),
        disk: None,
    };
    checked(&measured, alarms, limits, typed)
}

/// Checks a spool.
pub fn check(snapshot: &Snapshot, limits: &Thresholds, typed: &Typed) -> Checked {
    let stats = &snapshot.stats;
    let known = |figure: u64| (!stats.store_unreadable).then_some(figure);
    let patience = match (limits.warn_sender, limits.crit_sender) {
        (None, None) => Patience::WhileEventsWait,
        (warn, critical) => Patience::Given { warn, critical },
    };
    let mut alarms = alarms::of_spool(snapshot, typed, patience);
    if limits.warn_free.or(limits.crit_free).is_some() {
        alarms.retain(|alarm| alarm.name != "disk_bytes");
    }

    let measured = Measured {
        pending: known(stats.pending),
        age: Duration::from_millis(snapshot.oldest_age_ms().unwrap_or(0).unsigned_abs()),
        in_doubt: known(stats.in_doubt),
        rejected: known(snapshot.rejected_kept()),
        delivered: known(stats.delivered),
        disk: Some((&snapshot.disk, &snapshot.dir)),
    };
    checked(&measured, alarms, limits, typed)
}

/// Adds the limits of the command line.
fn checked(
    measured: &Measured<'_>,
    mut alarms: Vec<Alarm>,
    limits: &Thresholds,
    typed: &Typed,
) -> Checked {
    let age = measured.age;
    let mut limit = |name, grade: Option<Grade>, finding, advice| {
        alarms.extend(grade.map(|grade| Alarm::new(name, grade, finding, advice)));
    };
    limit(
        "age",
        reached(age, Some(limits.warn_age()), Some(limits.crit_age)),
        format!(
            "the oldest event has been pending for {}",
            show_span(age.as_millis() as i64)
        ),
        format!("see why: {}", typed.command("status")),
    );
    // A figure that is not known reaches no limit.
    if let Some(pending) = measured.pending {
        limit(
            "pending",
            reached(pending, limits.warn_pending, limits.crit_pending),
            format!("{} pending", event_count(pending)),
            format!("see why: {}", typed.command("status")),
        );
    }
    let kept = measured.rejected.unwrap_or(0);
    limit(
        "rejected",
        reached(kept, limits.warn_rejected, limits.crit_rejected),
        format!("{} rejected", event_count(kept)),
        format!("see what was rejected: {}", typed.command("rejected list")),
    );
    if let Some((disk, dir)) = measured.disk {
        let free = disk.free_bytes;
        let below = |mib: Option<u64>| mib.is_some_and(|mib| free < mib.saturating_mul(MIB));
        let grade = match (below(limits.crit_free), below(limits.warn_free)) {
            (true, _) => Some(Grade::Critical),
            (_, true) => Some(Grade::Warning),
            _ => None,
        };
        let dir = shell_word(&dir.display().to_string());
        limit(
            "free",
            grade,
            format!("{} free", byte_size(free)),
            format!("free some space: df -h {dir}"),
        );
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.grade));
    Checked {
        grade: alarms.first().map_or(Grade::Ok, |alarm| alarm.grade),
        alarms,
        summary: format!(
            "{} pending, {} rejected",
            event_count(measured.pending.unwrap_or(0)),
            grouped(kept)
        ),
        figures: Some((figures(measured, limits), json_figures(measured))),
    }
}

fn json_figures(measured: &Measured<'_>) -> Value {
    let mut figures = json!({
        "pending": measured.pending,
        "oldest_age_s": measured.age.as_secs(),
        "in_doubt": measured.in_doubt,
        "rejected": measured.rejected,
        "delivered": measured.delivered,
    });
    if let (Some((disk, _)), Value::Object(members)) = (measured.disk, &mut figures) {
        members.insert("free_bytes".to_owned(), disk.free_bytes.into());
        members.insert("free_inodes".to_owned(), disk.free_inodes.into());
    }
    figures
}

/// The figures in the format `name=value[unit];warn;critical;minimum`.
fn figures(measured: &Measured<'_>, limits: &Thresholds) -> String {
    let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
    // Of a store that cannot be read, some are not known, which is written so.
    let figure =
        |name: &str, value: Option<u64>, unit: &str, warn: Option<u64>, critical: Option<u64>| {
            let limits = format!("{};{};0", limit(warn), limit(critical));
            match value {
                None => format!("{name}=U;{limits}"),
                Some(value) => format!("{name}={value}{unit};{limits}"),
            }
        };
    let mut figures = vec![
        figure(
            "pending",
            measured.pending,
            "",
            limits.warn_pending,
            limits.crit_pending,
        ),
        figure(
            "oldest_age",
            Some(measured.age.as_secs()),
            "s",
            Some(limits.warn_age().as_secs()),
            Some(limits.crit_age.as_secs()),
        ),
        figure("in_doubt", measured.in_doubt, "", None, None),
        figure(
            "rejected",
            measured.rejected,
            "",
            limits.warn_rejected,
            limits.crit_rejected,
        ),
        // A counter: it only grows.
        figure("delivered", measured.delivered, "c", None, None),
    ];
    let free = |mib: Option<u64>| mib.map(|mib| mib.saturating_mul(MIB));
    let below = |bound: Option<u64>| bound.map(|b| format!("{b}:")).unwrap_or_default();
    figures.extend(measured.disk.map(|(disk, _)| {
        format!(
            "free={}B;{};{};0",
            disk.free_bytes,
            below(free(limits.warn_free)),
            below(free(limits.crit_free))
        )
    }));
    figures.join(" ")
}
