//! Whether all that waits rests after failures, and until when: an API that is away is no pause, and yet
//! nothing goes.
//!
//! A lane keeps how it rests until something of it succeeds, so also while the next request is under way.

use super::handle::Client;
use crate::clock;
use crate::config::LANES_MAX;
use crate::error::{PauseReason, Result};
use crate::store::Rest;
use crate::store::sqlite::Reader;

/// A rest that is shorter comes and goes with a single failure.
const LASTING_MS: i64 = 5_000;
/// So many server errors in a row are no accident, however short the rest is.
const LASTING_ERRORS: u32 = 3;

/// What all that waits is waiting for after failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// When the next request is due, wall time in milliseconds; in the past: it is under way.
    pub next_ms: i64,
    /// How many server errors the batch in doubt has met in a row; the most of all lanes.
    pub server_errors: u32,
    /// Whether a connection was lost before the answer, and nothing succeeded since.
    pub connection_lost: bool,
    /// Whether it is more than an accident: every rest takes 5 s or more, or follows 3 server errors.
    pub is_lasting: bool,
}

impl Retry {
    /// Of the lanes that hold events; `None` if one of them does not rest.
    fn of(rests: &[Rest], now_ms: i64) -> Option<Self> {
        let ends = rests.iter().map(|rest| {
            // By a clock that was set since, a rest is no longer than it was meant to be.
            let latest = now_ms.saturating_add(rest.wait_ms);
            rest.until_ms.map(|until| until.min(latest))
        });
        let is_lasting =
            |rest: &Rest| rest.wait_ms >= LASTING_MS || rest.server_errors >= LASTING_ERRORS;
        Some(Self {
            next_ms: ends.collect::<Option<Vec<_>>>()?.into_iter().min()?,
            server_errors: rests.iter().map(|rest| rest.server_errors).max()?,
            connection_lost: rests.iter().any(|rest| rest.connection_lost),
            is_lasting: rests.iter().all(is_lasting),
        })
    }

    /// When it goes on and what went wrong, for people.
    pub fn in_words(&self, now_ms: i64) -> String {
        let next = match self.next_ms - now_ms {
            ..=0 => "the next try is under way".to_owned(),
            left => format!("next try in {} s", (left + 999) / 1_000),
        };
        let after = match (self.server_errors, self.connection_lost) {
            (0, false) => "after a failed request".to_owned(),
            (0, true) => "after a lost connection".to_owned(),
            (1, _) => "after a server error".to_owned(),
            (errors, _) => format!("after {errors} server errors in a row"),
        };
        format!("{next}, {after}")
    }
}

impl Client {
    /// Whether all that a sender has taken over rests after failures; `None` while something of it can go,
    /// and where the store is damaged, which [`stats`](Self::stats) tell.
    /// Errors: as [`stats`](Self::stats).
    pub fn retry(&self) -> Result<Option<Retry>> {
        let looked = || -> Result<Vec<Rest>> {
            let Some(store) = Reader::open(&self.core()?.spool)? else {
                return Ok(Vec::new());
            };
            let mut rests = Vec::new();
            for lane in 0..LANES_MAX {
                if store.has_pending(lane)? {
                    rests.push(store.rest(lane)?);
                }
            }
            Ok(rests)
        };
        match looked() {
            Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => Ok(None),
            rests => Ok(Retry::of(&rests?, clock::wall_ms())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn resting(wait_ms: i64, left_ms: i64, server_errors: u32) -> Rest {
        Rest {
            wait_ms,
            until_ms: Some(NOW_MS + left_ms),
            server_errors,
            ..Rest::default()
        }
    }

    fn words(rests: &[Rest]) -> String {
        Retry::of(rests, NOW_MS).unwrap().in_words(NOW_MS)
    }

    #[test]
    fn it_waits_for_a_retry_only_while_every_lane_with_events_rests() {
        assert_eq!(Retry::of(&[], NOW_MS), None);
        let rests = [resting(9_000, 4_001, 0), resting(7_000, 2_000, 2)];
        assert_eq!(
            words(&rests),
            "next try in 2 s, after 2 server errors in a row"
        );
        let one_goes = [rests[0], Rest::default()];
        assert_eq!(Retry::of(&one_goes, NOW_MS), None);
    }

    #[test]
    fn one_short_rest_is_an_accident_and_a_long_one_or_many_errors_are_not() {
        let is_lasting = |rests: &[Rest]| Retry::of(rests, NOW_MS).unwrap().is_lasting;
        assert!(!is_lasting(&[resting(LASTING_MS - 1, 1, 2)]));
        assert!(is_lasting(&[resting(LASTING_MS, 1, 0)]));
        assert!(is_lasting(&[resting(1_000, 1, 3)]));
        assert!(!is_lasting(&[resting(60_000, 1, 0), resting(1_000, 1, 0)]));
    }

    #[test]
    fn it_lasts_while_the_next_request_is_under_way_and_by_a_clock_that_was_set_back() {
        let under_way = [resting(20_000, -3_000, 0)];
        assert!(Retry::of(&under_way, NOW_MS).unwrap().is_lasting);
        assert!(words(&under_way).starts_with("the next try is under way"));
        assert!(words(&[resting(20_000, 86_400_000, 0)]).starts_with("next try in 20 s"));
    }
}
