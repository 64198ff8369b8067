//! Reading parcels from the head, as many as one statement of the sorter may carry.

use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};
use crate::parcel::Parcel;
use crate::relay::lease::SERVER_MS;

/// How much is read at once. The first parcel is always read, whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBounds {
    /// So many parcels.
    pub parcels: i64,
    /// So many bytes of bodies.
    pub bytes: i64,
}

impl Default for ReadBounds {
    /// About 20,000 events of an ordinary size, or 1,000 that were enqueued by SQL.
    fn default() -> Self {
        Self {
            parcels: 1_000,
            bytes: 4 * 1024 * 1024,
        }
    }
}

/// Parcels that are to be taken over.
#[derive(Debug, Default)]
pub struct Batch {
    /// Their ids, and they, in their order.
    pub parcels: Vec<(i64, Parcel)>,
    /// Those that are to be set aside.
    pub damaged: Vec<Damaged>,
    /// One that the server cannot read, and why. Nothing else was read then.
    pub unreadable: Option<(i64, String)>,
    /// The milliseconds since [`EPOCH_MS`](crate::relay::lease::EPOCH_MS) on the server's clock.
    pub server_ms: i64,
    /// More may be there.
    pub is_full: bool,
    /// Ids and checksums of all, as they stand in the database.
    keys: Vec<(i64, Vec<u8>)>,
}

/// A parcel whose bytes do not fit its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its id.
    pub id: i64,
    /// The spool that it came from; `None`: it was enqueued by SQL.
    pub spool: Option<String>,
    /// How many events it had.
    pub events: i16,
}

impl Batch {
    /// Whether there is nothing to take over or to set aside.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.keys.iter().map(|(id, checksum)| (*id, &checksum[..]))
    }

    pub(super) fn last_parcel(&self) -> Option<i64> {
        self.keys.last().map(|(id, _)| *id)
    }
}

/// Reads the parcels behind `low` but `without` some.
pub(super) fn read(
    connection: &mut Connection,
    low: i64,
    without: &[i64],
    bounds: ReadBounds,
) -> Result<Batch> {
    match read_readable(connection, low, without, bounds) {
        Err(failure) if is_damage(&failure) => match find_unreadable(connection, low, without)? {
            None => Err(failure),
            found => Ok(Batch {
                unreadable: found,
                is_full: true,
                ..Batch::default()
            }),
        },
        read => read,
    }
}

fn read_readable(
    connection: &mut Connection,
    low: i64,
    without: &[i64],
    bounds: ReadBounds,
) -> Result<Batch> {
    let rows = connection.query(
        // The length of a body is known without reading it.
        &format!(
            "SELECT id, spool::text, events, body, slots, checksum, {SERVER_MS} FROM (
              SELECT *, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS bytes_before FROM (
                SELECT * FROM meditopia.parcel WHERE id > $1 AND id <> ALL($2) ORDER BY id LIMIT $3
              ) AS head
            ) AS measured WHERE bytes_before < $4 ORDER BY id"
        ),
        &[
            (&low, Type::INT8),
            (&without, Type::INT8_ARRAY),
            (&bounds.parcels, Type::INT8),
            (&bounds.bytes, Type::INT8),
        ],
    )?;
    let mut batch = Batch::default();
    let mut bytes = 0;
    for row in &rows {
        let id = column(row, 0)?;
        let body: &[u8] = column(row, 3)?;
        let checksum: &[u8] = column(row, 5)?;
        bytes += body.len() as i64;
        match Parcel::decode(body.to_vec(), column(row, 4)?, checksum) {
            Some(parcel) => batch.parcels.push((id, parcel)),
            None => batch.damaged.push(Damaged {
                id,
                spool: column(row, 1)?,
                events: column(row, 2)?,
            }),
        }
        batch.keys.push((id, checksum.to_vec()));
        batch.server_ms = column(row, 6)?;
    }
    batch.is_full = rows.len() as i64 >= bounds.parcels || bytes >= bounds.bytes;
    Ok(batch)
}

/// Whether the server cannot read what it has: class XX of its errors.
fn is_damage(failure: &Failure) -> bool {
    matches!(failure.outcome(), Outcome::Refused { sqlstate } if sqlstate.starts_with("XX"))
}

/// The first parcel that the server cannot read, with what it says of it; `None`: it can read all.
fn find_unreadable(
    connection: &mut Connection,
    low: i64,
    without: &[i64],
) -> Result<Option<(i64, String)>> {
    let one = ReadBounds {
        parcels: 1,
        bytes: 1,
    };
    let mut after = low;
    loop {
        match read_readable(connection, after, without, one) {
            Ok(batch) => match batch.last_parcel() {
                Some(parcel) => after = parcel,
                None => return Ok(None),
            },
            Err(failure) if is_damage(&failure) => {
                let row = connection
                    .query_one(
                        "SELECT min(id) FROM meditopia.parcel WHERE id > $1 AND id <> ALL($2)",
                        &[(&after, Type::INT8), (&without, Type::INT8_ARRAY)],
                    )
                    .map_err(|failure| {
                        failure.while_doing(format_args!(
                            "the database cannot read its table meditopia.parcel behind the parcel {after}; restore it from a backup, or have a DBA repair it"
                        ))
                    })?;
                let parcel: Option<i64> = column(&row, 0)?;
                return Ok(parcel.map(|parcel| (parcel, failure.message().to_owned())));
            }
            Err(failure) => return Err(failure),
        }
    }
}
