//! One lane: two queues, one request in flight, and at most one batch in doubt.
//!
//! A lane holds the events of the users that hash to it. Those of users with a rejected event stand
//! in a queue of their own, the *suspects*, so that they do not spoil the full batches; both queues
//! share the lane's one request, which is what keeps the order per user.
//!
//! A batch is *in doubt* from the moment before its bytes leave until an answer settles it. While
//! one is, nothing else of the lane goes: it is repeated from the same queue with the same number of
//! events - hence the same bytes - also after a restart, which cannot know whether the bytes left.
//!
//! A lane knows nothing of the other lanes, of pauses or of the brake; see [`engine`](super::engine).

use super::backoff::Backoff;
use super::byte_limit::ByteLimit;
use super::isolation::{Finding, Isolation};
use super::queue::{Head, Queue};
use super::waiting::{Due, Waiting};
use crate::clock::Moment;
use std::time::Duration;

/// A batch whose fate is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDoubt {
    /// The queue whose head it is.
    pub queue: Queue,
    /// How many events from the head on.
    pub events: usize,
    /// How many requests with it nobody settled, the one in flight included.
    pub attempts: u32,
    /// When the first of them left, in milliseconds of wall time.
    pub first_ms: i64,
    /// When the last of them left, in milliseconds of wall time.
    pub last_ms: i64,
}

/// All of a lane that must survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LaneState {
    /// The isolation of each queue, by [`Queue::index`].
    pub isolations: [Isolation; 2],
    /// The batch in doubt.
    pub in_doubt: Option<InDoubt>,
    /// The rest after a failure.
    pub backoff: Backoff,
    /// How many times in a row the batch in doubt was answered with a server error.
    pub server_errors: u32,
}

/// Which of a lane's queues goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The one that did not go last.
    InTurn,
    /// The regular one while it has anything that is due.
    RegularFirst,
}

/// What a lane wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Send { queue: Queue, events: usize },
    Wait { until: Moment },
    Nothing,
}

/// A request whose answer is awaited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub queue: Queue,
    pub events: usize,
    bytes: u64,
    /// The batch as it stood in doubt before this request.
    earlier: Option<InDoubt>,
}

/// One lane; see the top of this file.
#[derive(Debug, Default)]
pub(super) struct Lane {
    state: LaneState,
    waiting: [Waiting; 2],
    in_flight: Option<Flight>,
    /// The batch last offered and its bytes: sizes are only seen when a request is chosen.
    offered: Option<(Queue, usize, u64)>,
    byte_limit: ByteLimit,
    served_last: Option<Queue>,
}

impl Lane {
    pub fn restored(state: LaneState, now: Moment) -> Self {
        let backoff = state.backoff.restored(now);
        Self {
            state: LaneState { backoff, ..state },
            ..Self::default()
        }
    }

