//! The two queues of a lane, and what delivery sees of the events in them.

/// Which of a lane's two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// The queue of all events but those of suspects.
    Regular,
    /// The queue of the suspects: users with a rejected event.
    Suspects,
}

impl Queue {
    /// Both, in the order in which arrays hold them.
    pub const BOTH: [Self; 2] = [Self::Regular, Self::Suspects];

    /// The index of this queue in an array of both: 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::Regular => 0,
            Self::Suspects => 1,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Regular => Self::Suspects,
            Self::Suspects => Self::Regular,
        }
    }
}

/// The events at the head of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The bytes of each event from the head on: up to `batch_max` of them, all if there are fewer.
    pub sizes: &'a [u32],
    /// When the oldest of them was enqueued, in milliseconds of wall time.
    pub oldest_ms: i64,
    /// Whether more events follow.
    pub more: bool,
}

impl Head<'_> {
    /// The bytes of the first `events` events.
    pub(super) fn bytes(&self, events: usize) -> u64 {
        self.sizes
            .iter()
            .take(events)
            .map(|size| u64::from(*size))
            .sum()
    }
}
