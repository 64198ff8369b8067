//! What the database knows of a host's spool, and how a host hands events in.
//!
//! Parcels and how far the journal is forwarded are one statement, and a compare-and-set on the spool's step: exactly
//! once, also where an answer is lost, a second process forwards, or the database is older than what the host
//! remembers. After any error a host reads again and goes on from there.

use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::Result;
use crate::parcel::{Parcel, checksum};

/// How far a spool is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// Counts its changes.
    pub step: i64,
    /// The offsets of its segments, as the host wrote them.
    pub offsets: Vec<u8>,
    /// The events that it has handed in.
    pub events: i64,
    /// The host said that it would not come back.
    pub closed: bool,
}

/// So many bytes at the beginning of the offsets say which statement wrote them.
pub const MARK_BYTES: usize = 9;

/// What a host hands in.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// How the offsets begin that stand at the step: [`MARK_BYTES`] of them, or all if there are fewer.
    pub mark: &'a [u8],
    /// The offsets of the journal's segments behind these parcels.
    pub offsets: &'a [u8],
    /// The bytes of the journal that are left.
    pub behind_bytes: i64,
    /// Since when the first of them waits, wall time in milliseconds.
    pub behind_since_ms: Option<i64>,
    /// The host will not come back.
    pub closed: bool,
    /// Events, in their order; none only says how the host is.
    pub parcels: &'a [Parcel],
}

impl Spool {
    /// What is known of the spool `id`, a UUID. The first time, it begins.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn begin(
        connection: &mut Connection,
        id: &str,
        host_name: &str,
        version: &str,
    ) -> Result<Self> {
        let row = connection.query_one(
            "SELECT step, offsets, events, closed FROM meditopia.begin_spool($1::uuid, $2, $3)",
            &[
                (&id, Type::TEXT),
                (&host_name, Type::TEXT),
                (&version, Type::TEXT),
            ],
        )?;
        Ok(Self {
            step: column(&row, 0)?,
            offsets: column(&row, 1)?,
            events: column(&row, 2)?,
            closed: column(&row, 3)?,
        })
    }
}

/// Hands events in and notes how far the journal of spool `id` is forwarded; the new step.
///
/// # Errors
/// Those of [`Connection::query`]; [`STEP_LOST`](crate::failure::STEP_LOST): the spool does not stand at `step`, or not by the
/// statement that the host believes.
pub fn forward(
    connection: &mut Connection,
    id: &str,
    step: i64,
    forwarded: &Forwarded<'_>,
) -> Result<i64> {
    let parcels = forwarded.parcels;
    let bodies: Vec<_> = parcels.iter().map(Parcel::body).collect();
    let slots: Vec<_> = parcels.iter().map(Parcel::slots).collect();
    let sums = bodies.iter().zip(&slots);
    let sums: Vec<_> = sums.map(|(body, slots)| checksum(body, slots)).collect();
    let sums: Vec<&[u8]> = sums.iter().map(<[u8; _]>::as_slice).collect();
    let row = connection.query_one(
        "SELECT meditopia.forward($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            (&id, Type::TEXT),
            (&step, Type::INT8),
            (&forwarded.mark, Type::BYTEA),
            (&forwarded.offsets, Type::BYTEA),
            (&forwarded.behind_bytes, Type::INT8),
            (&forwarded.behind_since_ms, Type::INT8),
            (&forwarded.closed, Type::BOOL),
            (&bodies, Type::BYTEA_ARRAY),
            (&slots, Type::BYTEA_ARRAY),
            (&sums, Type::BYTEA_ARRAY),
        ],
    )?;
    column(&row, 0)
}
