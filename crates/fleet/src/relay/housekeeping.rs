//! What the relay that sorts clears up now and then, for the whole fleet.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use crate::connection::Connection;
use crate::failure::Result;

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// How soon it is tried again if something was in its way.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// A spool that was closed and is empty is forgotten after so many days.
const SPOOL_DAYS: i32 = 30;

/// When it is due, and what the configuration says of it.
#[derive(Debug)]
pub struct Housekeeping {
    receipts_days: i32,
    next: Instant,
}

impl Housekeeping {
    /// Due at once. Receipts are kept for so many days.
    pub fn new(receipts_days: u32) -> Self {
        Self {
            receipts_days: i32::try_from(receipts_days).unwrap_or(i32::MAX),
            next: Instant::now(),
        }
    }

    /// Whether it is due.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Makes the partitions of receipts a week ahead and drops the old ones; forgets spools that were closed for 30 days,
    /// relays that were not seen for a day, and answered commands that are older than a day. Due again in an hour.
    ///
    /// # Errors
    /// Those of [`Connection::query`], once all of it was tried. Then it is due again in ten minutes: a long reader of
    /// the receipts, such as a dump, keeps their partitions as they are.
    pub fn keep(&mut self, connection: &mut Connection) -> Result<()> {
        self.next = Instant::now() + AGAIN_AFTER;
        let tried = [
            connection.query(
                "DELETE FROM meditopia.relay WHERE seen < clock_timestamp() - interval '1 day'",
                &[],
            ),
            connection.query(
                "DELETE FROM meditopia.command WHERE answer IS NOT NULL AND given < clock_timestamp() - interval '1 day'",
                &[],
            ),
            connection.query(
                "SELECT meditopia.forget_closed_spools($1)",
                &[(&SPOOL_DAYS, Type::INT4)],
            ),
            connection.query(
                "SELECT meditopia.keep_receipts($1)",
                &[(&self.receipts_days, Type::INT4)],
            ),
        ];
        for result in tried {
            result?;
        }
        self.next = Instant::now() + EVERY;
        Ok(())
    }
}
