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
use super::isolation::{Finding, Isolation};
use crate::clock::Moment;
use std::time::Duration;

/// How long a limit learnt from a 413 holds before twice as much is tried.
pub const BYTE_LIMIT_HOLDS: Duration = Duration::from_secs(10 * 60);

/// Which of a lane's two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Where events stand by default.
    Regular,
    /// Where the events of users stand who had one rejected.
    Suspects,
}

impl Queue {
    /// Both, in the order in which arrays hold them.
    pub const BOTH: [Self; 2] = [Self::Regular, Self::Suspects];

    /// The place of this queue in an array of both: 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::Regular => 0,
            Self::Suspects => 1,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Regular => Self::Suspects,
            Self::Suspects => Self::Regular,
        }
    }
}

/// What waits at the head of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The bytes of each event from the head on: up to `batch_max` of them, all if there are fewer.
    pub sizes: &'a [u32],
    /// When the oldest of them was enqueued, in milliseconds of wall time.
    pub oldest_ms: i64,
    /// Whether more events stand behind these.
    pub more: bool,
}

impl Head<'_> {
    /// The head of an empty queue.
    pub const EMPTY: Head<'static> = Head {
        sizes: &[],
        oldest_ms: 0,
        more: false,
    };

    fn bytes(&self, events: usize) -> u64 {
        self.sizes
            .iter()
            .take(events)
            .map(|size| u64::from(*size))
            .sum()
    }
}

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
}

/// When a queue that is not full is due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    /// When its oldest event has waited this long.
    After(Duration),
    /// Whenever there is anything: a flush or a probe asks for it.
    Now,
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

#[derive(Debug, Clone, Copy)]
struct ByteLimit {
    bytes: u64,
    holds_until: Moment,
}

/// Since when a queue waits. Enqueue times are of a wall clock that may have been set since, so they
/// only shorten the wait, which is counted by the clock that nobody can set.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    oldest_ms: i64,
    due_at: Option<Moment>,
    /// How many events from the head on were found due and have not left yet.
    released: usize,
}

/// One lane; see the top of this file.
#[derive(Debug, Default)]
pub(super) struct Lane {
    state: LaneState,
    waiting: [Waiting; 2],
    backoff: Backoff,
    in_flight: Option<Flight>,
    /// The batch last offered and its bytes: sizes are only seen when a request is chosen.
    offered: Option<(Queue, usize, u64)>,
    byte_limit: Option<ByteLimit>,
    server_errors: u32,
    served_last: Option<Queue>,
}

