//! The API: it accepts a request or refuses all of it, and the network loses requests and answers.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use meditopia::internals::exchange::{Answer, Exchange};

use super::events::{Doubt, number_of};
use super::tasks::NETWORK;
use super::world::{World, world};

/// As the configuration's defaults have it, the wait for an answer.
pub const REQUEST_TIMEOUT_MS: u64 = 30_000;
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;
const REFUSAL: &[u8] =
    br#"{"success":false,"errors":[{"code":"A_2000","message":"User not found."}]}"#;

/// What the API knows.
#[derive(Debug, Default)]
pub struct Api {
    pub unknown_users: BTreeSet<u32>,
    pub requests: u64,
}

/// A request on its way: its bytes, and the batch in doubt that it carries.
pub struct Request {
    pub lane: usize,
    pub body: Vec<u8>,
    pub doubt: Arc<Doubt>,
}

impl Request {
    fn numbers(&self) -> Vec<u32> {
        let events = self
            .body
            .split(|byte| *byte == b'{')
            .filter(|part| part.starts_with(b"\"token\""));
        events.map(number_of).collect()
    }

    /// The API gets the request. What it does not accept, it refuses as a whole.
    fn arrive(&self, world: &World) -> Answer {
        let numbers = self.numbers();
        world.api.borrow_mut().requests += 1;
        let is_unknown = numbers.iter().any(|number| {
            let user = world.events.borrow().all[*number as usize].user;
            world.api.borrow().unknown_users.contains(&user)
        });
        world.tell(|| {
            let verdict = if is_unknown { "refuses" } else { "accepts" };
            format!("the API {verdict} {numbers:?} of lane {}", self.lane)
        });
        if is_unknown {
            return answer(404, REFUSAL);
        }
        let delivered = world.events.borrow_mut().deliver(&numbers, &self.doubt);
        world.hold(delivered);
        answer(204, b"")
    }
}

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.to_vec(),
        whole: true,
    }
}

fn unsettled(why: &str) -> Exchange {
    Exchange::Unsettled {
        why: why.to_owned(),
    }
}

/// Sends a request and waits for what comes of it.
pub async fn send(request: Request) -> Exchange {
    let world = world();
    // The bytes of what is in doubt are fixed by the first request that carries them.
    let first = request.doubt.bytes.get_or_init(|| request.body.clone());
    if *first != request.body {
        world.fail(format!(
            "lane {}: a batch in doubt was repeated with other bytes",
            request.lane
        ));
    }
    let trouble = world.is_troubled(world.plan.api_faults);
    let kind = if trouble { world.draw(0..6) } else { 9 };
    world.count_fault(trouble);
    match kind {
        0 => {
            world.tasks.sleep(world.draw(1..CONNECT_TIMEOUT_MS)).await;
            return Exchange::NotSent {
                why: "no connection".to_owned(),
            };
        }
        1 => {
            world.tasks.sleep(world.draw(1..100)).await;
            return Exchange::Answered(answer(503, b""));
        }
        2 => {
            world.tasks.sleep(world.draw(1..REQUEST_TIMEOUT_MS)).await;
            return unsettled("lost on the way");
        }
        _ => {}
    }
    let is_slow = world.draw(0..10) == 0;
    let way = world.draw(1..if is_slow { REQUEST_TIMEOUT_MS / 2 } else { 100 });
    let answered: Rc<RefCell<Option<Answer>>> = Rc::default();
    let arrived = answered.clone();
    // It arrives also if its sender has died meanwhile.
    let late = if kind == 3 { REQUEST_TIMEOUT_MS } else { 0 };
    world.tasks.spawn(NETWORK, async move {
        let world = super::world::world();
        world.tasks.sleep(way + late).await;
        *arrived.borrow_mut() = Some(request.arrive(&world));
    });
    match kind {
        3 => {
            world.tasks.sleep(REQUEST_TIMEOUT_MS).await;
            unsettled("no answer in time")
        }
        4 | 5 => {
            world.tasks.sleep(way + world.draw(1..1_000)).await;
            unsettled("the answer was lost")
        }
        _ => {
            world.tasks.sleep(way + world.draw(1..50)).await;
            let answer = answered.borrow_mut().take();
            answer.map_or_else(|| unsettled("no answer"), Exchange::Answered)
        }
    }
}
