//! A lane's thread: decide, mark in doubt, send, settle; one request at a time.

use std::time::Duration;

use super::state::Next;
use super::{Desk, Shared};
use crate::clock::{Clock, SystemClock};
use crate::config::BearerToken;
use crate::delivery::Exchange;
use crate::error::Result;
use crate::sync::{lock, wait};

/// A lane with nothing to do looks again after this, in case a change was missed.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Runs until nobody wants the sender.
pub(super) fn run(shared: &Shared, lane: usize) {
    let mut body = Vec::new();
    while let Some(generation) = wait_for_request(shared, lane, &mut body) {
        let token = shared.token.current();
        let exchange = post(shared, token.as_deref(), &body);
        let mut desk = lock(&shared.desk);
        if desk.generation == generation
            && let Some(state) = &mut desk.state
        {
            let mut settled = state.settle(lane, &exchange, token.as_deref(), SystemClock.now());
            // Replaced while the request was on its way: the refusal was of the old one.
            if settled.is_ok() && shared.token.differs_from(state.refused_token.as_deref()) {
                settled = state.token_replaced();
            }
            drop(desk);
            note(shared, settled);
        } else {
            drop(desk);
        }
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

/// Waits until a request is due; its bytes are in `body` then, and it is in doubt. `None`: stop.
fn wait_for_request(shared: &Shared, lane: usize, body: &mut Vec<u8>) -> Option<u64> {
    let mut desk = lock(&shared.desk);
    loop {
        if desk.wanted == 0 {
            // Under the same lock: who wants the sender after this sees that the lane has no thread.
            desk.lanes[lane] = false;
            return None;
        }
        let rest = match next(&mut desk, lane, body) {
            Ok((Next::Send, generation)) => return Some(generation),
            Ok((Next::Wait(until), _)) => SystemClock.now().until(until).min(IDLE_LOOK),
            Ok((Next::Idle, _)) => IDLE_LOOK,
            Err(e) => {
                drop(desk);
                note(shared, Err(e));
                desk = lock(&shared.desk);
                IDLE_LOOK
            }
        };
        desk = wait(&shared.changed, desk, rest.max(Duration::from_millis(1)));
    }
}

fn next(desk: &mut Desk, lane: usize, body: &mut Vec<u8>) -> Result<(Next, u64)> {
    let generation = desk.generation;
    match &mut desk.state {
        Some(state) => Ok((state.next(lane, SystemClock.now(), body)?, generation)),
        None => Ok((Next::Idle, generation)),
    }
}

fn note(shared: &Shared, outcome: Result<()>) {
    if let Err(e) = outcome {
        shared.trouble(&e);
    }
}
