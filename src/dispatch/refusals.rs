//! What the log says of single events that the API has refused: the first ones of a minute by name, and
//! the others of that minute by their number. So the lines add up to all of them, however many there are.

use std::time::Duration;

use super::{Dispatcher, Due};
use crate::clock::Moment;
use crate::delivery::{Refusal, Verdict};
use crate::error::Result;
use crate::log::Level;
use crate::spelling::quoted;
use crate::store::Store;

const PERIOD: Duration = Duration::from_secs(60);
/// So many events of a period have a line each.
const NAMED: u32 = 5;

/// What was said in this period, and what was not.
#[derive(Debug, Default)]
pub(super) struct Told {
    begun: Option<Moment>,
    named: u32,
    rejected: u64,
    /// Refused while the brake is on: they stay pending.
    kept: u64,
}

/// What the API says of an event that it has refused alone.
pub(super) fn lone_refusal(due: Due, verdict: &Verdict) -> Option<&Refusal> {
    match verdict {
        Verdict::Refused(refusal)
        | Verdict::TooLarge {
            refusal: Some(refusal),
        } if due.events == 1 => Some(refusal),
        _ => None,
    }
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Reads which users were refused in a row, if other processes count as well.
    pub(crate) fn recount_refused(&mut self) -> Result<()> {
        if let Some(users) = self.store.refused_in_a_row_anew()? {
            self.engine.recount_refused(users);
        }
        Ok(())
    }

    /// An event of `user` was refused alone. `rejected`: the id under which it is kept; `None`: it stays pending.
    pub(super) fn say_refused_alone(
        &mut self,
        user: &str,
        refusal: &Refusal,
        rejected: Option<i64>,
        now: Moment,
    ) {
        self.say_untold_of_last_period(now);
        let told = &mut self.told;
        told.begun.get_or_insert(now);
        if told.named == NAMED {
            match rejected {
                Some(_) => told.rejected += 1,
                None => told.kept += 1,
            }
            return;
        }
        told.named += 1;
        let what = match rejected {
            Some(id) => format!("rejected event {id}"),
            None => "an event was refused and stays pending".to_owned(),
        };
        let Refusal {
            code,
            message,
            status,
        } = refusal;
        let user = quoted(user);
        self.say(
            Level::Warn,
            format_args!("{what}, of user {user}: {code} {message} (HTTP {status})"),
        );
    }

    /// Says what is left to say of a period that is over.
    pub(super) fn say_untold_of_last_period(&mut self, now: Moment) {
        let begun = self.told.begun;
        if begun.is_some_and(|begun| now.reached(begun.after(PERIOD))) {
            self.say_untold();
        }
    }

    /// Says what is left to say. Nobody else does once the dispatcher is gone.
    pub(crate) fn say_untold(&mut self) {
        let Told { rejected, kept, .. } = std::mem::take(&mut self.told);
        for (events, name, what) in [
            (rejected, "rejected", "were rejected"),
            (kept, "pending", "were refused and stay pending"),
        ] {
            if events > 0 {
                let list = format!("meditopia {name} list {}", self.store.as_argument());
                self.say(
                    Level::Warn,
                    format_args!("besides, {events} events {what}; to see them: {list}"),
                );
            }
        }
    }
}
