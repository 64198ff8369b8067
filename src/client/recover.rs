//! Recovery of a damaged store, for an operator.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::dispatch::lane_of;
use crate::error::{Error, ErrorKind, Result};
use crate::sender::election::{Election, describe_elected};
use crate::spool::{self, Heartbeat, Spool};
use crate::store::recover::{self, Mismatch, Repair, Salvage};

/// Reads the store of the spool at `dir`, and returns what can be read of it and what would be
/// lost. With [`Repair::Replace`], a damaged store gets a new ledger of everything that can be read, and
/// what is damaged is kept under `damaged/`. A sound store is left as it is, but for files that nothing
/// speaks of since a recovery was killed: these are moved there as well.
///
/// Enqueue goes on meanwhile. If the process is killed at any moment, the spool has the old store
/// or the new one.
///
/// Errors: [`ErrorKind::Timeout`] while another process sends; [`ErrorKind::SpoolMismatch`] if
/// there is no spool; [`ErrorKind::Store`] if a newer version of the library wrote it;
/// [`ErrorKind::SpoolFull`]; [`ErrorKind::Io`].
pub fn recover(dir: &Path, repair: Repair) -> Result<Salvage> {
    let spool = Arc::new(Spool::open_existing(dir)?);
    let Some(_election) = Election::try_win(&spool)? else {
        return Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "{}: {} is sending from this spool; end that process, then recover",
                spool.name(),
                describe_elected(&spool)
            ),
        ));
    };
    let found = recover::recover(&spool, repair, lane_of)?;
    if found.kept.is_some() {
        Heartbeat::paused(&spool, None)?.write(&spool)?;
    }
    Ok(found)
}

/// What a copied spool holds, and what of it is of another moment than its ledger.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What a sender will find in its store.
    pub salvage: Salvage,
    /// What does not fit the ledger.
    pub mismatches: Vec<Mismatch>,
    /// A sender published its last heartbeat then, which was no earlier than the copying: wall time in
    /// milliseconds. It may have removed what was delivered before that was copied.
    pub sender_ran_ms: Option<i64>,
}

impl Comparison {
    /// Whether the files say that events may be missing, or nothing will be sent from the copy.
    pub fn needs_operator(&self) -> bool {
        let loses = self.mismatches.iter().any(|mismatch| mismatch.loses_events);
        loses || self.salvage.damage.is_some() || self.salvage.loses_events()
    }
}

/// A heartbeat may be so much older than what its sender did last, in milliseconds.
const HEARTBEAT_AGE_MS: i64 = 2_000;

/// Compares the files of the spool at `dir`, which was copied there and which nobody has adopted yet.
/// Changes nothing.
///
/// Errors: those of [`recover()`].
pub fn compare_copy(dir: &Path) -> Result<Comparison> {
    let spool = Spool::open_read_only(dir)?;
    let last_boot = spool::last_boot_count(dir)?;
    let (mut salvage, mismatches) = recover::compare(&spool, last_boot, lane_of)?;
    if last_boot != spool.boot_count() {
        // To whoever opens it, this looks like the host's next boot.
        salvage = recover::compare(&spool, spool.boot_count(), lane_of)?.0;
    }
    let created_ms = created_ms(dir);
    let heartbeat = Heartbeat::read(&spool)?.map(|heartbeat| heartbeat.seen_ms);
    Ok(Comparison {
        salvage,
        mismatches,
        sender_ran_ms: heartbeat.filter(|seen| seen + HEARTBEAT_AGE_MS >= created_ms),
    })
}

/// When a directory was made; some file systems do not know it, and then it counts as made long ago.
fn created_ms(dir: &Path) -> i64 {
    let created = std::fs::metadata(dir).and_then(|about| about.created());
    let since = created
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_millis() as i64)
}
