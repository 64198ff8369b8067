//! How forwarding ends for good: the spool is closed, because no pod uses it any more, or a sender of this host
//! goes on. Another process asks the forwarder to close the spool by a file, which outlasts both of them.

use super::statement::Handover;
use super::{Forwarding, window};
use crate::error::Result;
use crate::sender::wake::{self, Wake};
use crate::spool::{FORWARDING, Safety, Spool};

/// A file with this name asks the forwarder to close the spool.
const CLOSE: &str = "forward.close";

impl Forwarding {
    /// A statement that closes the spool, or says that it is used again; the next one until it is settled.
    pub fn close(&mut self) -> Result<Handover> {
        let pending = self.statement(Vec::new(), 0, Vec::new(), 0, true);
        let handover = pending.handover.clone();
        let nonce = pending.nonce;
        self.pending = Some(pending);
        self.send(nonce)?;
        Ok(handover)
    }

    /// The spool leaves the fleet: a sender of this host may send from it again. Everything is forwarded.
    pub fn leave(mut self) -> Result<()> {
        // The ledger has to say so for good before the sender may look at it.
        self.sync_ledger()?;
        let dir = self.spool.held_dir()?;
        for name in [window::NAME, FORWARDING] {
            dir.remove(name).map_err(|e| dir.error(name, e))?;
        }
        dir.sync().map_err(|e| dir.own_error(e))
    }
}

/// Asks the forwarder of another process to close the spool once everything is forwarded.
pub(crate) fn ask_to_close(spool: &Spool) -> Result<()> {
    let dir = spool.held_dir()?;
    let asked = dir.replace(CLOSE, b"", Safety::Process);
    asked.map_err(|e| dir.error(CLOSE, e))?;
    wake::send(spool, Wake::Flush);
    Ok(())
}

/// Whether the forwarder has yet to do so.
pub(crate) fn is_asked_to_close(spool: &Spool) -> Result<bool> {
    let dir = spool.held_dir()?;
    let size = dir.size(CLOSE).map_err(|e| dir.error(CLOSE, e))?;
    Ok(size.is_some())
}

/// Takes that back.
pub(crate) fn take_back_close(spool: &Spool) -> Result<()> {
    let dir = spool.held_dir()?;
    dir.remove(CLOSE).map_err(|e| dir.error(CLOSE, e))?;
    Ok(())
}
