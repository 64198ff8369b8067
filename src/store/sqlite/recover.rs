//! A new store in the place of a damaged one, with what can be read of it ([`super::salvage`]).
//!
//! The new store is written beside the damaged one. It is the one that counts from the moment that it
//! bears the name `store.db.recovered` and `store.db` is gone: whoever is killed in between leaves
//! either the old store or a step that [`finish`] takes. The damaged one is kept.

use std::fs;
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::connection::{
    InUse, check_version, connect, create_beside, find, finish_beside, put_in_place, store_error,
};
pub use super::salvage::Salvage;
use crate::error::{Error, Result};
use crate::spool::{Spool, remove_file, sync_parent};

/// What to do about a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing but look.
    Look,
    /// Put a new store in its place.
    Replace,
}

/// Reads what can be read of the store of `spool`, whose seat the caller holds, and replaces it if it
/// is damaged and that is asked for. `lane_of` tells an event's lane of so many.
pub(crate) fn recover(
    spool: &Spool,
    repair: Repair,
    lane_of: fn(&[u8], usize) -> usize,
) -> Result<Salvage> {
    let _in_use = InUse::begin(spool)?;
    let path = spool.store_path();
    if repair == Repair::Replace {
        finish(&path)?;
    }
    let name = spool.name();
    let old = match find(&path, &name) {
        Ok(false) => return Ok(Salvage::of_nothing_lost()),
        Ok(true) => open_damaged(&path, &name),
        Err(e) => Err(e),
    };
    let (old, unreadable) = match old {
        Ok((old, what)) => (Some(old), what),
        Err(e) if e.pause_reason().is_some() => (None, Some(e.message().to_owned())),
        Err(e) => return Err(e),
    };
    let fresh = beside(&path, "recovering");
    let new = match repair {
        Repair::Look => None,
        Repair::Replace => Some(create_beside(&fresh, &name)?),
    };
    let failed = |e| store_error(&name, e);
    if let Some(new) = &new {
        new.execute_batch("BEGIN").map_err(failed)?;
    }
    let mut found = Salvage::of(spool, old.as_ref(), new.as_ref(), lane_of, unreadable)?;
    if let Some(new) = new {
        new.execute_batch("COMMIT").map_err(failed)?;
        finish_beside(new, &name)?;
    }
    drop(old);
    match (repair, &found.damage) {
        (Repair::Look, _) => {}
        (Repair::Replace, None) => {
            remove_file(&fresh)?;
        }
        (Repair::Replace, Some(_)) => found.kept = Some(replace(&path, &fresh)?),
    }
    Ok(found)
}

/// Whether the store of `spool`, whose seat the caller holds, is damaged indeed. SQLite calls it malformed
/// as well when the disk fails to give it, and that may pass.
///
/// Errors: [`Io`](crate::error::ErrorKind::Io) if the disk fails.
pub(crate) fn is_damaged(spool: &Spool, lane_of: fn(&[u8], usize) -> usize) -> Result<bool> {
    for part in ["db", "db-wal"] {
        read_through(&spool.store_path().with_extension(part))?;
    }
    Ok(recover(spool, Repair::Look, lane_of)?.damage.is_some())
}

/// Closing the file takes SQLite's locks on it from this process. The sender's connection is closed by
/// now, and a reader that loses its lock reads on from what it has open.
fn read_through(path: &Path) -> Result<()> {
    let read = fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    match read {
        Err(e) if e.kind() != IoKind::NotFound => Err(Error::io(path.display(), e)),
        _ => Ok(()),
    }
}

/// Opens a store to read it and to leave it byte for byte as it is; says what is wrong with its header.
fn open_damaged(path: &Path, spool: &str) -> Result<(Connection, Option<String>)> {
    let connection = connect(path, spool, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|e| store_error(spool, e))?;
    match check_version(&connection, spool) {
        Ok(_) => Ok((connection, None)),
        Err(e) if e.pause_reason().is_some() => Ok((connection, Some(e.message().to_owned()))),
        Err(newer) => Err(newer),
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    path.with_extension(format!("db.{what}"))
}

/// Puts `fresh` in the place of the store at `path`, which is kept under the name returned.
fn replace(path: &Path, fresh: &Path) -> Result<PathBuf> {
    let time = crate::clock::wall_ms();
    let kept = beside(path, &format!("damaged-{time}"));
    for part in ["", "-wal"] {
        let from = path.with_extension(format!("db{part}"));
        let to = beside(path, &format!("damaged-{time}{part}"));
        match fs::hard_link(&from, &to) {
            Err(e) if e.kind() != IoKind::NotFound => return Err(Error::io(to.display(), e)),
            _ => {}
        }
    }
    put_in_place(fresh, &beside(path, "recovered"))?;
    remove_file(path)?;
    finish(path)?;
    Ok(kept)
}

/// Completes a recovery that was killed when its new store was complete.
pub(super) fn finish(path: &Path) -> Result<()> {
    let recovered = beside(path, "recovered");
    if !recovered.exists() {
        return Ok(());
    }
    if path.exists() {
        // Not the one that counts yet: what was read into it may be old by now.
        return remove_file(&recovered);
    }
    // Before the new store bears their name: SQLite would apply the old one's log to it.
    for part in ["db-wal", "db-shm"] {
        remove_file(&path.with_extension(part))?;
    }
    sync_parent(path)?;
    put_in_place(&recovered, path)
}
