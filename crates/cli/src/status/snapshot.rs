//! Everything that `meditopia status` shows, gathered by a few short looks that disturb nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::PauseReason;
use meditopia::Stats;
use meditopia::internals::client::{Elected, RejectedCount, Retry};
use meditopia::internals::clock::wall_ms;
use meditopia::internals::spool::{self, Description, DiskSpace};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// A sender beats its heart every second or faster; one that was not seen for so long does not send.
const SENDER_SEEN_WITHIN_MS: i64 = 10_000;

/// A spool at one moment.
pub struct Snapshot {
    /// Wall time of the look, in milliseconds.
    pub now_ms: i64,
    /// What the spool says it is.
    pub known: Description,
    pub stats: Stats,
    /// The pause in words, with the API's answer; empty where there is none.
    pub pause: String,
    /// `None` where the store cannot be read.
    pub rejected: Option<Vec<RejectedCount>>,
    pub room: DiskSpace,
    elected: Elected,
    retry: Option<Retry>,
    /// Events delivered in a second; `None` where that was not measured.
    pub rate: Option<f64>,
    taken: Instant,
}

impl Snapshot {
    /// Looks at the spool at `dir`, which `client` has open.
    pub fn take(client: &Client, dir: &Path) -> Result<Self, Failure> {
        let stats = client.stats()?;
        let now_ms = wall_ms();
        let pause = match client.pause() {
            Ok(None) => String::new(),
            Ok(Some(pause)) => pause.error(stats.pending, now_ms).message().to_owned(),
            Err(e) => e.message().to_owned(),
        };
        let rejected = match client.rejected_by_code() {
            Ok(counts) => Some(counts),
            Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => None,
            Err(e) => return Err(e.into()),
        };
        Ok(Self {
            known: spool::describe(dir)?,
            room: client.disk()?,
            elected: client.elected()?,
            retry: client.retry()?,
            now_ms,
            stats,
            pause,
            rejected,
            rate: None,
            taken: Instant::now(),
        })
    }

    /// Adds the rate since an earlier look.
    pub fn since(mut self, earlier: &Self) -> Self {
        let seconds = self.taken.duration_since(earlier.taken).as_secs_f64();
        let delivered = self.stats.delivered.saturating_sub(earlier.stats.delivered);
        self.rate = (seconds > 0.0).then(|| delivered as f64 / seconds);
        self
    }

    /// Whether a sender lives: one that was seen lately and is elected. Of one in another container nobody
    /// can tell that; it has to be seen just now, or to have a pid that is somebody's here too.
    pub fn is_sender_alive(&self) -> bool {
        const JUST_NOW_MS: i64 = 2_000;
        let (Some(pid), Some(seen)) = (self.stats.sender_pid, self.stats.sender_seen_ms) else {
            return false;
        };
        let ago = self.now_ms - seen;
        match self.elected {
            // What a copy says of its sender is said of the other one's.
            _ if self.known.is_elsewhere => false,
            Elected::Nobody => false,
            Elected::Somebody => ago < SENDER_SEEN_WITHIN_MS,
            Elected::Unknown => ago < JUST_NOW_MS || (ago < SENDER_SEEN_WITHIN_MS && exists(pid)),
        }
    }

    /// What a sender that lives waits for after failures.
    pub fn retry(&self) -> Option<&Retry> {
        let retry = self.retry.as_ref();
        retry.filter(|_| self.stats.paused.is_none() && self.is_sender_alive())
    }

    /// How long the oldest event waits, in milliseconds.
    pub fn oldest_age_ms(&self) -> Option<i64> {
        let oldest = self.stats.oldest_pending_ms?;
        Some((self.now_ms - oldest).max(0))
    }

    /// Rejected events that are kept.
    pub fn rejected_kept(&self) -> u64 {
        let counts = self.rejected.iter().flatten();
        counts.map(|count| count.events).sum()
    }

    /// All of it as one object: the statistics, and what stands beside them.
    pub fn to_json(&self, dir: &Path) -> Value {
        let mut all: Map<String, Value> =
            serde_json::from_str(&self.stats.to_json()).unwrap_or_default();
        let sender = self.stats.sender_pid.map(|pid| {
            json!({ "pid": pid, "seen_ms": self.stats.sender_seen_ms, "alive": self.is_sender_alive() })
        });
        let kept = self.rejected.as_ref().map(|counts| {
            let count = |count: &RejectedCount| {
                json!({ "reason": count.reason, "api_code": count.api_code, "events": count.events })
            };
            counts.iter().map(count).collect::<Vec<_>>()
        });
        let retry = self.retry().map(|retry| {
            json!({
                "next_ms": retry.next_ms,
                "server_errors": retry.server_errors,
                "connection_lost": retry.connection_lost,
                "lasting": retry.is_lasting,
                "message": format!("waiting for a retry: {}", retry.in_words(self.now_ms)),
            })
        });
        let beside = json!({
            "time_ms": self.now_ms,
            "spool": dir.to_string_lossy(),
            "endpoint": self.known.endpoint,
            "account": self.known.account,
            "is_elsewhere": self.known.is_elsewhere,
            "pause_message": (!self.pause.is_empty()).then_some(&self.pause),
            "retry": retry,
            "sender": sender,
            "oldest_age_ms": self.oldest_age_ms(),
            "rejected_kept": kept,
            "delivered_per_s": self.rate,
            "free_bytes": self.room.free_bytes,
            "disk_full": self.room.is_full,
        });
        if let Value::Object(beside) = beside {
            all.extend(beside);
        }
        Value::Object(all)
    }
}

/// Two looks, so that the second has a rate; one where nobody sends or nothing waits.
pub fn with_rate(client: &Client, dir: &Path) -> Result<Snapshot, Failure> {
    const APART: Duration = Duration::from_secs(1);
    let first = Snapshot::take(client, dir)?;
    if first.stats.pending == 0 || first.stats.paused.is_some() || !first.is_sender_alive() {
        return Ok(first);
    }
    std::thread::sleep(APART);
    Ok(Snapshot::take(client, dir)?.since(&first))
}

fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let asked = pid.map(rustix::process::test_kill_process);
    matches!(asked, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
}
