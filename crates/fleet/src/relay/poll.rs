//! One look at the database for all lanes of a relay: what has come for them, and what operators have asked for.

use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::Result;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct News {
    /// How many events the sorter has appended to each lane so far. A lane whose number has changed has new runs.
    pub(super) appended: Vec<i64>,
    /// Since when delivery is held, wall time in milliseconds, and what for.
    pub(super) hold: Option<(i64, String)>,
    /// How many users were refused in a row, by whichever relay.
    pub(super) refused_users: usize,
    /// Whether operators wait for one of the lanes.
    pub(super) has_commands: bool,
    /// Whether this relay has the lease to sort.
    pub(super) sorts: bool,
}

/// Looks for the lanes of the relay `me`, with one statement that reads a few rows.
///
/// # Errors
/// Those of [`Connection::query`].
pub(super) fn look(connection: &mut Connection, lanes: &[i16], me: &str) -> Result<News> {
    let row = connection.query_one(
        "SELECT s.appended, EXISTS (SELECT FROM meditopia.command c WHERE c.lane = ANY($1) AND c.answer IS NULL),
           (SELECT count(*) FROM meditopia.refused_in_a_row),
           m.hold IS NOT NULL, coalesce((m.hold->>'since_ms')::bigint, 0), coalesce(m.hold->>'reason', ''),
           coalesce(s.owner = $2::uuid AND s.lease_until > clock_timestamp(), false)
         FROM meditopia.sorter s CROSS JOIN meditopia.meta m",
        &[(&lanes, Type::INT2_ARRAY), (&me, Type::TEXT)],
    )?;
    let refused_users: i64 = column(&row, 2)?;
    let is_held: bool = column(&row, 3)?;
    let hold = (column(&row, 4)?, column(&row, 5)?);
    Ok(News {
        appended: column(&row, 0)?,
        has_commands: column(&row, 1)?,
        refused_users: usize::try_from(refused_users).unwrap_or(usize::MAX),
        hold: is_held.then_some(hold),
        sorts: column(&row, 6)?,
    })
}

/// The events of the whole fleet that are in the database and still to be delivered.
///
/// # Errors
/// Those of [`Connection::query`].
pub(super) fn pending(connection: &mut Connection) -> Result<i64> {
    let row = connection.query_one(
        "SELECT (SELECT coalesce(sum(a), 0) FROM meditopia.sorter s, unnest(s.appended) a)::bigint
          - (SELECT coalesce(sum(l.left_events), 0) FROM meditopia.lane l)::bigint
          + (SELECT coalesce(sum(p.events), 0) FROM meditopia.parcel p)",
        &[],
    )?;
    column(&row, 0)
}
