//! A client for the operator, who inspects or changes a spool that other programs fill and send,
//! and who knows only its path.
//!
//! It shares no core with the clients of an application, sends nothing, and takes endpoint and
//! account from the spool itself. A change by an operator survives a power cut, whatever the
//! durability of the applications is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::spool_client::Client;
use crate::config::Config;
use crate::dispatch::Command;
use crate::error::{Error, ErrorKind, Result};
use crate::sender::Elected;
use crate::spool::{self, DiskSpace, FailedRequest, Heartbeat, SENDER_LOCK, Spool, holder_of};
use crate::store::Reader;
use crate::store::{PauseState, RejectedFilter, RejectedReason};

/// What an operator opens a spool for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read it. Nothing on the disk is changed, so the spool may be a copy, or lie on a
    /// read-only file system.
    Read,
    /// To change something: hold, resume, requeue, discard, set aside.
    Change,
}

impl Client {
    /// Opens the existing spool at `dir`, whatever its endpoint and account are. Starts no thread,
    /// and never sends.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`] if there is no spool, if it belongs to another user, or
    /// if it is a copy and is to be changed; [`ErrorKind::Store`] if a newer version of the library
    /// wrote it; [`ErrorKind::Io`].
    pub fn open_existing(dir: &Path, purpose: Purpose) -> Result<Self> {
        let opened = match purpose {
            Purpose::Read => Spool::open_read_only(dir)?,
            Purpose::Change => Spool::open_existing(dir)?,
        };
        let known = spool::describe(dir)?;
        let path = dir.to_str().ok_or_else(|| {
            let what = format!(
                "{}: the path of the spool is not UTF-8; use another one",
                opened.name()
            );
            Error::new(ErrorKind::InvalidArgument, what)
        })?;
        let mut config = Config::new();
        config.set("spool", path)?;
        config.set("endpoint", &known.endpoint)?;
        config.set("account", &known.account)?;
        config.set("durability", "power")?;
        config.set("role", "enqueue")?;
        config.set("log_level", "off")?;
        // If no process is elected, this one carries the change out, and must not change the lanes.
        if let Some(lanes) = known_lanes(&opened) {
            config.set("lanes", &lanes.to_string())?;
        }
        let core = Arc::new(Core::with_spool(config.settings()?, Arc::new(opened), None));
        core.clients.fetch_add(1, Ordering::AcqRel);
        Ok(Self::from_core(core))
    }
}

/// How many rejected events are kept for one reason and API code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCount {
    /// Why they were rejected.
    pub reason: RejectedReason,
    /// The API's code; empty: none.
    pub api_code: String,
    /// The number of events.
    pub events: u64,
}

/// What an operator reads beside [`stats`](Client::stats) and the lists.
impl Client {
    /// Why delivery is paused, in full: with the answer of the API, and what to do; `None`: it is
    /// not paused. Errors: as [`stats`](Self::stats).
    pub fn pause(&self) -> Result<Option<PauseState>> {
        match Reader::open(&self.core()?.spool)? {
            Some(store) => Ok(store.pause().cloned()),
            None => Ok(None),
        }
    }

    /// The last request that came to nothing, also if others have succeeded since; `None`: there was none. It may be a
    /// second old before it is told. Errors: [`ErrorKind::Io`], [`ErrorKind::Closed`].
    pub fn last_failure(&self) -> Result<Option<FailedRequest>> {
        let heartbeat = Heartbeat::read(&self.core()?.spool)?;
        Ok(heartbeat.and_then(|heartbeat| heartbeat.last_failure))
    }

    /// Whether a process is elected to send. Errors: [`ErrorKind::Io`], [`ErrorKind::Closed`].
    pub fn elected(&self) -> Result<Elected> {
        Elected::look(&self.core()?.spool)
    }

    /// The process that is elected, as far as the kernel says which one has the lock: not for a process of
    /// another container. Errors: as [`elected`](Self::elected).
    pub fn elected_pid(&self) -> Result<Option<u32>> {
        let dir = self.core()?.spool.held_dir()?;
        Ok(holder_of(&dir, SENDER_LOCK).filter(|pid| *pid != 0))
    }

    /// How many rejected events are kept, by reason and API code, the largest number first. Errors:
    /// as [`stats`](Self::stats).
    pub fn rejected_by_code(&self) -> Result<Vec<RejectedCount>> {
        let Some(store) = Reader::open(&self.core()?.spool)? else {
            return Ok(Vec::new());
        };
        let counts = store.rejected_by_code().into_iter();
        let count = |(reason, api_code, events)| RejectedCount {
            reason,
            api_code,
            events,
        };
        Ok(counts.map(count).collect())
    }

    /// Notes that an operator knows of the first `upto` damaged records and lost events, as
    /// [`stats`](Self::stats) counts them; returns how many of them are new. Errors: as
    /// [`hold`](Self::hold).
    pub fn acknowledge_damage(&self, upto: u64) -> Result<usize> {
        self.core()?
            .sender
            .command(&Command::AcknowledgeDamage { upto })
    }

    /// Ends any pause as [`resume`](Self::resume) does, and lets the next `rejections` pass the brake: without
    /// a pause for refusals of many users. 0 takes back what was allowed before. Errors: as
    /// [`hold`](Self::hold).
    pub fn resume_allowing(&self, rejections: u64) -> Result<()> {
        let command = Command::ResumeAllowing { rejections };
        self.core()?.sender.command(&command).map(drop)
    }

    /// How many of the rejections that [`resume_allowing`](Self::resume_allowing) has allowed are left. Errors: as
    /// [`stats`](Self::stats).
    pub fn allowed_rejections(&self) -> Result<u64> {
        let store = Reader::open(&self.core()?.spool)?;
        Ok(store.map_or(0, |store| store.totals().measures.allowed_rejections))
    }

    /// How many rejected events match `filter` now. Errors: as [`stats`](Self::stats).
    pub fn count_rejected(&self, filter: &RejectedFilter) -> Result<u64> {
        match Reader::open(&self.core()?.spool)? {
            Some(mut store) => store.count_rejected(filter),
            None => Ok(0),
        }
    }

    /// The disk of the spool and the space on it. Errors: [`ErrorKind::Io`], [`ErrorKind::Closed`].
    pub fn disk(&self) -> Result<DiskSpace> {
        self.core()?.spool.disk_space()
    }
}

/// The number of lanes of the store; `None` if there is no store, or it cannot be read.
fn known_lanes(spool: &Spool) -> Option<u8> {
    let lanes = Reader::open(spool).ok()??.lane_count();
    (lanes > 0).then_some(lanes)
}
