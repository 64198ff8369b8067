//! What the engine decides: plain values, on which the caller acts.

use super::pause::PauseChange;
use super::queue::Queue;
use super::verdict::Refusal;
use crate::clock::Moment;
use crate::error::PauseReason;

/// What a lane has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this many events from the head of this queue as one request.
    Send {
        /// The queue.
        queue: Queue,
        /// How many events.
        events: usize,
        /// Whether this request probes a pause.
        probe: bool,
    },
    /// Nothing before this moment, unless something new is enqueued or a flush is asked for.
    Wait {
        /// When to ask again.
        until: Moment,
    },
    /// Nothing until something new is enqueued, or the lane's request in flight is answered.
    Idle,
    /// Nothing is sent, and every event is kept.
    Paused {
        /// Why.
        reason: PauseReason,
        /// When this lane may ask again for a probe; `None` if it waits for an operator, for another
        /// lane's probe, or for a first event to probe with.
        probe_at: Option<Moment>,
    },
}

/// What an answer did to the events of its request. The caller commits it together with
/// [`Engine::lane_state`](super::Engine::lane_state).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The first `events` events of the queue are delivered and leave it.
    Delivered {
        /// The queue.
        queue: Queue,
        /// How many events.
        events: usize,
    },
    /// The first event of the queue moves to the rejected events.
    Rejected {
        /// The queue.
        queue: Queue,
        /// The API's code and message for this event alone.
        refusal: Refusal,
        /// Whether an earlier request without an answer may have delivered the event.
        may_be_delivered: bool,
        /// Whether the other events of its user move to the suspects' queue.
        suspect: bool,
    },
    /// The first event of the regular queue was refused alone, but may not be rejected now: all
    /// events of its user move to the suspects' queue.
    Unjudged,
    /// Every event stays where it is.
    Kept,
}

/// What an answer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// To the events.
    pub effect: Effect,
    /// To the pause, if anything.
    pub pause: Option<PauseChange>,
}

impl Outcome {
    /// The answer changed nothing.
    pub(super) const UNCHANGED: Self = Self {
        effect: Effect::Kept,
        pause: None,
    };
}
