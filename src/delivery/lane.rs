//! One lane: two queues, one request in flight, and at most one batch in doubt.
//!
//! A lane holds the events of the users that hash to it. The events of users with a rejected event
//! are in a queue of their own, the *suspects'*, so that they do not spoil the full batches. Both
//! queues share the lane's one request, which keeps the order per user.
//!
//! A batch is *in doubt* from the moment before its bytes leave until an answer settles it. Until
//! then the lane sends nothing else: it repeats the batch from the same queue with the same number of
//! events, and so with the same bytes. A restart does not change that, because the new process
//! cannot know whether the bytes left. While its first request waits for a connection, a batch is not in doubt.
//!
//! Only an operator ends that, who *bisects* a batch on which the API fails again and again: it is a group
//! then, of which shorter prefixes go, until one event has failed alone.
//!
//! A lane knows nothing of the other lanes, of pauses or of the brake; see [`engine`](super::engine).

use super::backoff::Backoff;
use super::byte_limit::ByteLimit;
use super::isolation::{Finding, Isolation};
use super::queue::{Head, Queue};
use super::waiting::{Due, Waiting};
use crate::clock::Moment;
use std::time::Duration;

/// A batch whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDoubt {
    /// The queue at whose head the batch is.
    pub queue: Queue,
    /// How many events from the head on.
    pub events: usize,
    /// How many requests carried it and were not settled, the one in flight included once it has a connection.
    pub attempts: u32,
    /// When the first of them left, in milliseconds of wall time.
    pub first_ms: i64,
    /// When the last of them left, in milliseconds of wall time.
    pub last_ms: i64,
    /// The HTTP status of the last answer; `None`: the last request that ended had none.
    pub status: Option<u16>,
}

/// The state of a lane that must survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LaneState {
    /// The isolation of each queue, by [`Queue::index`].
    pub isolations: [Isolation; 2],
    /// The batch in doubt.
    pub in_doubt: Option<InDoubt>,
    /// The backoff after failed requests.
    pub backoff: Backoff,
    /// How many times in a row the batch in doubt was answered with a server error.
    pub server_errors: u32,
}

/// Which of a lane's queues goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueOrder {
    /// The queue that did not go last.
    Alternating,
    /// The regular queue, if it has an event that is due.
    RegularFirst,
}

/// What a lane would do next if there were no backoff, pause or pacing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneStep {
    Send { queue: Queue, events: usize },
    Wait { until: Moment },
    Idle,
}

/// The batch of a request in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub queue: Queue,
    pub events: usize,
    bytes: u64,
    /// The batch as it was in doubt before this request, if it was.
    in_doubt_before: Option<InDoubt>,
}

/// One lane; see the top of this file.
#[derive(Debug, Default)]
pub(super) struct Lane {
    state: LaneState,
    waiting: [Waiting; 2],
    in_flight: Option<InFlight>,
    /// The batch chosen last, with its bytes: sizes are known only while a batch is chosen.
    chosen: Option<(Queue, usize, u64)>,
    byte_limit: ByteLimit,
    served_last: Option<Queue>,
    /// The queue whose group an operator has searched for the event on which the API fails. A new process
    /// does not go on with that.
    bisected: Option<Queue>,
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

