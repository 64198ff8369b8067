//! Below which id no parcel can appear any more.
//!
//! Ids are drawn in order and committed in any: a transaction may draw 5, and 6 is visible long before it commits. So
//! the sorter reads from the head and never from the last id that it has seen. But dead entries of the index would pile
//! up there beside an old snapshot. What is certain is this: a transaction has its number before it draws an id
//! (`meditopia.next_parcel_id`). Once all transactions that had a number when an id was seen have ended, every
//! smaller id is visible or never will be.
//!
//! The number to compare with is one that the look draws itself. The end of its snapshot would not do: it is the
//! number behind the last transaction that has *ended*, and one that runs may have a larger one.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::Result;

/// How often a sorter looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The id up to which nothing needs to be read.
#[derive(Debug, Default)]
pub struct Low {
    low: i64,
    /// The largest id that was read.
    taken: i64,
    note: Option<Note>,
}

/// Of a look.
#[derive(Debug)]
struct Note {
    /// The largest id that was visible then.
    upto: i64,
    /// Larger than that of every transaction that had a number then.
    transaction: u64,
    /// The sorter's.
    step: i64,
}

impl Low {
    /// Only larger ids have to be read.
    pub fn get(&self) -> i64 {
        self.low
    }

    /// A parcel with this id was read.
    pub fn taken(&mut self, parcel: Option<i64>) {
        self.taken = self.taken.max(parcel.unwrap_or(0));
    }

    /// Notes what is visible, and moves up to what an earlier look has noted if its time has come. `step` is the
    /// sorter's, as its last statement has left it.
    ///
    /// It moves only when the sorter has made a step since the note. A database that was set back to before the
    /// note then refuses the next step, and [`Low`] is dropped before anything is committed with it.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn look(&mut self, connection: &mut Connection, step: i64) -> Result<()> {
        let row = connection.query_one(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_xact_id()::text,
              (SELECT min(id) FROM meditopia.parcel WHERE id > $1), (SELECT max(id) FROM meditopia.parcel WHERE id > $1)",
            &[(&self.low, Type::INT8)],
        )?;
        let (oldest, transaction) = (number(column(&row, 0)?), number(column(&row, 1)?));
        let (first, last): (Option<i64>, Option<i64>) = (column(&row, 2)?, column(&row, 3)?);
        if let Some(note) = &self.note {
            if oldest <= note.transaction || step <= note.step {
                return Ok(());
            }
            let first = first.unwrap_or(i64::MAX);
            self.low = self.low.max(note.upto.min(first - 1));
        }
        self.note = Some(Note {
            upto: self.taken.max(last.unwrap_or(0)),
            transaction,
            step,
        });
        Ok(())
    }
}

/// A transaction's number, 64 bits.
fn number(text: &str) -> u64 {
    // What is none is as if no transaction had ended.
    text.parse().unwrap_or(0)
}
