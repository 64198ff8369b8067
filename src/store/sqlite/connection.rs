//! Connections to the database file: how they are opened, what they refuse, and who may have one.
//!
//! SQLite's tables do not survive `fork`. A process whose parent had a connection open at that moment
//! may never open one itself; it enqueues, and another process sends.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::process::PerProcess;
use crate::spool::{Spool, private_file, remove_file, sync_parent};
use crate::store::{Totals, rows};

const VERSION: i64 = 3;
const SCHEMA: &str = concat!(
    include_str!("../schema.sql"),
    include_str!("../version_2.sql"),
    include_str!("../version_3.sql")
);
/// What takes a store of version 1, 2, ... one version further.
const UPGRADES: [&str; VERSION as usize - 1] = [
    include_str!("../version_2.sql"),
    include_str!("../version_3.sql"),
];
const APPLICATION_ID: i64 = 0x4D44_5450;
/// SQLite's smallest page; a shorter file is no database, and SQLite would take it for a new one and
/// delete the log beside it.
const SMALLEST_DATABASE: u64 = 512;
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

/// Makes an empty store at `path`, where none is. Only a whole and durable one gets the name.
pub(super) fn create(path: &Path, spool: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    let connection = create_beside(&fresh, spool)?;
    finish_beside(connection, spool)?;
    put_in_place(&fresh, path)
}

/// An empty store in a file that nobody reads yet, and that is no more after a crash.
pub(super) fn create_beside(fresh: &Path, spool: &str) -> Result<Connection> {
    remove_file(fresh)?;
    // Made here, because SQLite would let the umask decide who may read it; -wal and -shm follow.
    private_file()
        .create_new(true)
        .open(fresh)
        .map_err(|e| Error::io(fresh.display(), e))?;
    let connection = connect(fresh, spool, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
        ))
        .and_then(|()| rows::write_state(&connection, 0, &Totals::default()))
        .and_then(|()| connection.execute_batch("COMMIT"))
        .map_err(|e| store_error(spool, e))?;
    Ok(connection)
}

/// Closes a store that is filled. It is in WAL mode from then on: to change that later would take a
/// journal that a crash can leave behind.
pub(super) fn finish_beside(fresh: Connection, spool: &str) -> Result<()> {
    fresh
        .pragma_update(None, "journal_mode", "WAL")
        .and_then(|()| fresh.close().map_err(|(_, e)| e))
        .map_err(|e| store_error(spool, e))
}

/// Gives a finished file its name, durably.
pub(super) fn put_in_place(fresh: &Path, path: &Path) -> Result<()> {
    let put = || -> std::io::Result<()> {
        File::open(fresh)?.sync_all()?;
        std::fs::rename(fresh, path)
    };
    put().map_err(|e| Error::io(path.display(), e))?;
    sync_parent(path)
}

/// Whether there is a store at `path`. What cannot be one, or lacks a part, is damaged.
pub(super) fn find(path: &Path, spool: &str) -> Result<bool> {
    // Before the store is looked for: a sender may be making both just now, the log after the store.
    let has_log = path.with_extension("db-wal").exists();
    match std::fs::metadata(path) {
        Ok(about) if about.len() >= SMALLEST_DATABASE => Ok(true),
        Ok(about) => Err(damaged(
            spool,
            format_args!("has only {} bytes", about.len()),
        )),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path.display(), e)),
        Err(_) if has_log => Err(damaged(spool, "is gone, and its log store.db-wal is there")),
        Err(_) => Ok(false),
    }
}

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

