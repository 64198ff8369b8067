//! How long a lane rests after a failure that more patience may cure.
//!
//! Decorrelated jitter: each wait is drawn between one second and three times the last one, up to
//! five minutes. Only a connection that is lost for the first time is made again at once. A thousand hosts that failed in the same second spread out at once, and nobody
//! counts attempts. What the API asks for in `Retry-After` is a floor, never a ceiling.

use crate::clock::Moment;
use std::time::Duration;

/// The shortest wait.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait that is drawn; a `Retry-After` may ask for more.
pub const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The wait of one lane, if it has one. Plain, so that the store can keep it: a process that lives for one
/// flush must not forget what the API asked the one before to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    /// The wait that was drawn last; zero where nothing has failed.
    pub drawn: Duration,
    /// The whole of the last rest, as drawn or as asked for.
    pub wait: Duration,
    /// The end of it. A store keeps its `wall_ms`; [`Engine::new`](super::Engine::new) works out the rest.
    pub until: Option<Moment>,
    /// Whether a connection was lost, and nothing succeeded since.
    pub connection_lost: bool,
}

impl Backoff {
    /// Something failed at `now`: rest, for `asked` at least.
    pub fn failed(&mut self, asked: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) {
        let ceiling = (self.drawn.max(SHORTEST) * 3).min(LONGEST);
        self.drawn = SHORTEST + (ceiling - SHORTEST).mul_f64(rng.f64());
        self.wait = self.drawn.max(asked.unwrap_or_default());
        self.until = Some(now.after(self.wait));
    }

    /// A connection was lost before the answer. The first time that is most often a connection that
    /// was kept alive for too long, and a new one serves at once; the second time in a row it is a failure.
    pub fn connection_lost(&mut self, now: Moment, rng: &mut fastrand::Rng) {
        if self.connection_lost || self.drawn > Duration::ZERO {
            self.failed(None, now, rng);
        }
        self.connection_lost = true;
    }

    /// The same after a restart. Only the wall time of its end survived, and it may be from another wall:
    /// the rest ends now at the earliest, and after all of it at the latest.
    pub(super) fn restored(mut self, now: Moment) -> Self {
        self.until = self.until.map(|until| now.recall(until.wall_ms, self.wait));
        self
    }

    /// Something succeeded, or an operator asked to try at once.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The end of the rest, if it is still to come.
    pub fn resting_until(&self, now: Moment) -> Option<Moment> {
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
                .resting_until(NOW)
                .map_or(Duration::ZERO, |until| NOW.until(until))
        })
        .take(200)
        .collect()
    }

    #[test]
    fn a_lost_connection_is_made_again_at_once_but_only_once_in_a_row() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        backoff.connection_lost(NOW, &mut rng);
        assert_eq!(backoff.resting_until(NOW), None);
        backoff.connection_lost(NOW, &mut rng);
        assert!(backoff.resting_until(NOW).is_some());
        backoff.reset();
        backoff.failed(None, NOW, &mut rng);
        let later = NOW.after(LONGEST);
        backoff.connection_lost(later, &mut rng);
        assert!(backoff.resting_until(later).is_some());
    }

    #[test]
    fn waits_grow_from_a_second_to_minutes_and_never_leave_that_range() {
        for seed in 0..50 {
            let waits = waits(None, seed);
            assert!(waits.iter().all(|wait| (SHORTEST..=LONGEST).contains(wait)));
            assert!(waits[0] <= SHORTEST * 3);
            assert!(waits.iter().any(|wait| *wait > LONGEST / 2));
        }
    }

    #[test]
    fn two_hosts_that_failed_together_do_not_return_together() {
        assert_ne!(waits(None, 1)[..5], waits(None, 2)[..5]);
    }

    #[test]
    fn what_the_api_asks_for_is_a_floor_also_beyond_the_longest_wait() {
        let asked = Duration::from_secs(3_600);
        assert!(waits(Some(asked), 3).iter().all(|wait| *wait == asked));
        let asked = Duration::from_secs(20);
        assert!(waits(Some(asked), 3).iter().all(|wait| *wait >= asked));
    }

    #[test]
    fn a_success_starts_again_from_the_beginning() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            backoff.failed(None, NOW, &mut rng);
        }
        backoff.reset();
        assert_eq!(backoff.resting_until(NOW), None);
        backoff.failed(None, NOW, &mut rng);
        assert!(NOW.until(backoff.resting_until(NOW).unwrap()) <= SHORTEST * 3);
    }

    #[test]
    fn a_rest_goes_on_after_a_restart_and_is_no_longer_for_a_clock_that_was_set() {
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
            restored
                .resting_until(later)
                .map(|until| later.until(until))
        };
        assert_eq!(after(0), Some(hour));
        assert_eq!(after(3_000_000), Some(Duration::from_secs(600)));
        assert_eq!(after(3_600_000), None);
        assert_eq!(after(-86_400_000), Some(hour));
    }
}