    /// What to send next, whatever the backoff says.
    pub fn next_step(
        &mut self,
        heads: &[Head<'_>; 2],
        batch_max: usize,
        order: QueueOrder,
        due: Due,
        now: Moment,
    ) -> LaneStep {
        if let Some(InDoubt { queue, events, .. }) = self.remaining_in_doubt(heads, batch_max) {
            return self.choose(queue, events, heads[queue.index()]);
        }
        let first = match (order, self.served_last) {
            (QueueOrder::Alternating, Some(last)) => last.other(),
            (QueueOrder::Alternating, None) | (QueueOrder::RegularFirst, _) => Queue::Regular,
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
            let sends_at = waiting.sends_at(head, batch_max, due, now);
            if now.reached(sends_at) {
                let events = isolation.next_len(head.sizes.len(), batch_max);
                let prefix = head.sizes.get(..events).unwrap_or(head.sizes);
                let events = self.byte_limit.fitting(prefix, now);
                return self.choose(queue, events, head);
            }
            soonest = Some(soonest.map_or(sends_at, |other| other.min(sends_at)));
        }
        soonest.map_or(LaneStep::Idle, |until| LaneStep::Wait { until })
    }

    /// The end of the backoff, if it is still to come.
    pub fn waits_until(&self, now: Moment) -> Option<Moment> {
        self.state.backoff.waits_until(now)
    }

    pub fn end_backoff(&mut self) {
        self.state.backoff.reset();
    }

    /// The API answers again: a batch that still causes server errors gets all of its attempts
    /// again.
    pub fn forget_server_errors(&mut self) {
        self.state.server_errors = 0;
    }

    /// A request is about to leave: its batch is in doubt from here on, unless it needs a [connection](Self::connecting).
    pub fn sending(&mut self, queue: Queue, events: usize, now: Moment) {
        let bytes = match self.chosen {
            Some((of, count, bytes)) if (of, count) == (queue, events) => bytes,
            _ => 0,
        };
        self.in_flight = Some(InFlight {
            queue,
            events,
            bytes,
            in_doubt_before: self.state.in_doubt,
        });
        self.served_last = Some(queue);
        if self.state.isolations[queue.index()].group == 0 {
            self.bisected.take_if(|bisected| *bisected == queue);
        }
        self.connected(now);
    }

    /// An operator has the batch in doubt searched for the event on which the API fails: it is a group from
    /// here on, and not repeated as it was. Returns how many events it has; 0: nothing is searched.
    pub fn bisect(&mut self) -> usize {
        let (Some(batch), None) = (self.state.in_doubt, &self.in_flight) else {
            return 0;
        };
        self.narrow(batch.queue, batch.events);
        self.bisected = Some(batch.queue);
        batch.events
    }

    /// Whether the group that the batch is of is searched for the event on which the API fails.
    pub fn is_bisecting(&self, batch: &InFlight) -> bool {
        self.bisected == Some(batch.queue)
    }

    pub fn end_bisection(&mut self) {
        self.bisected = None;
    }

    /// The event on which the API fails is among these. The API may have any of them.
    pub fn narrow(&mut self, queue: Queue, events: usize) {
        self.settle();
        let isolation = self.isolation(queue);
        isolation.mark_doubtful(events);
        isolation.group = match isolation.group {
            0 => events,
            group => events.min(group),
        };
    }

    /// The status of the answer to the request in flight.
    pub fn note_status(&mut self, status: Option<u16>) {
        if let Some(batch) = &mut self.state.in_doubt {
            batch.status = status;
        }
    }

    /// The request has no connection yet, so its batch is as it was before. Says whether it was not in doubt.
    pub fn connecting(&mut self) -> bool {
        let is_first = |batch: &InFlight| batch.in_doubt_before.is_none();
        let is_first = self.in_flight.as_ref().is_some_and(is_first);
        if is_first {
            self.state.in_doubt = None;
        }
        is_first
    }

    /// The request has a connection, and leaves now.
    pub fn connected(&mut self, now: Moment) {
        let Some(batch) = self.in_flight else {
            return;
        };
        let before = batch.in_doubt_before;
        self.state.in_doubt = Some(InDoubt {
            queue: batch.queue,
            events: batch.events,
            attempts: before.map_or(0, |batch| batch.attempts).saturating_add(1),
            first_ms: before.map_or(now.wall_ms, |batch| batch.first_ms),
            last_ms: now.wall_ms,
            status: before.and_then(|batch| batch.status),
        });
    }

    /// The request in flight has ended; one of the methods below applies its verdict.
    pub fn take_in_flight(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    pub fn delivered(&mut self, batch: &InFlight) {
        self.settle();
        self.isolation(batch.queue).accepted(batch.events);
        self.head_removed(batch.queue, batch.events);
    }

    /// The batch was refused; a lone event leaves the queue.
    pub fn refused(&mut self, batch: &InFlight) -> Finding {
        self.mark_if_doubtful(batch);
        self.settle();
        let finding = self.isolation(batch.queue).refused(batch.events);
        if matches!(finding, Finding::Alone { .. }) {
            self.head_removed(batch.queue, 1);
        }
        finding
    }

    /// A lone event was refused while none may be rejected. Returns whether it moves to the suspects'
    /// queue; if not, it stays at the head and is sent alone again.
    pub fn refused_but_kept(&mut self, batch: &InFlight) -> bool {
        self.mark_if_doubtful(batch);
        self.settle();
        let isolation = self.isolation(batch.queue);
        if batch.queue == Queue::Suspects || isolation.doubtful > 0 {
            isolation.group = 1;
            return false;
        }
        isolation.refused(1);
        self.head_removed(batch.queue, 1);
        true
    }

    /// A batch of several events was too large: half of its bytes are tried next.
    pub fn too_large(&mut self, batch: &InFlight, now: Moment) {
        self.mark_if_doubtful(batch);
        self.settle();
        self.byte_limit.exceeded(batch.bytes, now);
    }

    /// A lone event is too large and leaves the queue. Returns whether it may be delivered already.
    pub fn too_large_alone(&mut self, batch: &InFlight) -> bool {
        self.mark_if_doubtful(batch);
        self.settle();
        let may_be_delivered = self.isolation(batch.queue).too_large_alone();
        self.head_removed(batch.queue, 1);
        may_be_delivered
    }

    /// The request is known to have had no effect: a batch that was in doubt before it still is.
    pub fn without_effect(&mut self, batch: &InFlight) {
        self.state.in_doubt = batch.in_doubt_before;
    }

    /// A request failed: the lane waits before the next one, for `asked` at least.
    pub fn back_off(&mut self, asked: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) {
        self.state.backoff.failed(asked, now, rng);
    }

    /// No answer came: the lane tries once more at once, and backs off after that.
    pub fn connection_lost(&mut self, now: Moment, rng: &mut fastrand::Rng) {
        self.state.backoff.connection_lost(now, rng);
    }

    /// The API answered the batch in doubt with a server error. Returns how many times in a row.
    pub fn count_server_error(&mut self) -> u32 {
        self.state.server_errors = self.state.server_errors.saturating_add(1);
        self.state.server_errors
    }

    /// The event at `position` of `queue` expired, or an operator set it aside.
    pub fn removed(&mut self, queue: Queue, position: usize) {
        self.isolation(queue).removed(position);
        self.waiting[queue.index()].removed(position);
        if let Some(batch) = &mut self.state.in_doubt
            && batch.queue == queue
            && position < batch.events
        {
            batch.events -= 1;
            if batch.events == 0 {
                self.state.in_doubt = None;
            }
            self.state.server_errors = 0;
        }
    }

    /// The batch in doubt, as far as its queue still has it: if a store lost rows, the lane must not
    /// wait for them for ever.
    fn remaining_in_doubt(&mut self, heads: &[Head<'_>; 2], batch_max: usize) -> Option<InDoubt> {
        let batch = self.state.in_doubt.as_mut()?;
        let head = heads[batch.queue.index()];
        if head.sizes.len() < batch_max && !head.more {
            batch.events = batch.events.min(head.sizes.len());
        }
        if batch.events == 0 {
            self.state.in_doubt = None;
        }
        self.state.in_doubt
    }

    fn isolation(&mut self, queue: Queue) -> &mut Isolation {
        &mut self.state.isolations[queue.index()]
    }

    fn mark_if_doubtful(&mut self, batch: &InFlight) {
        if batch.in_doubt_before.is_some() {
            self.isolation(batch.queue).mark_doubtful(batch.events);
        }
    }

    fn settle(&mut self) {
        self.state.in_doubt = None;
        self.state.backoff.reset();
        self.state.server_errors = 0;
    }

    fn head_removed(&mut self, queue: Queue, events: usize) {
        self.waiting[queue.index()].head_removed(events);
    }

    fn choose(&mut self, queue: Queue, events: usize, head: Head<'_>) -> LaneStep {
        self.chosen = Some((queue, events, head.bytes(events)));
        LaneStep::Send { queue, events }
    }
}