/// Opens the store to read it. A reader keeps its own marks in the shared memory beside the store; on a
/// disk that cannot be written to there may be none, and then nobody can be writing either.
pub(super) fn connect_to_read(spool: &Spool) -> Result<Connection> {
    let (path, name) = (spool.store_path(), spool.name());
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let can_write = rustix::fs::access(spool.dir(), rustix::fs::Access::WRITE_OK);
    if can_write.is_ok() || path.with_extension("db-shm").exists() {
        return connect(&path, &name, read_only);
    }
    let log = std::fs::metadata(path.with_extension("db-wal"));
    if log.is_ok_and(|about| about.len() > 0) {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "{name}: store.db has a log, and cannot be read with it where nothing can be written; copy the spool to a disk of its own and look there"
            ),
        ));
    }
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let as_uri = read_only | OpenFlags::SQLITE_OPEN_URI;
    connect(Path::new(&uri), &name, as_uri)
}

fn number(connection: &Connection, pragma: &str, spool: &str) -> Result<i64> {
    connection
        .pragma_query_value(None, pragma, |row| row.get(0))
        .map_err(|e| store_error(spool, e))
}

/// The version from which on a store has receipts, and measures beside the sums.
pub(super) const RECEIPTS_SINCE: i64 = 3;
/// The first version that keeps how lanes rest.
pub(super) const RESTS_SINCE: i64 = 2;

/// The version of a store; refuses what is of another program or of a newer version.
pub(super) fn check_version(connection: &Connection, spool: &str) -> Result<i64> {
    let application = number(connection, "application_id", spool)?;
    let found = number(connection, "user_version", spool)?;
    if found > VERSION && application == APPLICATION_ID && !has_our_schema(connection) {
        return Err(Error::new(
            ErrorKind::Store,
            format!(
                "{spool}: store.db has version {found}, this library knows {VERSION}; let a newer libmeditopia send"
            ),
        ));
    }
    if application != APPLICATION_ID || !(1..=VERSION).contains(&found) {
        return Err(damaged(spool, "is not a store of this library"));
    }
    Ok(found)
}

/// Makes a store of an earlier version one of this version; only the sender may.
pub(super) fn upgrade(connection: &Connection, spool: &str) -> Result<()> {
    let found = number(connection, "user_version", spool)?;
    let steps = UPGRADES.get(usize::try_from(found - 1).unwrap_or_default()..);
    for step in steps.unwrap_or_default() {
        let whole = format!("BEGIN IMMEDIATE; {step} COMMIT");
        if let Err(e) = connection.execute_batch(&whole) {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            return Err(store_error(spool, e));
        }
    }
    Ok(())
}

/// Whether only the version differs: then it is the version that is damaged.
fn has_our_schema(connection: &Connection) -> bool {
    let schema = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        connection
            .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    let ours = Connection::open_in_memory().and_then(|fresh| {
        fresh.execute_batch(SCHEMA)?;
        schema(&fresh)
    });
    matches!((ours, schema(connection)), (Ok(ours), Ok(found)) if ours == found)
}

/// The store cannot be trusted until an operator recovers it.
pub(super) fn damaged(spool: &str, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Store,
        format!(
            "{spool}: store.db: {what}; enqueue goes on, nothing is sent; keep a copy of the spool, then `meditopia recover` it"
        ),
    )
    .paused_for(PauseReason::StoreDamaged)
}

pub(super) fn store_error(spool: &str, e: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    use rusqlite::ffi::{SQLITE_ERROR, SQLITE_IOERR_SHORT_READ, SQLITE_MISMATCH, SQLITE_RANGE};
    // Statements and types are fixed: where they do not fit, the schema or a row is not what it was.
    let unfit = match &e {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.extended_code,
            // The last: a file that ends within a page.
            SQLITE_ERROR | SQLITE_MISMATCH | SQLITE_RANGE | SQLITE_IOERR_SHORT_READ
        ),
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::InvalidColumnIndex(..)
        | rusqlite::Error::InvalidColumnName(..) => true,
        _ => false,
    };
    let message = format!("{spool}: store.db: {e}");
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::new(
            ErrorKind::SpoolFull,
            format!("{message}; what waits is kept; free some space"),
        ),
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation,
        ) => damaged(spool, e),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
            ErrorKind::Timeout,
            format!("{message}; another program holds it; end that one"),
        ),
        _ if unfit => damaged(spool, e),
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
