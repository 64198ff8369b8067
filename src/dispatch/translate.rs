//! Between the words of delivery and the rows of the store, which do not know each other.

use std::time::Duration;

use crate::clock::Moment;
use crate::delivery::backoff::Backoff;
use crate::delivery::belief::{Belief, RATES};
use crate::delivery::{self, Isolation, Pause, Queue};
use crate::error::PauseReason;
use crate::store::{InDoubt, LaneState, PauseState, QueueState, Rest};

/// What the store keeps of a lane.
pub(super) fn lane_to_store(lane: &delivery::LaneState) -> LaneState {
    LaneState {
        in_doubt: lane.in_doubt.map(|batch| InDoubt {
            queue: batch.queue.index() as u8,
            events: batch.events as u32,
            attempts: batch.attempts,
            first_ms: batch.first_ms,
            last_ms: batch.last_ms,
            status: batch.status,
        }),
        queues: [0, 1].map(|queue: usize| {
            let isolation = &lane.isolations[queue];
            QueueState {
                group: isolation.group as u32,
                doubtful: isolation.doubtful as u32,
                belief: isolation.belief.weights().to_vec(),
            }
        }),
    }
}

/// What the store keeps of a lane's rest after failures.
pub(super) fn rest_to_store(lane: &delivery::LaneState) -> Rest {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Rest {
        drawn_ms: ms(lane.backoff.drawn),
        wait_ms: ms(lane.backoff.wait),
        until_ms: lane.backoff.until.map(|at| at.wall_ms),
        connection_lost: lane.backoff.connection_lost,
        server_errors: lane.server_errors,
    }
}

fn rest_to_delivery(rest: &Rest) -> Backoff {
    let time = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    Backoff {
        drawn: time(rest.drawn_ms),
        wait: time(rest.wait_ms),
        until: rest.until_ms.map(|wall_ms| Moment {
            boot_ns: 0,
            wall_ms,
        }),
        connection_lost: rest.connection_lost,
    }
}

/// A lane as the last sender left it.
pub(super) fn lane_to_delivery(lane: &LaneState, rest: &Rest) -> delivery::LaneState {
    delivery::LaneState {
        in_doubt: lane.in_doubt.map(|batch| delivery::InDoubt {
            queue: queue(batch.queue),
            events: batch.events as usize,
            attempts: batch.attempts,
            first_ms: batch.first_ms,
            last_ms: batch.last_ms,
            status: batch.status,
        }),
        backoff: rest_to_delivery(rest),
        server_errors: rest.server_errors,
        isolations: [0, 1].map(|index: usize| {
            let queue = &lane.queues[index];
            Isolation {
                // A store of a version with another grid of rates starts its belief anew.
                belief: <[f64; RATES]>::try_from(queue.belief.as_slice())
                    .map(Belief::from_weights)
                    .unwrap_or_default(),
                group: queue.group as usize,
                doubtful: queue.doubtful as usize,
                ..Isolation::default()
            }
        }),
    }
}

/// What the store keeps of a pause, and of the token that was refused.
pub(super) fn pause_to_store(pause: &Pause, refused: Option<&[u8]>) -> PauseState {
    PauseState {
        reason: pause.reason,
        since_ms: pause.since_ms,
        probe_ms: pause.probe_at.map(|at| at.wall_ms),
        probe_wait_ms: i64::try_from(pause.probe_wait.as_millis()).unwrap_or(i64::MAX),
        http_status: pause.status,
        api_code: pause.code.clone(),
        message: pause.message.clone(),
        fingerprint: refused
            .filter(|_| pause.reason == PauseReason::Auth)
            .map(<[u8]>::to_vec),
    }
}

/// A pause as the last sender left it. Of its times only those of the wall have survived.
pub(super) fn pause_to_delivery(pause: &PauseState) -> Pause {
    Pause {
        reason: pause.reason,
        since_ms: pause.since_ms,
        probe_at: pause.probe_ms.map(|wall_ms| Moment {
            boot_ns: 0,
            wall_ms,
        }),
        probe_wait: Duration::from_millis(pause.probe_wait_ms.unsigned_abs()),
        status: pause.http_status,
        code: pause.api_code.clone(),
        message: pause.message.clone(),
    }
}

fn queue(index: u8) -> Queue {
    Queue::BOTH[usize::from(index != 0)]
}
