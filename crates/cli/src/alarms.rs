//! What an operator has to be told about a spool: the same findings for `status --check` and `doctor`.
//!
//! The name of a finding never changes. What a figure that cannot be read would say is no finding.

use std::path::Path;
use std::time::Duration;

use meditopia::PauseReason;
use meditopia::internals::spelling::shell_word;
use meditopia::internals::spool::DiskSpace;

use crate::commands::status::snapshot::Snapshot;
use crate::options::typed::Typed;
use crate::output::{byte_size, event_count, forwarding, grouped, pauses};
use crate::times::show_span;

/// Events may wait this long without a sender: longer than the interval of most timers, and longer than that of
/// the timer that comes with the command.
const NO_SENDER_WARNS: Duration = Duration::from_secs(5 * 60);
const NO_SENDER_FAILS: Duration = Duration::from_secs(20 * 60);
/// A database may be away this long: a restart or a failover takes no longer.
const STORE_AWAY_WARNS_MS: i64 = 5_000;
/// A disk is nearly full when less than one part in so many is free,
const SCARCE_PART: u64 = 20;
/// but not while more than this is free, and always when less than that is.
const PLENTY_BYTES: u64 = 1024 * 1024 * 1024;
const SCARCE_TIMES_NEEDED: u64 = 10;
const PLENTY_INODES: u64 = 1_000;
const SCARCE_INODES: u64 = 100;
/// With fewer, delivery itself may soon fail.
const LAST_INODES: u64 = 32;

/// How bad something is; as the result of a check its number is the exit status.
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

/// One thing that an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// One of those in the guide.
    pub name: &'static str,
    pub grade: Grade,
    pub finding: String,
    /// What to do, with a command where there is one.
    pub advice: String,
}

impl Alarm {
    pub fn new(name: &'static str, grade: Grade, finding: String, advice: String) -> Self {
        Self {
            name,
            grade,
            finding,
            advice,
        }
    }
}

/// How long events may wait without a sender.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// As long as a timer may need, if events wait at all.
    WhileEventsWait,
    /// The limits of the command line, whether events wait or not.
    Given {
        warn: Option<Duration>,
        critical: Option<Duration>,
    },
}

/// Everything that is wrong with the spool.
pub fn of_spool(snapshot: &Snapshot, typed: &Typed, patience: Patience) -> Vec<Alarm> {
    let alarms = [
        copied(snapshot, typed),
        paused(snapshot, typed),
        api_away(snapshot, typed),
        store_away(snapshot),
        stuck_sender(snapshot),
        no_sender(snapshot, typed, patience),
        damaged(snapshot, typed),
        lost(snapshot, typed),
        disk(&snapshot.disk, &snapshot.dir),
    ];
    alarms.into_iter().flatten().collect()
}

fn copied(snapshot: &Snapshot, typed: &Typed) -> Option<Alarm> {
    let advice = format!(
        "if no other copy will ever send: {}",
        typed.command("adopt")
    );
    snapshot.known.is_elsewhere.then(|| {
        Alarm::new(
            "copied",
            Grade::Critical,
            "copied or moved".to_owned(),
            advice,
        )
    })
}

fn paused(snapshot: &Snapshot, typed: &Typed) -> Option<Alarm> {
    let reason = snapshot.stats.paused?;
    let advice = pauses::advice(reason, typed);
    Some(match reason {
        PauseReason::Hold => Alarm::new(
            "held",
            Grade::Warning,
            "held by an operator".to_owned(),
            advice,
        ),
        reason => Alarm::new(
            "paused",
            Grade::Critical,
            format!("paused: {reason}"),
            advice,
        ),
    })
}

fn api_away(snapshot: &Snapshot, typed: &Typed) -> Option<Alarm> {
    let retry = snapshot.retry().filter(|retry| retry.is_lasting)?;
    Some(Alarm::new(
        "api_away",
        Grade::Warning,
        format!("waiting for a retry: {}", retry.in_words(snapshot.now_ms)),
        find_cause(typed),
    ))
}

/// A forwarder that does not reach its database tries again by itself, and what is enqueued is kept.
fn store_away(snapshot: &Snapshot) -> Option<Alarm> {
    let record = snapshot.forwarding.as_ref()?;
    let since = record.failing_since_ms?;
    let away = snapshot.now_ms.saturating_sub(since).max(0);
    if away < STORE_AWAY_WARNS_MS {
        return None;
    }
    Some(Alarm::new(
        "store_away",
        Grade::Warning,
        format!("events {}", forwarding::describe(record, snapshot.now_ms)),
        "the forwarder tries again by itself; see that the database runs and that this host reaches it"
            .to_owned(),
    ))
}

/// A process that is elected and does not send keeps all others from it.
fn stuck_sender(snapshot: &Snapshot) -> Option<Alarm> {
    let problem = snapshot.sender.problem(&snapshot.stats, snapshot.now_ms)?;
    let advice = snapshot.sender.advice(&snapshot.stats)?;
    Some(Alarm::new("stuck_sender", Grade::Critical, problem, advice))
}

