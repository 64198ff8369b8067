//! A lane's thread: decide, mark in doubt, send, settle; one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::state::{Next, State};
use super::vitals::Thread;
use crate::clock;
use crate::config::BearerToken;
use crate::error::Result;
use crate::exchange::Exchange;
use crate::mutex::{lock, wait};

/// A lane with nothing to do looks again after this, in case a change was missed.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// A request that has come to its end.
struct Sent {
    /// Of the state that it was taken from.
    generation: u64,
    exchange: Exchange,
    /// How many bytes its body had, and how long it took.
    bytes: usize,
    took: Duration,
    token: Option<Arc<BearerToken>>,
}

/// Runs until nobody wants the sender.
pub(super) fn run(shared: &Shared, lane: usize) {
    let mut body = Vec::new();
    let mut sent = None;
    while let Some(generation) = wait_for_request(shared, lane, sent.take(), &mut body) {
        let limits = shared.connection.connect_timeout + shared.connection.request_timeout;
        shared.pulse.here(Thread::Lane(lane), limits);
        let token = shared.token.current();
        let begun = Instant::now();
        let exchange = post(shared, token.as_deref(), &body);
        sent = Some(Sent {
            generation,
            exchange,
            bytes: body.len(),
            took: begun.elapsed(),
            token,
        });
    }
    shared.pulse.excuse(Thread::Lane(lane));
    shared.changed.notify_all();
}

fn post(shared: &Shared, token: Option<&BearerToken>, body: &[u8]) -> Exchange {
    let not_sent = |why: String| Exchange::NotSent { why };
    match (shared.transport(), token) {
        (Ok(transport), Some(token)) => transport.post(token.secret(), body),
        (Ok(_), None) => not_sent("there is no bearer token".to_owned()),
        (Err(e), _) => not_sent(e.message().to_owned()),
    }
}

/// Settles `sent`, then waits until a request is due; its bytes are in `body` then, and it is in doubt.
/// `None`: stop.
fn wait_for_request(
    shared: &Shared,
    lane: usize,
    mut sent: Option<Sent>,
    body: &mut Vec<u8>,
) -> Option<u64> {
    shared.pulse.here(Thread::Lane(lane), IDLE_LOOK);
    let mut desk = lock(&shared.desk);
    loop {
        shared.pulse.here(Thread::Lane(lane), IDLE_LOOK);
        desk = shared.tell(desk);
        let stop = desk.wanted == 0;
        if stop && sent.is_none() {
            // Under the same lock: who wants the sender after this sees that the lane has no thread.
            desk.lanes[lane] = false;
            return None;
        }
        // A state that was opened since knows the request as in doubt, and repeats it.
        let settled = sent
            .take()
            .filter(|sent| sent.generation == desk.generation);
        let stepped = desk.step(|state| {
            // To settle one batch and to put the next one in doubt is one commit.
            let next = state.in_one_commit(lane, |state| {
                if let Some(sent) = &settled {
                    settle(shared, state, lane, sent)?;
                }
                if stop {
                    return Ok(Next::Idle);
                }
                state.next(lane, clock::now(), body)
            })?;
            if state.take_news() || (settled.is_some() && next != Next::Send) {
                shared.changed.notify_all();
            }
            Ok(next)
        });
        let rest = match stepped {
            Ok(Some(Next::Send)) => {
                let generation = desk.generation;
                drop(shared.tell(desk));
                return Some(generation);
            }
            Ok(Some(Next::Wait(until))) => clock::now().until(until).min(IDLE_LOOK),
            Ok(Some(Next::Idle) | None) => IDLE_LOOK,
            Err(e) => {
                drop(desk);
                shared.trouble(&e);
                desk = lock(&shared.desk);
                IDLE_LOOK
            }
        };
        // To tell a note lets go of the lock: look again before waiting.
        if !stop && desk.notes.is_empty() {
            desk = wait(&shared.changed, desk, rest.max(Duration::from_millis(1)));
        }
    }
}

fn settle(shared: &Shared, state: &mut State, lane: usize, sent: &Sent) -> Result<()> {
    let token = sent.token.as_deref();
    state.measure(&sent.exchange, sent.bytes, sent.took);
    state.settle(lane, &sent.exchange, token, clock::now())?;
    // Replaced while the request was on its way: the refusal was of the old one.
    if state.is_token_refused() {
        if shared.token.differs_from(state.refused_token.as_deref()) {
            state.token_replaced()?;
        } else {
            shared.token.was_refused();
        }
    }
    Ok(())
}