    pub fn state(&self) -> &LaneState {
        &self.state
    }

    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What to send next, the rest after a failure not considered. `turn` says which queue goes first.
    pub fn wish(
        &mut self,
        heads: &[Head<'_>; 2],
        batch_max: usize,
        turn: Turn,
        due: Due,
        now: Moment,
    ) -> Wish {
        if let Some(InDoubt { queue, events, .. }) = self.still_there(heads, batch_max) {
            return self.offer(queue, events, heads[queue.index()]);
        }
        let first = match (turn, self.served_last) {
            (Turn::InTurn, Some(last)) => last.other(),
            (Turn::InTurn, None) | (Turn::RegularFirst, _) => Queue::Regular,
        };
        let mut soonest: Option<Moment> = None;
        for queue in [first, first.other()] {
            let head = heads[queue.index()];
            let isolation = self.state.isolations[queue.index()];
            let waiting = &mut self.waiting[queue.index()];
            if head.sizes.is_empty() {
                *waiting = Waiting::default();
                continue;
            }
            let due = if isolation.group > 0 { Due::Now } else { due };
            let until = waiting.until(head, batch_max, due, now);
            if now.reached(until) {
                let events = isolation.next_len(head.sizes.len(), batch_max);
                let prefix = head.sizes.get(..events).unwrap_or(head.sizes);
                let events = self.byte_limit.fitting(prefix, now);
                return self.offer(queue, events, head);
            }
            soonest = Some(soonest.map_or(until, |other| other.min(until)));
        }
        soonest.map_or(Wish::Nothing, |until| Wish::Wait { until })
    }

    /// The end of the rest after a failure, if it is still to come.
    pub fn resting_until(&self, now: Moment) -> Option<Moment> {
        self.state.backoff.resting_until(now)
    }

    /// Ends a rest early.
    pub fn try_at_once(&mut self) {
        self.state.backoff.reset();
    }

    /// The API is well again: a batch that it still cannot take gets all of its attempts anew.
    pub fn forget_server_errors(&mut self) {
        self.state.server_errors = 0;
    }

    /// A request is about to leave: its batch is in doubt from here on.
    pub fn sending(&mut self, queue: Queue, events: usize, now: Moment) {
        let bytes = match self.offered {
            Some((of, count, bytes)) if (of, count) == (queue, events) => bytes,
            _ => 0,
        };
        let earlier = self.state.in_doubt;
        self.in_flight = Some(Flight {
            queue,
            events,
            bytes,
            earlier,
        });
        self.served_last = Some(queue);
        self.state.in_doubt = Some(InDoubt {
            queue,
            events,
            attempts: earlier.map_or(0, |doubt| doubt.attempts).saturating_add(1),
            first_ms: earlier.map_or(now.wall_ms, |doubt| doubt.first_ms),
            last_ms: now.wall_ms,
        });
    }

    /// The request in flight has ended; what its end means is told by one of the methods below.
    pub fn landed(&mut self) -> Option<Flight> {
        self.in_flight.take()
    }

    pub fn delivered(&mut self, flight: &Flight) {
        self.settled();
        self.isolation(flight.queue).accepted(flight.events);
        self.left(flight.queue, flight.events);
    }

    /// The batch was refused; a lone event leaves the queue.
    pub fn refused(&mut self, flight: &Flight) -> Finding {
        self.doubted(flight);
        self.settled();
        let finding = self.isolation(flight.queue).refused(flight.events);
        if matches!(finding, Finding::Alone { .. }) {
            self.left(flight.queue, 1);
        }
        finding
    }

    /// A lone event was refused, and none may be rejected now. Tells whether it leaves for the
    /// suspects, unjudged; else it stays at the head, and goes alone again.
    pub fn refused_but_kept(&mut self, flight: &Flight) -> bool {
        self.doubted(flight);
        self.settled();
        let isolation = self.isolation(flight.queue);
        if flight.queue == Queue::Suspects || isolation.doubtful > 0 {
            isolation.group = 1;
            return false;
        }
        isolation.refused(1);
        self.left(flight.queue, 1);
        true
    }

    /// A batch of several events was too large: half of its bytes are tried next.
    pub fn too_large(&mut self, flight: &Flight, now: Moment) {
        self.doubted(flight);
        self.settled();
        self.byte_limit.exceeded(flight.bytes, now);
    }

    /// A lone event is too large and leaves the queue. Tells whether it may be at the API already.
    pub fn too_large_alone(&mut self, flight: &Flight) -> bool {
        self.doubted(flight);
        self.settled();
        let may_be_delivered = self.isolation(flight.queue).set_aside();
        self.left(flight.queue, 1);
        may_be_delivered
    }

    /// The request is known to have had no effect: what was in doubt before it still is.
    pub fn without_effect(&mut self, flight: &Flight) {
        self.state.in_doubt = flight.earlier;
    }

    /// Rest before the next request.
    pub fn rest(&mut self, asked: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) {
        self.state.backoff.failed(asked, now, rng);
    }

    /// No answer came: try once more at once, then rest.
    pub fn connection_lost(&mut self, now: Moment, rng: &mut fastrand::Rng) {
        self.state.backoff.connection_lost(now, rng);
    }

    /// The API answered the batch in doubt with a server error: how many times by now.
    pub fn server_error(&mut self) -> u32 {
        self.state.server_errors = self.state.server_errors.saturating_add(1);
        self.state.server_errors
    }

    /// The event at `position` was taken out of `queue` by somebody else.
    pub fn removed(&mut self, queue: Queue, position: usize) {
        self.isolation(queue).removed(position);
        self.waiting[queue.index()].removed(position);
        if let Some(doubt) = &mut self.state.in_doubt
            && doubt.queue == queue
            && position < doubt.events
        {
            doubt.events -= 1;
            if doubt.events == 0 {
                self.state.in_doubt = None;
            }
            self.state.server_errors = 0;
        }
    }

    /// The batch in doubt, as far as the queue still has it: a store that lost rows must not make
    /// the lane ask for them for ever.
    fn still_there(&mut self, heads: &[Head<'_>; 2], batch_max: usize) -> Option<InDoubt> {
        let doubt = self.state.in_doubt.as_mut()?;
        let head = heads[doubt.queue.index()];
        if head.sizes.len() < batch_max && !head.more {
            doubt.events = doubt.events.min(head.sizes.len());
        }
        if doubt.events == 0 {
            self.state.in_doubt = None;
        }
        self.state.in_doubt
    }

    fn isolation(&mut self, queue: Queue) -> &mut Isolation {
        &mut self.state.isolations[queue.index()]
    }

    fn doubted(&mut self, flight: &Flight) {
        if flight.earlier.is_some() {
            self.isolation(flight.queue).doubt(flight.events);
        }
    }

    fn settled(&mut self) {
        self.state.in_doubt = None;
        self.state.backoff.reset();
        self.state.server_errors = 0;
    }

    fn left(&mut self, queue: Queue, events: usize) {
        self.waiting[queue.index()].left(events);
    }

    fn offer(&mut self, queue: Queue, events: usize, head: Head<'_>) -> Wish {
        self.offered = Some((queue, events, head.bytes(events)));
        Wish::Send { queue, events }
    }
}
