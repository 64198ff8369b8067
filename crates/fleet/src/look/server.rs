//! What the server itself says: who asks, whether it cleans up after itself, and what keeps it from that.
//!
//! No text of anybody's statement is read: it may hold an event.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::Look;
use crate::connection::column;
use crate::failure::Result;

/// A snapshot that is older keeps what was deleted since from being cleaned away.
pub const OLD_SNAPSHOT: Duration = Duration::from_secs(15 * 60);

/// The server and the user that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its version, as it says it.
    pub version: String,
    /// It follows another server and takes no change.
    pub is_standby: bool,
    /// The user that this connection is of.
    pub user: String,
    /// The fleet's roles that the user has.
    pub roles: Vec<String>,
    /// Whether it cleans its tables by itself.
    pub autovacuum: bool,
    /// Sessions of others of which this user may not see how old they are.
    pub hidden_sessions: u64,
    /// What keeps it from cleaning up.
    pub old_snapshots: Vec<OldSnapshot>,
}

/// The partitions of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// Whether a receipt stands where no day has a partition.
    pub has_strays: bool,
    /// For how many days beginning today there are partitions.
    pub days: i64,
}

/// Something that keeps what was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSnapshot {
    /// What it is and whose: a session, a prepared transaction, a replication slot.
    pub what: String,
    /// How old it is; `None`: nobody knows.
    pub age: Option<Duration>,
}

impl Look {
    /// Asks the server. Any of the fleet's roles may.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query).
    pub fn server(&mut self) -> Result<Server> {
        let row = self.connection.query_one(
            "SELECT current_setting('server_version'), pg_is_in_recovery(), current_user::text,
               ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.rolname LIKE 'meditopia\\_%' AND pg_has_role(r.oid, 'USAGE')
                 ORDER BY r.rolname),
               current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
               (SELECT count(*) FROM pg_stat_activity a WHERE a.datname = current_database() AND a.state IS NULL
                 AND a.backend_type = 'client backend')",
            &[],
        )?;
        Ok(Server {
            version: column(&row, 0)?,
            is_standby: column(&row, 1)?,
            user: column(&row, 2)?,
            roles: column(&row, 3)?,
            autovacuum: column(&row, 4)?,
            hidden_sessions: column::<i64>(&row, 5)?.unsigned_abs(),
            old_snapshots: self.old_snapshots(OLD_SNAPSHOT)?,
        })
    }

    /// Looks at the partitions of receipts.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query).
    pub fn partitions(&mut self) -> Result<Partitions> {
        let row = self.connection.query_one(
            "SELECT EXISTS (SELECT FROM meditopia.receipt_other),
               coalesce((SELECT max(substr(c.relname, 9)::bigint) FROM pg_class c
                 WHERE c.relnamespace = 'meditopia'::regnamespace AND c.relname ~ '^receipt_[0-9]+$'), 0)
               - floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint + 1",
            &[],
        )?;
        Ok(Partitions {
            has_strays: column(&row, 0)?,
            days: column::<i64>(&row, 1)?.max(0),
        })
    }

    /// What keeps the server from cleaning up since longer than `limit`, the oldest first.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query).
    pub fn old_snapshots(&mut self, limit: Duration) -> Result<Vec<OldSnapshot>> {
        let limit_s = limit.as_secs_f64();
        let rows = self.connection.query(
            "SELECT * FROM (
               SELECT format('session %s of %s (%s) from %s', a.pid, a.usename, a.application_name,
                   coalesce(host(a.client_addr), 'this server')) AS what,
                 extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age
               FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL
               UNION ALL
               SELECT format('prepared transaction %L of %s', t.gid, t.owner),
                 extract(epoch FROM clock_timestamp() - t.prepared)::float8
               FROM pg_prepared_xacts t WHERE t.database = current_database()
               UNION ALL
               SELECT format('replication slot %L, which nobody reads', s.slot_name), NULL
               FROM pg_replication_slots s WHERE s.xmin IS NOT NULL AND NOT s.active
             ) AS found WHERE age IS NULL AND what LIKE 'replication%' OR age >= $1 ORDER BY age DESC NULLS LAST",
            &[(&limit_s, Type::FLOAT8)],
        )?;
        let found = |row| {
            let age: Option<f64> = column(row, 1)?;
            Ok(OldSnapshot {
                what: column(row, 0)?,
                age: age.map(|age| Duration::from_secs_f64(age.max(0.0))),
            })
        };
        rows.iter().map(found).collect()
    }
}