impl Lane {
    pub fn restored(state: LaneState) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    pub fn state(&self) -> &LaneState {
        &self.state
    }

    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What to send next, the rest after a failure not considered.
    pub fn wish(&mut self, heads: &[Head<'_>; 2], batch_max: usize, due: Due, now: Moment) -> Wish {
        if let Some(InDoubt { queue, events, .. }) = self.still_there(heads, batch_max) {
            return self.offer(queue, events, heads[queue.index()]);
        }
        let first = self.served_last.map_or(Queue::Regular, Queue::other);
        let mut soonest: Option<Moment> = None;
        for queue in [first, first.other()] {
            let head = heads[queue.index()];
            match self.due(queue, head, batch_max, due, now) {
                Wish::Nothing => {}
                Wish::Wait { until } => {
                    soonest = Some(soonest.map_or(until, |other| other.min(until)))
                }
                Wish::Send { events, .. } => {
                    let events = self.within_byte_limit(events, head, now);
                    return self.offer(queue, events, head);
                }
            }
        }
        soonest.map_or(Wish::Nothing, |until| Wish::Wait { until })
    }

    /// The end of the rest after a failure, if it is still to come.
    pub fn resting_until(&self, now: Moment) -> Option<Moment> {
        self.backoff.resting_until(now)
    }

    /// Forgets failures: an operator or a new token asks to try at once.
    pub fn try_at_once(&mut self) {
        self.backoff.reset();
        self.server_errors = 0;
    }

    /// A request is about to leave: its batch is in doubt from here on.
    pub fn sending(&mut self, queue: Queue, events: usize, now: Moment) {
        let bytes = match self.offered {
            Some((of, count, bytes)) if (of, count) == (queue, events) => bytes,
            _ => 0,
        };
        let earlier = self
            .state
            .in_doubt
            .filter(|doubt| (doubt.queue, doubt.events) == (queue, events));
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

    /// The batch was refused, but no event may be rejected now: it is a group, even if it is one event.
    pub fn refused_but_kept(&mut self, flight: &Flight) {
        self.doubted(flight);
        self.settled();
        let isolation = self.isolation(flight.queue);
        isolation.group = match isolation.group {
            0 => flight.events,
            group => group.min(flight.events),
        };
    }

    /// A batch of several events was too large: half of its bytes are tried next.
    pub fn too_large(&mut self, flight: &Flight, now: Moment) {
        self.doubted(flight);
        self.settled();
        self.byte_limit = Some(ByteLimit {
            bytes: flight.bytes / 2,
            holds_until: now.after(BYTE_LIMIT_HOLDS),
        });
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
        self.backoff.failed(asked, now, rng);
    }

    /// The API answered the batch in doubt with a server error: how many times by now.
    pub fn server_error(&mut self) -> u32 {
        self.server_errors = self.server_errors.saturating_add(1);
        self.server_errors
    }

    /// The event at `position` was taken out of `queue` by somebody else.
    pub fn removed(&mut self, queue: Queue, position: usize) {
        self.isolation(queue).removed(position);
        let waiting = &mut self.waiting[queue.index()];
        if position < waiting.released {
            waiting.released -= 1;
        }
        if let Some(doubt) = &mut self.state.in_doubt
            && doubt.queue == queue
            && position < doubt.events
        {
            doubt.events -= 1;
            if doubt.events == 0 {
                self.state.in_doubt = None;
            }
            self.server_errors = 0;
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
        self.backoff.reset();
        self.server_errors = 0;
    }

    fn left(&mut self, queue: Queue, events: usize) {
        let waiting = &mut self.waiting[queue.index()];
        waiting.released = waiting.released.saturating_sub(events);
    }

    fn offer(&mut self, queue: Queue, events: usize, head: Head<'_>) -> Wish {
        self.offered = Some((queue, events, head.bytes(events)));
        Wish::Send { queue, events }
    }

    /// Whether a queue may go, and how many events isolation would take.
    fn due(
        &mut self,
        queue: Queue,
        head: Head<'_>,
        batch_max: usize,
        due: Due,
        now: Moment,
    ) -> Wish {
        let available = head.sizes.len();
        if available == 0 {
            self.waiting[queue.index()] = Waiting::default();
            return Wish::Nothing;
        }
        let isolation = &self.state.isolations[queue.index()];
        let waiting = &mut self.waiting[queue.index()];
        let until = match due {
            Due::Now => now,
            Due::After(_) if isolation.group > 0 || waiting.released > 0 => now,
            Due::After(_) if available >= batch_max || head.more => {
                waiting.released = available;
                now
            }
            Due::After(interval) => waiting.due_at(head.oldest_ms, interval, now),
        };
        if !now.reached(until) {
            return Wish::Wait { until };
        }
        waiting.released = waiting.released.max(available.min(batch_max));
        Wish::Send {
            queue,
            events: isolation.next_len(available, batch_max),
        }
    }

    fn within_byte_limit(&mut self, events: usize, head: Head<'_>, now: Moment) -> usize {
        let Some(limit) = &mut self.byte_limit else {
            return events;
        };
        if now.reached(limit.holds_until) {
            limit.bytes = limit.bytes.saturating_mul(2);
            limit.holds_until = now.after(BYTE_LIMIT_HOLDS);
        }
        let mut room = limit.bytes;
        let fit = head.sizes.iter().take(events).take_while(|size| {
            let fits = u64::from(**size) <= room;
            room = room.saturating_sub(u64::from(**size));
            fits
        });
        fit.count().max(1)
    }
}

impl Waiting {
    fn due_at(&mut self, oldest_ms: i64, interval: Duration, now: Moment) -> Moment {
        if let Some(due_at) = self.due_at
            && self.oldest_ms == oldest_ms
        {
            return due_at;
        }
        let waited = now.wall_ms.saturating_sub(oldest_ms);
        let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
        let due_at = now.after(interval.saturating_sub(waited));
        *self = Self {
            oldest_ms,
            due_at: Some(due_at),
            ..*self
        };
        due_at
    }
}
