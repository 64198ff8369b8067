//! How runs and parcels are read for lists.

use meditopia::internals::store::StoredRun;
use tokio_postgres::Row;

use crate::connection::column;
use crate::failure::{Failure, Outcome, Result};
use crate::lane_store::decode_marks;
use crate::parcel::Parcel;

/// What [`stored_run`] reads of a run `r`.
pub(super) const RUN_COLUMNS: &str = "r.id, r.origin, r.body, r.slots, r.checksum, r.marks";

/// A run whose columns begin at `at`; `None`: the row has none.
pub(super) fn stored_run(row: &Row, at: usize) -> Result<Option<StoredRun>> {
    let Some(id) = column::<Option<i64>>(row, at)? else {
        return Ok(None);
    };
    let parcel = Parcel::decode(
        column(row, at + 2)?,
        column(row, at + 3)?,
        column(row, at + 4)?,
    );
    let marks = decode_marks(column(row, at + 5)?);
    match (parcel, marks) {
        (Some(parcel), Some(marks)) => Ok(Some(StoredRun {
            id,
            origin: column(row, at + 1)?,
            run: parcel.into_run(),
            marks,
        })),
        _ => Err(damaged("run", id)),
    }
}

/// A parcel: id, body, slots, checksum from `at` on.
pub(super) fn parcel(row: &Row, at: usize) -> Result<(i64, Parcel)> {
    let id = column(row, at)?;
    let parcel = Parcel::decode(
        column(row, at + 1)?,
        column(row, at + 2)?,
        column(row, at + 3)?,
    );
    Ok((id, parcel.ok_or_else(|| damaged("parcel", id))?))
}

fn damaged(what: &str, id: i64) -> Failure {
    Failure::new(
        Outcome::Unusable,
        format!(
            "store: the row {id} of meditopia.{what} is damaged in the database; restore it from a backup"
        ),
    )
}
