//! An operator's hold of the whole fleet: `meditopia.meta.hold`. No relay starts a request while it is there.
//!
//! ```text
//! {"since_ms": 1722956645000, "by": "ops@host-1", "reason": "the account changes"}
//! ```
//! The time is that of the server's clock; `reason` may be `null`.

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::Result;

/// A hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// Since when, in milliseconds of the server's wall time.
    pub since_ms: i64,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

impl Hold {
    /// Reads what stands in the database: whatever it is, it is a hold.
    pub fn decode(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether the fleet is held, and since when and by whom.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn read(connection: &mut Connection) -> Result<Option<Self>> {
        let row = connection.query_one("SELECT hold::text FROM meditopia.meta", &[])?;
        Ok(column::<Option<&str>>(&row, 0)?.map(Self::decode))
    }
}

/// Holds the fleet, and says how it is held now: an earlier hold stays as it is. Needs the role `meditopia_relay`.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn hold(connection: &mut Connection, by: &str, reason: Option<&str>) -> Result<Hold> {
    let row = connection.query_one(
        "UPDATE meditopia.meta SET hold = coalesce(hold, jsonb_build_object(
           'since_ms', (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'by', $1::text, 'reason', $2::text))
         RETURNING hold::text",
        &[(&by, Type::TEXT), (&reason, Type::TEXT)],
    )?;
    Ok(Hold::decode(column(&row, 0)?))
}

/// Ends the hold, and says which it was.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn end(connection: &mut Connection) -> Result<Option<Hold>> {
    let rows = connection.query(
        "WITH before AS (SELECT hold FROM meditopia.meta WHERE hold IS NOT NULL FOR UPDATE)
         UPDATE meditopia.meta m SET hold = NULL FROM before RETURNING before.hold::text",
        &[],
    )?;
    rows.first()
        .map(|row| Ok(Hold::decode(column(row, 0)?)))
        .transpose()
}
