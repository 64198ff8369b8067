//! The lanes of a store in memory, in a seeded story: bad users, answers that do not come, and the end of
//! the process between any two steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Moment};
use crate::delivery::Policy;
use crate::dispatch::tests::accepted_in_order;
use crate::dispatch::{Dispatcher, Next, Options, Spread};
use crate::exchange::{Answer, Exchange};
use crate::log::Log;
use crate::store::conformance::InMemory;
use crate::store::{RejectedFilter, Store};

const STORIES: u64 = 30;
const BAD_USER: u32 = 3;
const REFUSAL: &[u8] =
    br#"{"success":false,"errors":[{"code":"A_2000","message":"User not found."}]}"#;

struct Story {
    kept: InMemory,
    dispatcher: Option<Dispatcher<dyn Store>>,
    rng: fastrand::Rng,
    lanes: usize,
    now: Moment,
    enqueued: u32,
    /// The request of each lane that no answer has settled.
    in_doubt: BTreeMap<usize, Vec<u8>>,
    /// Users and numbers of the events that the API has accepted, in order.
    accepted: Vec<(u32, u32)>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            kept: InMemory::of_lanes(),
            dispatcher: None,
            lanes: rng.usize(1..=3),
            rng,
            now: clock::now(),
            enqueued: 0,
            in_doubt: BTreeMap::new(),
            accepted: Vec::new(),
        }
    }

    fn dispatcher(&mut self) -> &mut Dispatcher<dyn Store> {
        self.dispatcher.get_or_insert_with(|| {
            let policy = Policy {
                lanes: self.lanes,
                brake_users: 0,
                flush_interval: Duration::from_millis(1),
                ..Policy::default()
            };
            let options = Options {
                policy,
                event_ttl: None,
                receipts_kept: None,
            };
            Dispatcher::open(
                self.kept.open_for_lanes(),
                options,
                Arc::new(Log::new(None)),
            )
            .unwrap()
        })
    }

    fn enqueue(&mut self) {
        let mut spread = Spread::over(self.lanes);
        for _ in 0..self.rng.u32(1..60) {
            let (user, number) = (self.rng.u32(0..10), self.enqueued);
            let fragment = format!(
                r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
            );
            spread.push(fragment.as_bytes(), self.now.wall_ms);
            self.enqueued += 1;
        }
        let dispatcher = self.dispatcher();
        let totals = dispatcher.totals;
        dispatcher
            .append(&spread.into_runs(), Vec::new(), totals)
            .unwrap();
    }

    /// A step of a lane; in so many of 100 the process ends, or no answer comes.
    fn step(&mut self, lane: usize, failures: u32) {
        let (now, mut body) = (self.now, Vec::new());
        let next = self
            .dispatcher()
            .in_one_commit(lane, |lanes| lanes.next(lane, now, &mut body))
            .unwrap();
        match next {
            Next::Idle => return,
            Next::Wait(until) => {
                self.now = now.after(now.until(until));
                return;
            }
            Next::Send => {}
        }
        if let Some(known) = self.in_doubt.insert(lane, body.clone()) {
            assert!(known == body, "what is in doubt is repeated as it was");
        }
        let chance = self.rng.u32(0..100);
        if chance < failures / 3 {
            self.dispatcher = None;
            return;
        }
        let answer = self.answer(&body);
        if chance < failures / 2 {
            self.dispatcher = None;
            return;
        }
        let exchange = match chance < failures {
            true => Exchange::Unsettled {
                why: "lost".to_owned(),
            },
            false => {
                self.in_doubt.remove(&lane);
                Exchange::Answered(answer)
            }
        };
        self.dispatcher()
            .in_one_commit(lane, |lanes| lanes.settle(lane, &exchange, None, now))
            .unwrap();
    }

    fn answer(&mut self, body: &[u8]) -> Answer {
        let request: serde_json::Value = serde_json::from_slice(body).unwrap();
        let events: Vec<(u32, u32)> = request["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(event)
            .collect();
        let refused = events.iter().any(|(user, _)| *user == BAD_USER);
        if !refused {
            self.accepted.extend(events);
        }
        Answer {
            status: if refused { 404 } else { 204 },
            retry_after: None,
            body: if refused {
                REFUSAL.to_vec()
            } else {
                Vec::new()
            },
            whole: true,
        }
    }

    fn drain(&mut self) {
        let mut steps = 0;
        while self.dispatcher().totals.pending > 0 {
            for lane in 0..self.lanes {
                self.step(lane, 0);
            }
            self.now = self.now.after(Duration::from_secs(1));
            steps += 1;
            assert!(steps < 20_000, "does not end");
        }
    }

    fn check(&mut self) {
        let mut first = accepted_in_order(&self.accepted);
        let store = self.kept.open_for_lanes();
        let rejected = store.rejected_matching(&RejectedFilter::default(), usize::MAX);
        for (_, row) in rejected.unwrap() {
            let (user, number) = event(&serde_json::from_slice(&row.event).unwrap());
            assert_eq!(user, BAD_USER);
            assert!(first.insert(number), "{number} twice");
        }
        assert_eq!(first.len() as u32, self.enqueued, "lost");
    }
}

fn event(event: &serde_json::Value) -> (u32, u32) {
    let number = |field: &str| event[field].as_str().unwrap().parse().unwrap();
    (number("partner_user_id"), number("event_value"))
}

#[test]
fn the_lanes_of_a_store_that_keeps_no_files_lose_nothing_and_isolate_bad_users_in_order() {
    for seed in 0..STORIES {
        let told = std::panic::catch_unwind(|| {
            let mut story = Story::new(seed);
            for _ in 0..300 {
                match story.rng.u32(0..10) {
                    0 => story.enqueue(),
                    1 => story.now = story.now.after(Duration::from_secs(2)),
                    _ => {
                        let lane = story.rng.usize(0..story.lanes);
                        story.step(lane, 20);
                    }
                }
            }
            story.drain();
            story.check();
        });
        assert!(told.is_ok(), "seed {seed}");
    }
}
