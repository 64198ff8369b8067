//! A client for the operator of a spool: somebody who looks at what other programs fill and send, or acts
//! on it, and knows no more than where it is.
//!
//! It shares no core with the clients of a host, sends nothing, and takes endpoint and account from the
//! spool itself. What an operator changes survives a power cut, whatever the hosts' durability is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Client;
use super::core::Core;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::sender::Elected;
use crate::spool::{self, DiskSpace, Spool};
use crate::store::sqlite::Reader;
use crate::store::{PauseState, RejectedFilter, RejectedReason};

/// What an operator wants of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read what is there. Nothing on the disk is changed, so that it may be a copy, or lie on a
    /// file system that cannot be written to.
    Look,
    /// To change something: hold, resume, requeue, discard, set aside.
    Act,
}

impl Client {
    /// Opens the spool at `dir` as what it says it is. Starts no thread, and never sends.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`] if there is none, it is another user's, or it is a copy that
    /// is to be acted on; [`ErrorKind::Store`] if a newer version wrote it; [`ErrorKind::Io`].
    pub fn of_spool(dir: &Path, purpose: Purpose) -> Result<Self> {
        let opened = match purpose {
            Purpose::Look => Spool::open_read_only(dir)?,
            Purpose::Act => Spool::open_existing(dir)?,
        };
        let known = spool::describe(dir)?;
        let path = dir.to_str().ok_or_else(|| {
            let what = format!("{}: its path is not UTF-8; use another one", opened.name());
            Error::new(ErrorKind::InvalidArgument, what)
        })?;
        let mut config = Config::new();
        config.set("spool", path)?;
        config.set("endpoint", &known.endpoint)?;
        config.set("account", &known.account)?;
        config.set("durability", "power")?;
        config.set("role", "enqueue")?;
        config.set("log_level", "off")?;
        // Where nobody is elected a change is made here, and must not spread the spool over other lanes.
        if let Some(lanes) = known_lanes(&opened) {
            config.set("lanes", &lanes.to_string())?;
        }
        let core = Arc::new(Core::on(config.settings()?, Arc::new(opened), None));
        core.handles.fetch_add(1, Ordering::AcqRel);
        Ok(Self::on(core))
    }
}

/// How many rejected events are kept for one reason and API code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCount {
    /// Why they are there.
    pub reason: RejectedReason,
    /// The API's code; empty: none.
    pub api_code: String,
    /// How many.
    pub events: u64,
}

/// What an operator looks at beside [`stats`](Client::stats) and the lists.
impl Client {
    /// Why nothing is sent, in full: the API's answer and what to look at; `None` while it is sent.
    /// Errors: as [`stats`](Self::stats).
    pub fn pause(&self) -> Result<Option<PauseState>> {
        match Reader::open(&self.core()?.spool)? {
            Some(store) => store.pause(),
            None => Ok(None),
        }
    }

    /// Whether a process is elected to send. Errors: [`ErrorKind::Io`], [`ErrorKind::Closed`].
    pub fn elected(&self) -> Result<Elected> {
        Elected::look(&self.core()?.spool)
    }

    /// How many rejected events are kept, by reason and API code; the most first. One look.
    /// Errors: as [`stats`](Self::stats).
    pub fn rejected_by_code(&self) -> Result<Vec<RejectedCount>> {
        let Some(store) = Reader::open(&self.core()?.spool)? else {
            return Ok(Vec::new());
        };
        let counts = store.rejected_by_code()?.into_iter();
        let count = |(reason, api_code, events)| RejectedCount {
            reason,
            api_code,
            events,
        };
        Ok(counts.map(count).collect())
    }

    /// How many rejected events `filter` takes now. Errors: as [`stats`](Self::stats).
    pub fn count_rejected(&self, filter: &RejectedFilter) -> Result<u64> {
        match Reader::open(&self.core()?.spool)? {
            Some(store) => store.count_rejected(filter),
            None => Ok(0),
        }
    }

    /// The disk that it lies on, and the room there. Errors: [`ErrorKind::Io`], [`ErrorKind::Closed`].
    pub fn room(&self) -> Result<DiskSpace> {
        self.core()?.spool.disk_space()
    }
}

/// The number of lanes of the store; `None` where it has none, or cannot be read.
fn known_lanes(spool: &Spool) -> Option<u8> {
    let lanes = Reader::open(spool).ok()??.lane_count().ok()?;
    (lanes > 0).then_some(lanes)
}
