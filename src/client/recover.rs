//! An operator's way out of a damaged store.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::sender::election::{Seat, holder};
use crate::sender::lane_of;
use crate::spool::{Heartbeat, Spool};
use crate::store::sqlite::recover::{self, Repair, Salvage};

/// Looks at the store of the spool at `dir`, says what can be read of it and what would be lost, and,
/// with [`Repair::Replace`], puts a new one with all that can be read in its place. The damaged one is
/// kept beside it. A sound store is left as it is.
///
/// Enqueue goes on meanwhile. Killed at any moment, it leaves the old store or the new one.
///
/// Errors: [`ErrorKind::Timeout`] while another process sends; [`ErrorKind::SpoolMismatch`] if there is
/// no spool; [`ErrorKind::Store`] if a newer version wrote it; [`ErrorKind::SpoolFull`];
/// [`ErrorKind::Io`].
pub fn recover(dir: &Path, repair: Repair) -> Result<Salvage> {
    let spool = Arc::new(Spool::open_existing(dir)?);
    let Some(_seat) = Seat::try_take(&spool)? else {
        return Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "{}: {} sends from it; end that process, then recover",
                spool.name(),
                holder(&spool)
            ),
        ));
    };
    let found = recover::recover(&spool, repair, lane_of)?;
    if found.kept.is_some() {
        Heartbeat::publish_pause(&spool, None)?;
    }
    Ok(found)
}
