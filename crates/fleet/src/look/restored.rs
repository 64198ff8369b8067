//! What a database that was set back to an older state can say of what it has forgotten.
//!
//! It does not know what came after that state. What it knows: when it was used last, what it holds as pending
//! (delivered since, if relays went on after that state), whose journals it took events from, and the receipts that
//! it has.

use tokio_postgres::types::Type;

use super::Look;
use crate::connection::column;
use crate::failure::Result;

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The last time at which a host, a relay or a receipt shows it in use, wall time in milliseconds; `None`: never.
    pub last_used_ms: Option<i64>,
    /// Requests that were delivered since the time that was asked about, as far as it knows.
    pub requests: u64,
    /// Their events.
    pub events: u64,
    /// Relays that have said within the last minute that they live.
    pub living_relays: u64,
}

impl Look {
    /// What the database knows of the time since `since_ms`.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query).
    pub fn restored(&mut self, since_ms: i64) -> Result<Restored> {
        let row = self.connection.query_one(
            "SELECT (extract(epoch FROM greatest(
                 (SELECT max(seen) FROM meditopia.spool), (SELECT max(seen) FROM meditopia.relay))) * 1000)::bigint,
               (SELECT max(newest.time_ms) FROM meditopia.lane l CROSS JOIN LATERAL (
                 SELECT r.time_ms FROM meditopia.receipt r WHERE r.lane = l.lane ORDER BY r.time_ms DESC LIMIT 1) AS newest),
               kept.requests, kept.events,
               (SELECT count(*) FROM meditopia.relay WHERE seen > clock_timestamp() - interval '1 minute')
             FROM (SELECT count(*) AS requests, coalesce(sum(events), 0)::bigint AS events
               FROM meditopia.receipt WHERE time_ms >= $1) AS kept",
            &[(&since_ms, Type::INT8)],
        )?;
        let (seen, delivered): (Option<i64>, Option<i64>) = (column(&row, 0)?, column(&row, 1)?);
        Ok(Restored {
            last_used_ms: seen.into_iter().chain(delivered).max(),
            requests: column::<i64>(&row, 2)?.unsigned_abs(),
            events: column::<i64>(&row, 3)?.unsigned_abs(),
            living_relays: column::<i64>(&row, 4)?.unsigned_abs(),
        })
    }
}
