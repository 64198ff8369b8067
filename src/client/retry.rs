//! Whether all lanes with events are in a backoff, and until when. An API that cannot be reached is
//! not a pause, and yet nothing is sent.
//!
//! A lane keeps its backoff until one of its requests succeeds, so also while the next request is
//! in flight.

use super::spool_client::Client;
use crate::clock;
use crate::config::LANES_MAX;
use crate::error::{PauseReason, Result};
use crate::store::Reader;
use crate::store::Rest;

/// A shorter backoff comes and goes with a single failure.
const LASTING_MS: i64 = 5_000;
/// So many server errors in a row are no coincidence, however short the backoff is.
const LASTING_ERRORS: u32 = 3;

/// The retry that all pending events wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// When the next request is due, wall time in milliseconds; in the past: the request is in
    /// flight.
    pub next_ms: i64,
    /// Server errors in a row for a batch in doubt; the largest number of all lanes.
    pub server_errors: u32,
    /// Whether a connection was lost before the answer, and no request has succeeded since.
    pub connection_lost: bool,
    /// Whether the failure lasts: every backoff takes 5 s or more, or follows 3 server errors.
    pub is_lasting: bool,
}

impl Retry {
    /// From the lanes that hold events; `None` if one of them is not in a backoff.
    fn from_rests(rests: &[Rest], now_ms: i64) -> Option<Self> {
        let ends = rests.iter().map(|rest| {
            // The wall clock may have been set since; that does not make the backoff longer.
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

    /// When the next try is due and what went wrong, in words.
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
    /// The retry that everything in the store waits for; `None` while an event can be sent, and if
    /// the store is damaged, which [`stats`](Self::stats) reports. Errors: as
    /// [`stats`](Self::stats).
    pub fn retry(&self) -> Result<Option<Retry>> {
        let read_rests = || -> Result<Vec<Rest>> {
            let Some(store) = Reader::open(&self.core()?.spool)? else {
                return Ok(Vec::new());
            };
            let mut rests = Vec::new();
            for lane in 0..LANES_MAX {
                if store.has_pending(lane) {
                    rests.push(store.rest(lane));
                }
            }
            Ok(rests)
        };
        match read_rests() {
            Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => Ok(None),
            rests => Ok(Retry::from_rests(&rests?, clock::wall_ms())),
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
        Retry::from_rests(rests, NOW_MS).unwrap().in_words(NOW_MS)
    }

    #[test]
    fn a_spool_waits_for_a_retry_only_while_every_lane_with_events_is_in_a_backoff() {
        assert_eq!(Retry::from_rests(&[], NOW_MS), None);
        let rests = [resting(9_000, 4_001, 0), resting(7_000, 2_000, 2)];
        assert_eq!(
            words(&rests),
            "next try in 2 s, after 2 server errors in a row"
        );
        let one_goes = [rests[0], Rest::default()];
        assert_eq!(Retry::from_rests(&one_goes, NOW_MS), None);
    }

    #[test]
    fn one_short_backoff_is_no_lasting_failure_and_a_long_one_or_many_server_errors_are() {
        let is_lasting = |rests: &[Rest]| Retry::from_rests(rests, NOW_MS).unwrap().is_lasting;
        assert!(!is_lasting(&[resting(LASTING_MS - 1, 1, 2)]));
        assert!(is_lasting(&[resting(LASTING_MS, 1, 0)]));
        assert!(is_lasting(&[resting(1_000, 1, 3)]));
        assert!(!is_lasting(&[resting(60_000, 1, 0), resting(1_000, 1, 0)]));
    }

    #[test]
    fn a_failure_lasts_while_the_next_request_is_in_flight_and_after_the_clock_was_set_back() {
        let under_way = [resting(20_000, -3_000, 0)];
        assert!(Retry::from_rests(&under_way, NOW_MS).unwrap().is_lasting);
        assert!(words(&under_way).starts_with("the next try is under way"));
        assert!(words(&[resting(20_000, 86_400_000, 0)]).starts_with("next try in 20 s"));
    }
}
