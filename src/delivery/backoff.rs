//! How long a lane rests after a failure that more patience may cure.
//!
//! Decorrelated jitter: each wait is drawn between one second and three times the last one, up to
//! five minutes. A thousand hosts that failed in the same second spread out at once, and nobody
//! counts attempts. What the API asks for in `Retry-After` is a floor, never a ceiling.

use crate::clock::Moment;
use std::time::Duration;

/// The shortest wait.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait that is drawn; a `Retry-After` may ask for more.
pub const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The wait of one lane, if it has one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    drawn: Duration,
    until: Option<Moment>,
}

impl Backoff {
    /// Something failed at `now`: rest, for `asked` at least.
    pub fn failed(&mut self, asked: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) {
        let ceiling = (self.drawn.max(SHORTEST) * 3).min(LONGEST);
        self.drawn = SHORTEST + (ceiling - SHORTEST).mul_f64(rng.f64());
        self.until = Some(now.after(self.drawn.max(asked.unwrap_or_default())));
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
