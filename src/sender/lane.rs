//! A lane's thread: decide, mark in doubt, send, settle; one request at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::State;
use super::vitals::Thread;
use super::{Shared, no_thread, wake};
use crate::clock;
use crate::config::BearerToken;
use crate::dispatch::{Next, Sent, Then};
use crate::error::Result;
use crate::exchange::Exchange;
use crate::process::spawn_with_signals_blocked;
use crate::transport::{Stage, Watch};

/// A lane with nothing to do looks again after this, in case a change was missed.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Every lane has a thread while somebody wants the sender.
pub(super) fn start_all(shared: &Arc<Shared>) -> Result<()> {
    let lanes = shared
        .session()
        .state()
        .map_or(0, |state| state.dispatcher.lane_count());
    for lane in 0..lanes {
        let for_lane = shared.clone();
        let body = move || for_lane.run_again_after_panics(|| run(&for_lane, lane));
        shared
            .threads
            .start_lane(lane, || {
                spawn_with_signals_blocked("meditopia-lane", Box::new(body))
            })
            .map_err(no_thread)?;
    }
    Ok(())
}

/// Applies a number of lanes that had to wait until all events of the last one were settled.
pub(super) fn change_number(shared: &Shared) -> Result<()> {
    let wanted = shared.options.dispatch.policy.lanes;
    let mut session = shared.session();
    let is_due =
        |state: &State| state.dispatcher.lane_count() != wanted && state.dispatcher.is_drained();
    if session.state().is_some_and(is_due) {
        let (options, log) = (shared.options.dispatch.clone(), shared.log.clone());
        session.reopen(|state| State::open(state.dispatcher.store, options, log))?;
    }
    Ok(())
}

/// Runs until nobody wants the sender.
pub(super) fn run(shared: &Arc<Shared>, lane: usize) {
    let mut body = Vec::new();
    let mut sent = None;
    while let Some(generation) = wait_for_request(shared, lane, sent.take(), &mut body) {
        let limits = shared.connection.connect_timeout + shared.connection.request_timeout;
        shared.liveness.report(Thread::Lane(lane), limits);
        let token = shared.token.current();
        let begun = Instant::now();
        let watch: Watch = Rc::new({
            let (shared, is_marked) = (Arc::clone(shared), Cell::new(true));
            move |stage| note_stage(&shared, lane, generation, stage, &is_marked)
        });
        let exchange = post(shared, token.as_deref(), &body, watch);
        let ended = Sent {
            exchange,
            bytes: body.len(),
            took: begun.elapsed(),
            token,
        };
        sent = Some((generation, ended));
    }
    shared.liveness.expect_none(Thread::Lane(lane));
}

fn post(shared: &Shared, token: Option<&BearerToken>, body: &[u8], watch: Watch) -> Exchange {
    let not_sent = |why: String| Exchange::NotSent { why };
    match (shared.transport(), token) {
        (Ok(transport), Some(token)) => transport.post_watched(token.secret(), body, watch),
        (Ok(_), None) => not_sent("there is no bearer token".to_owned()),
        (Err(e), _) => not_sent(e.message().to_owned()),
    }
}

/// A request that needs a new connection is not in doubt until it has one: what waits for a server that
/// cannot be reached was certainly not delivered.
///
/// Error: the request must not leave.
fn note_stage(
    shared: &Shared,
    lane: usize,
    generation: u64,
    stage: Stage,
    is_marked: &Cell<bool>,
) -> std::result::Result<(), String> {
    let mut session = shared.session();
    if session.generation() != generation {
        return Err("the store was opened again".to_owned());
    }
    let connected = (stage == Stage::Connected).then(clock::now);
    let was_marked = is_marked.get();
    let stepped = session.step(|state| state.dispatcher.connect(lane, connected, was_marked));
    shared.release(session);
    // The log's callback may have forked.
    if shared.is_of_parent() {
        return Err("this is a copy of the process that sends".to_owned());
    }
    let noted = match stepped {
        Ok(Some(marked)) => {
            is_marked.set(marked);
            match stage {
                Stage::Connected if !was_marked => before_sending(shared, generation),
                Stage::Connecting | Stage::Connected => Ok(()),
            }
        }
        Ok(None) => return Err("the store was closed".to_owned()),
        Err(e) => Err(e),
    };
    noted.map_err(|e| {
        shared.note_error(&e);
        e.message().to_owned()
    })
}

/// The batch has to be known as in doubt before it leaves.
fn before_sending(shared: &Shared, generation: u64) -> Result<()> {
    shared.keep_before_sending().inspect_err(|_| {
        let mut session = shared.session();
        // Another thread may have closed that state, and one have opened the next.
        if session.generation() == generation {
            session.close();
        }
    })
}

/// Settles `sent`, then waits until a request is due; its bytes are in `body` then, and it is in doubt.
/// `None`: stop.
fn wait_for_request(
    shared: &Shared,
    lane: usize,
    mut sent: Option<(u64, Sent)>,
    body: &mut Vec<u8>,
) -> Option<u64> {
    loop {
        if shared.is_of_parent() {
            return None;
        }
        shared.liveness.report(Thread::Lane(lane), IDLE_LOOK);
        // Before the look: what changes after it ends the wait.
        let mut seen = shared.threads.changes();
        let stop = !shared.threads.is_wanted();
        if stop && sent.is_none() && shared.threads.end_lane(lane) {
            return None;
        }
        let mut session = shared.session();
        // A state that was opened since knows the request as in doubt, and repeats it.
        let settled = sent
            .take()
            .filter(|(generation, _)| *generation == session.generation())
            .map(|(_, sent)| sent);
        let then = if stop { Then::Stop } else { Then::Decide };
        let stepped = session.step(|state| {
            let dispatcher = &mut state.dispatcher;
            let next = dispatcher.step(lane, settled.as_ref(), &shared.token, then, body)?;
            if dispatcher.take_news() || (settled.is_some() && next != Next::Send) {
                shared.threads.notify_others(&mut seen);
            }
            Ok(next)
        });
        let generation = session.generation();
        let is_failure_untold = settled.is_some()
            && session
                .state()
                .is_some_and(|state| state.dispatcher.is_failure_untold);
        shared.release(session);
        // The log's callback may have forked.
        if shared.is_of_parent() {
            return None;
        }
        if is_failure_untold {
            // This process may end before the coordinator looks by itself.
            wake::send(&shared.spool, wake::Wake::Look);
        }
        let rest = match stepped {
            Ok(Some(Next::Send)) => match before_sending(shared, generation) {
                Ok(()) => return Some(generation),
                Err(e) => {
                    shared.note_error(&e);
                    IDLE_LOOK
                }
            },
            Ok(Some(Next::Wait(until))) => clock::now().until(until).min(IDLE_LOOK),
            Ok(Some(Next::Idle) | None) => IDLE_LOOK,
            Err(e) => {
                shared.note_error(&e);
                IDLE_LOOK
            }
        };
        if !stop {
            let rest = rest.max(Duration::from_millis(1));
            shared.threads.wait(seen, rest);
        }
    }
}
