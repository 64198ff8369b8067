//! Everything that `meditopia status` shows, gathered by a few short reads.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meditopia::internals::client::{FailedRequest, ForwardRecord, RejectedCount, Retry};
use meditopia::internals::clock::wall_ms;
use meditopia::internals::spool::{self, Description, DiskSpace};
use meditopia::{Client, PauseReason, Stats};
use serde_json::{Map, Value, json};

use super::sender_state::SenderState;
use crate::failure::Failure;
use crate::output::{failures, forwarding};

/// A spool at one moment.
pub struct Snapshot {
    /// When the snapshot was taken, as wall time in milliseconds.
    pub now_ms: i64,
    /// Where the spool is.
    pub dir: PathBuf,
    /// What the spool records about itself.
    pub known: Description,
    pub stats: Stats,
    /// A description of the pause with the API's answer; empty if there is no pause.
    pub pause: String,
    /// `None` if the store cannot be read.
    pub rejected: Option<Vec<RejectedCount>>,
    pub disk: DiskSpace,
    /// The process that is elected.
    pub sender: SenderState,
    /// The last request that came to nothing.
    pub last_failure: Option<FailedRequest>,
    /// What is known of its forwarding; `None`: it is not forwarded.
    pub forwarding: Option<ForwardRecord>,
    /// How many rejections an operator still allows.
    pub allowed_rejections: u64,
    retry: Option<Retry>,
    /// Events delivered per second; `None` if that was not measured.
    pub rate: Option<f64>,
    taken: Instant,
}

impl Snapshot {
    /// Reads the spool at `dir`, which `client` has open.
    pub fn take(client: &Client, dir: &Path) -> Result<Self, Failure> {
        let stats = client.stats()?;
        let now_ms = wall_ms();
        let pause = match client.pause() {
            // What the store remembers of another pause is not why a damaged store stands still.
            Ok(Some(pause)) if stats.paused == Some(pause.reason) => {
                pause.error(stats.pending, now_ms).message().to_owned()
            }
            Ok(_) => String::new(),
            Err(e) => e.message().to_owned(),
        };
        let rejected = match client.rejected_by_code() {
            Ok(counts) => Some(counts),
            Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => None,
            Err(e) => return Err(e.into()),
        };
        let known = spool::describe(dir)?;
        let in_copy = known.is_elsewhere;
        let sender = SenderState::look(client, client.elected()?, &stats, in_copy, now_ms)?;
        Ok(Self {
            dir: dir.to_owned(),
            known,
            disk: client.disk()?,
            sender,
            last_failure: client.last_failure()?,
            forwarding: client.forwarded()?.map(|forwarded| forwarded.record),
            allowed_rejections: match client.allowed_rejections() {
                Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => 0,
                allowed => allowed?,
            },
            retry: client.retry()?,
            now_ms,
            stats,
            pause,
            rejected,
            rate: None,
            taken: Instant::now(),
        })
    }

    /// Takes a second snapshot a second later to measure the rate, unless nothing is being sent.
    pub fn with_rate(client: &Client, dir: &Path) -> Result<Self, Failure> {
        const INTERVAL: Duration = Duration::from_secs(1);
        let first = Self::take(client, dir)?;
        if first.stats.pending == 0 || first.stats.paused.is_some() || !first.is_sender_alive() {
            return Ok(first);
        }
        std::thread::sleep(INTERVAL);
        Ok(Self::take(client, dir)?.with_rate_since(&first))
    }

    /// Adds the rate since an earlier snapshot.
    pub fn with_rate_since(mut self, earlier: &Self) -> Self {
        let seconds = self.taken.duration_since(earlier.taken).as_secs_f64();
        let delivered = self.stats.delivered.saturating_sub(earlier.stats.delivered);
        self.rate = (seconds > 0.0).then(|| delivered as f64 / seconds);
        self
    }

    /// Whether a sender is elected and says that it is alive.
    pub fn is_sender_alive(&self) -> bool {
        self.sender == SenderState::Alive
    }

    /// Whether a process is elected, even if it does not send.
    pub fn is_sender_elected(&self) -> bool {
        self.sender != SenderState::None
    }

    /// Whether the database that it is forwarded to cannot be reached just now.
    pub fn is_store_away(&self) -> bool {
        let record = self.forwarding.as_ref();
        record.is_some_and(|record| record.failing_since_ms.is_some())
    }

    /// How long no sender was seen; `None`: there never was one.
    pub fn sender_unseen_for(&self) -> Option<Duration> {
        let seen = self.stats.sender_seen_ms?;
        let ago = (self.now_ms - seen).max(0).unsigned_abs();
        Some(Duration::from_millis(ago))
    }

    /// The retry that a living sender waits for after failures.
    pub fn retry(&self) -> Option<&Retry> {
        let retry = self.retry.as_ref();
        retry.filter(|_| self.stats.paused.is_none() && self.is_sender_alive())
    }

    /// The age of the oldest pending event in milliseconds.
    pub fn oldest_age_ms(&self) -> Option<i64> {
        let oldest = self.stats.oldest_pending_ms?;
        Some((self.now_ms - oldest).max(0))
    }

    /// The number of rejected events that are kept.
    pub fn rejected_kept(&self) -> u64 {
        let counts = self.rejected.iter().flatten();
        counts.map(|count| count.events).sum()
    }

    /// The whole snapshot as one object: the statistics and further members.
    pub fn to_json(&self, dir: &Path) -> Value {
        let mut object: Map<String, Value> =
            serde_json::from_str(&self.stats.to_json()).unwrap_or_default();
        let sender = self.stats.sender_pid.map(|pid| {
            json!({
                "pid": pid,
                "seen_ms": self.stats.sender_seen_ms,
                "alive": self.is_sender_alive(),
                "state": self.sender.name(),
            })
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
        let further = json!({
            "time_ms": self.now_ms,
            "spool": dir.to_string_lossy(),
            "endpoint": self.known.endpoint,
            "account": self.known.account,
            "is_elsewhere": self.known.is_elsewhere,
            "pause_message": (!self.pause.is_empty()).then_some(&self.pause),
            "retry": retry,
            "last_failure": self.last_failure.as_ref().map(failures::to_json),
            "forwarding": self.forwarding.as_ref().map(forwarding::to_json),
            "accepted_rejections_left": self.allowed_rejections,
            "sender": sender,
            "oldest_age_ms": self.oldest_age_ms(),
            "rejected_kept": kept,
            "delivered_per_s": self.rate,
            "free_bytes": self.disk.free_bytes,
            "free_inodes": self.disk.free_inodes,
            "disk_full": self.disk.is_full,
        });
        if let Value::Object(members) = further {
            object.extend(members);
        }
        Value::Object(object)
    }
}
