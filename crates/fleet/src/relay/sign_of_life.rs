//! A relay's row: what other relays and operators know it is alive by, and whether the API refuses its address.
//!
//! It is kept every [`KEEP_EVERY`], by the thread that also takes and gives up lanes: what that cannot do any more,
//! others then do. Its clock is the server's.

use std::collections::BTreeMap;
use std::time::Duration;

use meditopia::internals::process::random_uuid;
use tokio_postgres::types::Type;

use super::shares::{Standing, Table};
use crate::connection::{Connection, column};
use crate::failure::Result;

/// How often a relay says that it is alive.
pub const KEEP_EVERY: Duration = Duration::from_secs(2);
/// A relay that has not said so for longer counts as dead.
pub const ALIVE: Duration = Duration::from_secs(10);

/// What a relay is called in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOfLife {
    id: String,
    name: String,
}

/// Why the API refuses a relay's address, and when that tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// What the API has answered, without secrets.
    pub why: String,
    /// From now on.
    pub probe_in: Duration,
}

impl SignOfLife {
    /// A relay of this process, which operators know by `name`.
    pub fn new(name: &str) -> Self {
        let id = random_uuid();
        // As the database shows it.
        let [a, b, c, d, e] = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
        Self {
            id: format!("{a}-{b}-{c}-{d}-{e}"),
            name: name.to_owned(),
        }
    }

    /// A random UUID, drawn with each process: a relay that starts again is another one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says that it is alive.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn keep(&self, connection: &mut Connection, blocked: Option<&Blocked>) -> Result<()> {
        let why = blocked.map(|blocked| blocked.why.as_str());
        let probe_in = blocked.map(|blocked| blocked.probe_in.as_secs_f64());
        connection.query(
            "INSERT INTO meditopia.relay (id, name, version, seen, blocked, blocked_until)
            VALUES ($1::uuid, $2, $3, clock_timestamp(), $4, clock_timestamp() + make_interval(secs => $5))
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, seen = excluded.seen,
              blocked = excluded.blocked, blocked_until = excluded.blocked_until",
            &[
                (&self.id, Type::TEXT),
                (&self.name, Type::TEXT),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
                (&why, Type::TEXT),
                (&probe_in, Type::FLOAT8),
            ],
        )?;
        Ok(())
    }

    /// Leaves: from now on others count without it. It gives its leases up besides.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn remove(&self, connection: &mut Connection) -> Result<()> {
        connection.query(
            "DELETE FROM meditopia.relay WHERE id = $1::uuid",
            &[(&self.id, Type::TEXT)],
        )?;
        Ok(())
    }
}

/// The relays that are alive, and who owns each lane.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn read_table(connection: &mut Connection) -> Result<Table> {
    // The newest step is read from the end of the index: beside an old snapshot, many before it lie there still. The
    // numbers of the lanes are an array, because of a series the planner expects so many rows that it compiles the plan,
    // for 0.3 s.
    let rows = connection.query(
        "SELECT NULL::smallint, id::text, blocked IS NOT NULL FROM meditopia.relay
          WHERE seen > clock_timestamp() - make_interval(secs => $1)
        UNION ALL
        SELECT l.lane, CASE WHEN l.lease_until >= clock_timestamp() THEN coalesce(l.owner::text, '') END, false
          FROM unnest(ARRAY(SELECT generate_series(0, (SELECT lanes - 1 FROM meditopia.meta LIMIT 1)))) AS all_lanes(lane), LATERAL (
            SELECT * FROM meditopia.lane l WHERE l.lane = all_lanes.lane::smallint ORDER BY l.step DESC LIMIT 1
          ) AS l
        ORDER BY 1",
        &[(&ALIVE.as_secs_f64(), Type::FLOAT8)],
    )?;
    let mut table = Table {
        relays: BTreeMap::new(),
        lanes: Vec::new(),
    };
    for row in &rows {
        let (lane, id): (Option<i16>, Option<String>) = (column(row, 0)?, column(row, 1)?);
        match (lane, id) {
            (Some(_), owner) => table.lanes.push(owner),
            (None, Some(id)) => {
                let standing = match column(row, 2)? {
                    true => Standing::Blocked,
                    false => Standing::Able,
                };
                table.relays.insert(id, standing);
            }
            (None, None) => {}
        }
    }
    Ok(table)
}
