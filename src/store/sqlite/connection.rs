//! Connections to the database file: how they are opened, what they refuse, and who may have one.
//!
//! SQLite's tables do not survive `fork`. A process whose parent had a connection open at that moment
//! may never open one itself; it enqueues, and another process sends.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::journal::process::PerProcess;
use crate::spool::Spool;

const VERSION: i64 = 1;
pub(super) const APPLICATION_ID: i64 = 0x4D44_5450;
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

pub(super) fn connect(path: &Path, spool: &str, mode: OpenFlags) -> Result<Connection> {
    // The mutex-free mode is right: a connection is used by one thread at a time.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| store_error(spool, e))?;
    // Readers and the sender meet for moments only, at a checkpoint or at recovery; whoever holds the
    // store for longer is no part of this library, and must not make a caller miss its deadline.
    connection
        .busy_timeout(BUSY_WAIT)
        .map_err(|e| store_error(spool, e))?;
    Ok(connection)
}

pub(super) fn version(connection: &Connection, spool: &str) -> Result<i64> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| store_error(spool, e))
}

pub(super) fn check_version(connection: &Connection, spool: &str) -> Result<()> {
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|e| store_error(spool, e))?;
    let found = version(connection, spool)?;
    if application != APPLICATION_ID {
        return Err(Error::new(
            ErrorKind::Store,
            format!("{spool}: store.db is not a store of this library; move it away"),
        ));
    }
    if found > VERSION {
        return Err(Error::new(
            ErrorKind::Store,
            format!(
                "{spool}: store.db has version {found}, this library knows {VERSION}; let a newer libmeditopia send"
            ),
        ));
    }
    Ok(())
}

/// Whether a reader has met the rollback journal of a sender that died before the store was in WAL
/// mode: nothing is in it yet, and the next sender mends it.
pub(super) fn is_half_made(e: &rusqlite::Error) -> bool {
    e.sqlite_error()
        .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
}

pub(super) fn store_error(spool: &str, e: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let message = format!("{spool}: store.db: {e}");
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::new(
            ErrorKind::SpoolFull,
            format!("{message}; what waits is kept; free some space"),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::new(
            ErrorKind::Store,
            format!("{message}; keep a copy of the spool; enqueue goes on, nothing is sent"),
        )
        .paused_for(PauseReason::StoreDamaged),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
            ErrorKind::Timeout,
            format!("{message}; another program holds it; end that one"),
        ),
        _ => Error::new(ErrorKind::Io, message),
    }
}

/// Counts a connection of this process while it lives.
#[derive(Debug)]
pub(super) struct InUse;

struct StoreUse {
    open: AtomicUsize,
    inherited: bool,
}

impl StoreUse {
    fn of_this_process() -> &'static Self {
        static USE: OnceBox<PerProcess<StoreUse>> = OnceBox::new();
        USE.get_or_init(|| {
            Box::new(PerProcess::new(Self {
                open: AtomicUsize::new(0),
                inherited: false,
            }))
        })
        .get(|parent| Self {
            open: AtomicUsize::new(0),
            inherited: parent.inherited || parent.open.load(Ordering::Acquire) > 0,
        })
    }
}

impl InUse {
    pub(super) fn begin(spool: &Spool) -> Result<Self> {
        let stores = StoreUse::of_this_process();
        if stores.inherited {
            return Err(Error::new(
                ErrorKind::Forked,
                format!(
                    "{}: this process was forked while its parent had a store open, so it can only enqueue; let another process send, or exec after the fork",
                    spool.name()
                ),
            ));
        }
        stores.open.fetch_add(1, Ordering::AcqRel);
        Ok(Self)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        StoreUse::of_this_process()
            .open
            .fetch_sub(1, Ordering::AcqRel);
    }
}
