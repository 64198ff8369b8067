//! Recovery of a damaged store, for an operator.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::sender::election::{Election, describe_elected};
use crate::sender::lane_of;
use crate::spool::{Heartbeat, Spool};
use crate::store::recover::{self, Repair, Salvage};

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
