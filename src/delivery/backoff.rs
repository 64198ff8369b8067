//! How long a lane waits after a failed request.
//!
//! Decorrelated jitter: each wait is drawn between one second and three times the last one, up to
//! five minutes. A thousand hosts that failed in the same second therefore spread out at once, and
//! no attempts need to be counted. A `Retry-After` of the API is a floor, never a ceiling. Only the
//! first lost connection is followed by a request without a wait.

use crate::clock::Moment;
use std::time::Duration;

/// The shortest wait.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait that is drawn; a `Retry-After` may ask for more.
pub const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The backoff of one lane. The fields are public so that the store can keep them: a process that
/// lives for one flush must not forget how long the API asked the process before it to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    /// The wait that was drawn last; zero if nothing has failed.
    pub drawn: Duration,
    /// The whole length of the last wait: as drawn, or as long as the API asked for.
    pub wait: Duration,
    /// The end of the wait. A store keeps its `wall_ms`, from which
    /// [`Engine::new`](super::Engine::new) restores the rest.
    pub until: Option<Moment>,
    /// Whether a connection was lost, and no request has succeeded since.
    pub connection_lost: bool,
}

impl Backoff {
    /// A request failed at `now`: the lane waits, for `asked` at least.
    pub fn failed(&mut self, asked: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) {
        let ceiling = (self.drawn.max(SHORTEST) * 3).min(LONGEST);
        self.drawn = SHORTEST + (ceiling - SHORTEST).mul_f64(rng.f64());
        self.wait = self.drawn.max(asked.unwrap_or_default());
        self.until = Some(now.after(self.wait));
    }

    /// A connection was lost before the answer. The first time, the usual reason is a connection
    /// that was kept alive for too long, and a new one works at once. The second time in a row it
    /// counts as a failure.
    pub fn connection_lost(&mut self, now: Moment, rng: &mut fastrand::Rng) {
        if self.connection_lost || self.drawn > Duration::ZERO {
            self.failed(None, now, rng);
        }
        self.connection_lost = true;
    }

    /// The same backoff after a restart. Only the wall time of its end survived, and the wall clock
    /// may have been set since: the wait ends now at the earliest, and after its whole length at the
    /// latest.
    pub(super) fn restored(mut self, now: Moment) -> Self {
        self.until = self
            .until
            .map(|until| now.restore_deadline(until.wall_ms, self.wait));
        self
    }

    /// A request succeeded, or an operator asked to go on at once.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The end of the wait, if it is still to come.
    pub fn waits_until(&self, now: Moment) -> Option<Moment> {
        self.until.filter(|until| !now.reached(*until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment {
        boot_ns: 1,
        wall_ms: 0,
    };

    fn waits(asked: Option<Duration>, seed: u64) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut backoff = Backoff::default();
        std::iter::repeat_with(|| {
            backoff.failed(asked, NOW, &mut rng);
            backoff
                .waits_until(NOW)
                .map_or(Duration::ZERO, |until| NOW.until(until))
        })
        .take(200)
        .collect()
    }

    #[test]
    fn the_first_lost_connection_is_retried_at_once_and_the_second_in_a_row_waits() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        backoff.connection_lost(NOW, &mut rng);
        assert_eq!(backoff.waits_until(NOW), None);
        backoff.connection_lost(NOW, &mut rng);
        assert!(backoff.waits_until(NOW).is_some());
        backoff.reset();
        backoff.failed(None, NOW, &mut rng);
        let later = NOW.after(LONGEST);
        backoff.connection_lost(later, &mut rng);
        assert!(backoff.waits_until(later).is_some());
    }

    #[test]
    fn backoff_waits_grow_from_one_second_to_five_minutes_and_stay_in_that_range() {
        for seed in 0..50 {
            let waits = waits(None, seed);
            assert!(waits.iter().all(|wait| (SHORTEST..=LONGEST).contains(wait)));
            assert!(waits[0] <= SHORTEST * 3);
            assert!(waits.iter().any(|wait| *wait > LONGEST / 2));
        }
    }

    #[test]
    fn two_hosts_that_failed_together_do_not_retry_together() {
        assert_ne!(waits(None, 1)[..5], waits(None, 2)[..5]);
    }

    #[test]
    fn a_retry_after_is_a_floor_for_the_wait_even_beyond_the_longest_drawn_one() {
        let asked = Duration::from_secs(3_600);
        assert!(waits(Some(asked), 3).iter().all(|wait| *wait == asked));
        let asked = Duration::from_secs(20);
        assert!(waits(Some(asked), 3).iter().all(|wait| *wait >= asked));
    }

    #[test]
    fn a_success_resets_the_backoff_to_its_shortest_wait() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            backoff.failed(None, NOW, &mut rng);
        }
        backoff.reset();
        assert_eq!(backoff.waits_until(NOW), None);
        backoff.failed(None, NOW, &mut rng);
        assert!(NOW.until(backoff.waits_until(NOW).unwrap()) <= SHORTEST * 3);
    }

    #[test]
    fn a_backoff_goes_on_after_a_restart_and_a_clock_that_was_set_does_not_lengthen_it() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut backoff = Backoff::default();
        let hour = Duration::from_secs(3_600);
        backoff.failed(Some(hour), NOW, &mut rng);
        let after = |wall_ms: i64| {
            let later = Moment {
                boot_ns: 77,
                wall_ms,
            };
            let restored = backoff.restored(later);
            restored.waits_until(later).map(|until| later.until(until))
        };
        assert_eq!(after(0), Some(hour));
        assert_eq!(after(3_000_000), Some(Duration::from_secs(600)));
        assert_eq!(after(3_600_000), None);
        assert_eq!(after(-86_400_000), Some(hour));
    }
}
