//! A lane's thread: decide, mark in doubt, send, settle; one request at a time.

use std::time::Duration;

use super::Shared;
use super::state::Next;
use crate::clock::{Clock, SystemClock};
use crate::config::BearerToken;
use crate::delivery::Exchange;
use crate::sync::{lock, wait};

/// A lane with nothing to do looks again after this, in case a change was missed.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Runs until nobody wants the sender.
pub(super) fn run(shared: &Shared, lane: usize) {
    let mut body = Vec::new();
    while let Some(generation) = wait_for_request(shared, lane, &mut body) {
        let token = shared.token.current();
        let exchange = post(shared, token.as_deref(), &body);
        settle(shared, lane, generation, &exchange, token.as_deref());
        shared.changed.notify_all();
    }
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

fn settle(
    shared: &Shared,
    lane: usize,
    generation: u64,
    exchange: &Exchange,
    token: Option<&BearerToken>,
) {
    let mut desk = lock(&shared.desk);
    // A state that was opened since knows the request as in doubt, and repeats it.
    if desk.generation != generation {
        return;
    }
    let settled = desk.step(|state| {
        state.settle(lane, exchange, token, SystemClock.now())?;
        // Replaced while the request was on its way: the refusal was of the old one.
        if state.is_token_refused() {
            if shared.token.differs_from(state.refused_token.as_deref()) {
                state.token_replaced()?;
            } else {
                shared.token.was_refused();
            }
        }
        Ok(())
    });
    drop(shared.tell(desk));
    if let Err(e) = settled {
        shared.trouble(&e);
    }
}

/// Waits until a request is due; its bytes are in `body` then, and it is in doubt. `None`: stop.
fn wait_for_request(shared: &Shared, lane: usize, body: &mut Vec<u8>) -> Option<u64> {
    let mut desk = lock(&shared.desk);
    loop {
        desk = shared.tell(desk);
        if desk.wanted == 0 {
            // Under the same lock: who wants the sender after this sees that the lane has no thread.
            desk.lanes[lane] = false;
            return None;
        }
        let rest = match desk.step(|state| state.next(lane, SystemClock.now(), body)) {
            Ok(Some(Next::Send)) => return Some(desk.generation),
            Ok(Some(Next::Wait(until))) => SystemClock.now().until(until).min(IDLE_LOOK),
            Ok(Some(Next::Idle) | None) => IDLE_LOOK,
            Err(e) => {
                drop(desk);
                shared.trouble(&e);
                desk = lock(&shared.desk);
                IDLE_LOOK
            }
        };
        desk = wait(&shared.changed, desk, rest.max(Duration::from_millis(1)));
    }
}