fn no_sender(snapshot: &Snapshot, typed: &Typed, patience: Patience) -> Option<Alarm> {
    // One that is stuck is another finding, with another remedy.
    if snapshot.is_sender_elected() || snapshot.known.is_elsewhere {
        return None;
    }
    let unseen = snapshot.sender_unseen_for();
    let (time, warn, critical) = match patience {
        Patience::Given { warn, critical } => (unseen.unwrap_or(Duration::MAX), warn, critical),
        Patience::WhileEventsWait => {
            let waiting = snapshot.oldest_age_ms()?.unsigned_abs();
            let waiting = Duration::from_millis(waiting);
            let alone = unseen.map_or(waiting, |unseen| unseen.min(waiting));
            (alone, Some(NO_SENDER_WARNS), Some(NO_SENDER_FAILS))
        }
    };
    let seen = match unseen {
        Some(ago) => format!(
            "no sender was seen for {}",
            show_span(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
        ),
        None => "no sender was ever seen".to_owned(),
    };
    let finding = match snapshot.stats.pending {
        0 => seen,
        pending => format!("{seen}, and {} pending", are(pending)),
    };
    let grade = reached(time, warn, critical)?;
    let advice = start_process(snapshot, typed);
    Some(Alarm::new("no_sender", grade, finding, advice))
}

/// What to do where events wait and no process sends them, or hands them over to the database of a fleet.
pub fn start_process(snapshot: &Snapshot, typed: &Typed) -> String {
    match snapshot.forwarding {
        Some(_) => start_forwarder(typed),
        None => start_sender(typed),
    }
}

fn start_sender(typed: &Typed) -> String {
    match typed.can_send() {
        true => format!(
            "start the process that sends; to deliver now: {}",
            typed.command("flush")
        ),
        false => format!(
            "start the process that sends; what it needs: {}",
            typed.command("doctor")
        ),
    }
}

/// What to do where no process forwards a spool that is forwarded.
pub fn start_forwarder(typed: &Typed) -> String {
    match typed.names_store() {
        true => format!(
            "start the process that forwards; to hand over now: {} --once",
            typed.command("forward")
        ),
        false => format!(
            "start the process that forwards ({}, with its store); what it needs: {}",
            typed.command("forward"),
            typed.command("doctor")
        ),
    }
}

/// What to do where the sender waits for the API.
pub fn find_cause(typed: &Typed) -> String {
    format!(
        "the sender tries again by itself; for the cause see its log, or run: {}",
        typed.command("doctor")
    )
}

/// `1 event is`, `2 events are`.
fn are(events: u64) -> String {
    let verb = if events == 1 { "is" } else { "are" };
    format!("{} {verb}", event_count(events))
}

fn damaged(snapshot: &Snapshot, typed: &Typed) -> Option<Alarm> {
    let records = snapshot.stats.damaged_records;
    let is_new = snapshot.stats.damage_unacknowledged > 0;
    let s = if records == 1 { "" } else { "s" };
    (is_new && records > 0).then(|| {
        Alarm::new(
            "damaged",
            Grade::Warning,
            format!("{} damaged record{s} set aside", grouped(records)),
            format!(
                "look at the disk, and at what can be read there: {}; then: {}",
                typed.command("damaged list"),
                typed.command("damaged acknowledge")
            ),
        )
    })
}

fn lost(snapshot: &Snapshot, typed: &Typed) -> Option<Alarm> {
    let lost = snapshot.stats.lost;
    let is_new = snapshot.stats.damage_unacknowledged > 0;
    (is_new && lost > 0).then(|| {
        Alarm::new(
            "lost",
            Grade::Warning,
            format!("at most {} lost to a damaged store", event_count(lost)),
            format!(
                "enqueue them again if the application still has them; whether the store is sound now: {}; then: {}",
                typed.command("recover"),
                typed.command("damaged acknowledge")
            ),
        )
    })
}

/// What is wrong with the room on the disk.
pub fn disk(disk: &DiskSpace, dir: &Path) -> Option<Alarm> {
    let dir = shell_word(&dir.display().to_string());
    let free = byte_size(disk.free_bytes);
    // A small disk may be there for the spool alone.
    let least = (SCARCE_TIMES_NEEDED * disk.needed_bytes).min(disk.total_bytes / 2);
    let scarce = (disk.total_bytes / SCARCE_PART)
        .min(PLENTY_BYTES)
        .max(least);
    let scarce_inodes = (disk.total_inodes / SCARCE_PART).clamp(SCARCE_INODES, PLENTY_INODES);
    let has_no_inodes = disk.free_inodes.is_some_and(|free| free < LAST_INODES);
    let (name, grade, finding, advice) = if disk.is_full && has_no_inodes {
        (
            "disk_full",
            Grade::Critical,
            "the disk has no inodes left: enqueue is refused".to_owned(),
            format!("remove some files; every acknowledged event is kept: df -i {dir}"),
        )
    } else if disk.is_full {
        (
            "disk_full",
            Grade::Critical,
            format!("the disk is full ({free} free): enqueue is refused"),
            format!("free some space; every acknowledged event is kept: df -h {dir}"),
        )
    } else if disk.free_bytes < scarce {
        let last = disk.free_bytes < 2 * disk.needed_bytes;
        (
            "disk_bytes",
            if last {
                Grade::Critical
            } else {
                Grade::Warning
            },
            format!("the disk is nearly full: {free} free"),
            format!("free some space before events are refused: df -h {dir}"),
        )
    } else if let Some(inodes) = disk.free_inodes.filter(|free| *free < scarce_inodes) {
        (
            "disk_inodes",
            if inodes < LAST_INODES {
                Grade::Critical
            } else {
                Grade::Warning
            },
            format!("the disk is nearly full: {} inodes free", grouped(inodes)),
            format!("remove some files before events are refused: df -i {dir}"),
        )
    } else {
        return None;
    };
    Some(Alarm::new(name, grade, finding, advice))
}

/// The grade of a value that reaches a limit.
pub fn reached<T: PartialOrd>(value: T, warn: Option<T>, critical: Option<T>) -> Option<Grade> {
    let reaches = |limit: Option<T>| limit.is_some_and(|limit| value >= limit);
    match (reaches(critical), reaches(warn)) {
        (true, _) => Some(Grade::Critical),
        (_, true) => Some(Grade::Warning),
        _ => None,
    }
}
