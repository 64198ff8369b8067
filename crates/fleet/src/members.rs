//! The hosts, relays and lanes of a fleet, for lists.

use crate::connection::{Connection, column};
use crate::failure::Result;

/// A host that forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its spool.
    pub spool: String,
    /// What it calls itself.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// The events that it has handed in.
    pub events: i64,
    /// The bytes of its journal that were not forwarded yet when it was last seen.
    pub behind_bytes: i64,
    /// Since when, wall time in milliseconds.
    pub behind_since_ms: Option<i64>,
    /// It said that it would not come back.
    pub closed: bool,
    /// When it was last seen.
    pub seen_ms: i64,
}

/// A relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// What it is called in the database.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// When it was last seen.
    pub seen_ms: i64,
    /// How long ago that is on the server's clock, in milliseconds.
    pub unseen_ms: i64,
    /// Whether other relays count it as alive.
    pub is_alive: bool,
    /// Why the API refuses it.
    pub blocked: Option<String>,
    /// When it tries again.
    pub blocked_until_ms: Option<i64>,
    /// How many lanes it owns.
    pub lanes: i64,
    /// Whether it sorts.
    pub sorts: bool,
}

/// A relay that was not seen for so long is not alive. It says that it is every 2 s.
const ALIVE_MS: i64 = 10_000;

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub lane: i16,
    /// The relay that owns it; `None`: its lease has ended, or it never had one.
    pub owner: Option<String>,
    /// How long the lease still is, in milliseconds.
    pub lease_ms: Option<i64>,
    /// Events that wait in it.
    pub pending: i64,
    /// Events that the API accepted.
    pub delivered: i64,
    /// Events that it refused alone.
    pub rejected: i64,
    /// Since when its batch is in doubt.
    pub in_doubt_since_ms: Option<i64>,
}

/// How lists call this host, unless an option says otherwise.
pub fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// Every host, by name.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn hosts(connection: &mut Connection) -> Result<Vec<Host>> {
    let rows = connection.query(
        "SELECT s.id::text, h.name, h.version, s.events, s.behind_bytes, s.behind_since_ms, s.closed,
          (extract(epoch FROM s.seen) * 1000)::bigint
        FROM meditopia.spool s JOIN meditopia.host h ON h.id = s.id ORDER BY h.name, s.id",
        &[],
    )?;
    let host = |row| {
        Ok(Host {
            spool: column(row, 0)?,
            name: column(row, 1)?,
            version: column(row, 2)?,
            events: column(row, 3)?,
            behind_bytes: column(row, 4)?,
            behind_since_ms: column(row, 5)?,
            closed: column(row, 6)?,
            seen_ms: column(row, 7)?,
        })
    };
    rows.iter().map(host).collect()
}

/// Every relay, by name.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn relays(connection: &mut Connection) -> Result<Vec<Relay>> {
    let rows = connection.query(
        "SELECT r.id::text, r.name, r.version, (extract(epoch FROM r.seen) * 1000)::bigint, r.blocked,
          (extract(epoch FROM r.blocked_until) * 1000)::bigint,
          (SELECT count(*) FROM meditopia.lane l WHERE l.owner = r.id AND l.lease_until > clock_timestamp()),
          EXISTS (SELECT FROM meditopia.sorter s WHERE s.owner = r.id AND s.lease_until > clock_timestamp()),
          (extract(epoch FROM clock_timestamp() - r.seen) * 1000)::bigint
        FROM meditopia.relay r ORDER BY r.name, r.id",
        &[],
    )?;
    let relay = |row| {
        let unseen_ms: i64 = column(row, 8)?;
        Ok(Relay {
            unseen_ms,
            is_alive: unseen_ms < ALIVE_MS,
            id: column(row, 0)?,
            name: column(row, 1)?,
            version: column(row, 2)?,
            seen_ms: column(row, 3)?,
            blocked: column(row, 4)?,
            blocked_until_ms: column(row, 5)?,
            lanes: column(row, 6)?,
            sorts: column(row, 7)?,
        })
    };
    rows.iter().map(relay).collect()
}

/// Every lane, in order.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn lanes(connection: &mut Connection) -> Result<Vec<Lane>> {
    let rows = connection.query(
        "SELECT l.lane, CASE WHEN leased.yes THEN coalesce(r.name, l.owner::text) END,
          CASE WHEN leased.yes THEN (extract(epoch FROM l.lease_until - clock_timestamp()) * 1000)::bigint END,
          s.appended[l.lane + 1] - l.left_events, l.delivered, l.rejected, l.in_doubt_since_ms
        FROM meditopia.lane l CROSS JOIN meditopia.sorter s
        CROSS JOIN LATERAL (SELECT l.lease_until > clock_timestamp() AND l.owner IS NOT NULL) AS leased(yes)
        LEFT JOIN meditopia.relay r ON r.id = l.owner ORDER BY l.lane",
        &[],
    )?;
    let lane = |row| {
        Ok(Lane {
            lane: column(row, 0)?,
            owner: column(row, 1)?,
            lease_ms: column(row, 2)?,
            pending: column(row, 3)?,
            delivered: column(row, 4)?,
            rejected: column(row, 5)?,
            in_doubt_since_ms: column(row, 6)?,
        })
    };
    rows.iter().map(lane).collect()
}
