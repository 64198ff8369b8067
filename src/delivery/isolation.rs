//! Finding the bad events of a queue with few requests, without ever leaving its order.
//!
//! The API refuses a whole request for one bad event and does not say which one it was. One rule
//! finds it: *the next request always takes a prefix of its queue; only its length varies.* Order
//! per user is kept for free, and what a crash must keep is one number and a belief.
//!
//! Unknown events: the length whose chance of being clean is nearest to one half, or all that fit
//! where that is better than even. A refused prefix of `m` events is a *group*: it holds a bad one.
//! Of a group, the next request takes the prefix for which "the bad one is in here" is as likely
//! as not. Accepted, it is delivered and the group shrinks; refused, it is the group. An event that
//! is refused alone is rejected, and what stood behind it is unknown again. This is the nested procedure of
//! Sobel and Groll (1959), with delivery.
//!
//! An event that the group leaves as the only suspect is still sent alone: an inference can be wrong
//! (a user was created in the meantime), and its own refusal brings its own message.

use super::belief::{Belief, RATES};

/// Where one queue stands in finding its bad events. Plain, so that the store can keep it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Isolation {
    /// How likely a bad event is in this queue.
    pub belief: Belief,
    /// How many events at the head hold at least one bad one; 0 where nothing is known.
    pub group: usize,
    /// How many events at the head were part of a batch that was refused after being in doubt, and
    /// so may be at the API already. Their answers teach nothing about the events to come.
    pub doubtful: usize,
}

/// What a refusal of a prefix means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The prefix holds a bad event; a shorter one goes next.
    Narrowed,
    /// The event was refused alone: it is the bad one.
    Alone {
        /// Whether an earlier request that nobody answered may have delivered it.
        may_be_delivered: bool,
    },
}

impl Isolation {
    /// The size of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = (RATES + 2) * 8;

    /// How many events the next request takes, of `available` at the head and at most `max` (both
    /// at least 1, else the answer is 0).
    pub fn next_len(&self, available: usize, max: usize) -> usize {
        let limit = available.min(max);
        match self.group {
            _ if limit <= 1 => limit,
            0 => self.even_prefix(limit),
            1 => 1,
            group => self.halving_prefix(group, limit),
        }
    }

    /// The first `events` events were accepted.
    pub fn accepted(&mut self, events: usize) {
        self.belief.saw_good(events.saturating_sub(self.doubtful));
        self.leave(events);
    }

    /// The first `events` events were refused together.
    pub fn refused(&mut self, events: usize) -> Finding {
        if events > 1 {
            self.group = if self.group == 0 {
                events
            } else {
                events.min(self.group)
            };
            return Finding::Narrowed;
        }
        let may_be_delivered = self.doubtful > 0;
        if !may_be_delivered {
            self.belief.saw_bad();
        }
        self.group = 0;
        self.leave(1);
        Finding::Alone { may_be_delivered }
    }

    /// The first event leaves for a reason of its own (it is too large): the belief learns nothing,
    /// and if it stood in a group, the rest of that group is unknown again.
    /// Tells whether it may be at the API already.
    pub fn set_aside(&mut self) -> bool {
        let may_be_delivered = self.doubtful > 0;
        self.removed(0);
        may_be_delivered
    }

    /// The event at `position` (0 is the head) was taken out of the queue by somebody else.
    pub fn removed(&mut self, position: usize) {
        if position < self.group {
            self.group = 0;
        }
        if position < self.doubtful {
            self.doubtful -= 1;
        }
    }

    /// The first `events` events were refused, or found too large, after an attempt that nobody
    /// answered.
    pub fn doubt(&mut self, events: usize) {
        self.doubtful = self.doubtful.max(events);
    }

    /// The state as bytes, little endian; [`from_bytes`](Self::from_bytes) gives it back bit for bit.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let counts = [self.group as u64, self.doubtful as u64];
        let words = self
            .belief
            .weights()
            .map(f64::to_bits)
            .into_iter()
            .chain(counts);
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The state with these bytes; `None` if their number is not [`BYTES`](Self::BYTES). Impossible
    /// weights become the first belief.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let mut words = [0_u64; RATES + 2];
        for (word, slot) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*slot);
        }
        let mut weights = [0.0; RATES];
        for (weight, word) in weights.iter_mut().zip(words) {
            *weight = f64::from_bits(word);
        }
        Some(Self {
            belief: Belief::from_weights(weights),
            group: usize::try_from(words[RATES]).ok()?,
            doubtful: usize::try_from(words[RATES + 1]).ok()?,
        })
    }

    fn leave(&mut self, events: usize) {
        self.group = self.group.saturating_sub(events);
        self.doubtful = self.doubtful.saturating_sub(events);
    }

    /// The length whose chance of being clean is nearest to one half; `limit` where that is better
    /// than even.
    fn even_prefix(&self, limit: usize) -> usize {
        if self.belief.all_good(limit) >= 0.5 {
            return limit;
        }
        nearest_to(0.5, limit, self.belief.all_good_by_length())
    }

    /// The length for which "a bad one is in here" is as likely as not, given that one is in `group`.
    fn halving_prefix(&self, group: usize, limit: usize) -> usize {
        let bad_in_group = 1.0 - self.belief.all_good(group);
        nearest_to(
            1.0 - bad_in_group / 2.0,
            limit.min(group - 1),
            self.belief.all_good_by_length(),
        )
    }
}

/// The length, 1 to `limit`, whose falling chance is nearest to `goal`.
fn nearest_to(goal: f64, limit: usize, chances: impl Iterator<Item = f64>) -> usize {
    let mut before = 1.0;
    for (length, chance) in (1..=limit).zip(chances) {
        if chance <= goal {
            let shorter_is_nearer = length > 1 && before - goal < goal - chance;
            return if shorter_is_nearer {
                length - 1
            } else {
                length
            };
        }
        before = chance;
    }
    limit
}

#[cfg(test)]
mod tests;
