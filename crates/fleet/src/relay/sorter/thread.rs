//! The thread of a relay that sorts while it has the lease, and waits for it otherwise.

use std::time::{Duration, Instant};

use meditopia::LogLevel as Level;

use super::{Round, Sorter};
use crate::failure::{Failure, Result, STEP_LOST};
use crate::forward::{Say, Stop};
use crate::relay::housekeeping::Housekeeping;
use crate::relay::pool::Pool;

/// How often the sorter looks for parcels.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a relay that does not sort tries to.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How often a failure that lasts is logged.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Sorts as the relay `owner` until it is stopped, and gives the lease up then.
///
/// While the database is away it tries again. Each round is logged only if something is wrong with a parcel.
pub fn sort_until_stopped(
    pool: &Pool,
    owner: &str,
    housekeeping: Housekeeping,
    stop: &Stop,
    say: Say<'_>,
) {
    let mut thread = Thread {
        pool,
        owner,
        say,
        sorter: None,
        breaks: pool.breaks(),
        must_read_again: false,
        housekeeping,
        said: None,
        failures: 0,
    };
    loop {
        let wait = match thread.step() {
            Ok(wait) => {
                thread.succeeded();
                wait
            }
            Err(failure) => {
                thread.failed(&failure);
                pool.rest().max(LOOK_EVERY)
            }
        };
        if stop.wait(wait) {
            break;
        }
    }
    if let Some(sorter) = thread.sorter.take()
        && let Err(failure) = pool.with(|connection| sorter.give_up(connection))
    {
        let message =
            format!("cannot give up the lease of the sorter, which ends by itself: {failure}");
        say(Level::Warn, &message);
    }
}

struct Thread<'a> {
    pool: &'a Pool,
    owner: &'a str,
    say: Say<'a>,
    sorter: Option<Sorter>,
    /// Those of the pool when the sorter was read.
    breaks: u64,
    must_read_again: bool,
    housekeeping: Housekeeping,
    /// When a failure was logged last, and how many there were in a row.
    said: Option<Instant>,
    failures: u32,
}

impl Thread<'_> {
    /// One step, and how long to wait for the next.
    fn step(&mut self) -> Result<Duration> {
        let breaks = self.pool.breaks();
        if self.sorter.is_some() && (self.must_read_again || breaks != self.breaks) {
            self.read_again()?;
        }
        self.breaks = breaks;
        let Some(mut sorter) = self.sorter.take() else {
            self.sorter = self
                .pool
                .with(|connection| Sorter::take(connection, self.owner))?;
            return Ok(match self.sorter {
                Some(_) => {
                    (self.say)(Level::Info, "this relay sorts");
                    Duration::ZERO
                }
                None => TRY_EVERY,
            });
        };
        let round = self.pool.with(|connection| sorter.round(connection));
        self.sorter = Some(sorter);
        let round = round?;
        self.report(&round);
        self.keep_house();
        Ok(match round.is_full {
            true => Duration::ZERO,
            false => LOOK_EVERY,
        })
    }

    fn read_again(&mut self) -> Result<()> {
        let Some(mut sorter) = self.sorter.take() else {
            return Ok(());
        };
        let read = self.pool.with(|connection| sorter.read_again(connection));
        let is_ours = match read {
            Ok(is_ours) => is_ours,
            Err(failure) => {
                self.sorter = Some(sorter);
                return Err(failure);
            }
        };
        self.must_read_again = false;
        match is_ours {
            true => self.sorter = Some(sorter),
            false => (self.say)(Level::Warn, "another relay sorts now"),
        }
        Ok(())
    }

    fn report(&self, round: &Round) {
        for parcel in &round.damaged {
            let from = match &parcel.spool {
                Some(spool) => format!("the spool {spool}"),
                None => "meditopia.enqueue".to_owned(),
            };
            (self.say)(
                Level::Error,
                &format!(
                    "parcel {} with {} events from {from} does not fit its checksum; it is kept in the table meditopia.damaged_parcel, and the others go on",
                    parcel.id, parcel.events
                ),
            );
        }
        if let Some((parcel, why)) = &round.unreadable {
            (self.say)(
                Level::Error,
                &format!(
                    "the database cannot read parcel {parcel} ({why}); it stays in the table meditopia.parcel, and the others go on. Check the server's disk; if the parcel cannot be restored, a DBA deletes it"
                ),
            );
        }
    }

    fn keep_house(&mut self) {
        if !self.housekeeping.is_due() {
            return;
        }
        let Self {
            pool, housekeeping, ..
        } = self;
        if let Err(failure) = pool.with(|connection| housekeeping.keep(connection)) {
            let message = format!("housekeeping of the database is tried again later: {failure}");
            (self.say)(Level::Warn, &message);
        }
    }

    fn succeeded(&mut self) {
        if self.failures > 0 && self.said.is_some() {
            (self.say)(Level::Info, "the sorter can reach the database again");
        }
        self.failures = 0;
        self.said = None;
    }

    fn failed(&mut self, failure: &Failure) {
        self.must_read_again = true;
        self.failures += 1;
        // Another one has come before it: what that means, the row says.
        let is_lost = failure.is_refused_with(STEP_LOST) && self.failures == 1;
        if !is_lost && self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let message = format!("cannot sort: {failure}; what hosts hand in is kept");
            (self.say)(Level::Error, &message);
        }
    }
}
