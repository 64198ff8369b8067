//! A relay: a thread for each lane that it tries to own, with the dispatcher and the engine of the real one, and one
//! for the sorter.

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::clock::Moment;
use meditopia::internals::delivery::Policy;
use meditopia::internals::dispatch::{LaneInVirtualTime, Next};
use meditopia::internals::exchange::Exchange;

use super::api::{CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, Request, send};
use super::lane_store::{Lease, ModelStore};
use super::sorter;
use super::tasks::{Ms, Process};
use super::world::{World, world};

/// An owner looks for new runs so often.
const POLL_MS: Ms = 200;
/// It renews a lease that lasts no longer than this.
const RENEW_MS: Ms = 6_000;

/// Begins the process.
pub fn start(world: &World) -> Process {
    let process = world.tasks.new_process();
    world.tasks.spawn(process, sorter::run());
    for lane in 0..world.plan.lanes {
        world.tasks.spawn(process, run(process, lane));
    }
    process
}

/// An owned lane.
struct Owned {
    lease: Arc<Lease>,
    lane: LaneInVirtualTime,
    appended: i64,
}

fn now(world: &World) -> Moment {
    let ms = world.tasks.now();
    Moment {
        boot_ns: ms * 1_000_000,
        wall_ms: ms as i64,
    }
}

/// The thread of a lane: takes its lease when it is free, and delivers.
async fn run(process: Process, lane: usize) {
    let world = world();
    let mut last: Option<Arc<Lease>> = None;
    loop {
        let opened = match last.take() {
            Some(lease) => match lease.open_again(&world) {
                Ok(store) => store.map(|store| (lease, store)),
                Err(_) => {
                    world.tasks.sleep(world.draw(200..2_000)).await;
                    last = lease.outlasts(0).then_some(lease);
                    continue;
                }
            },
            None => {
                let until = world.server.database().lanes[lane].lease_until;
                match until < world.server.clock_ms(&world) {
                    true => Lease::take(&world, process, lane).unwrap_or_default(),
                    false => None,
                }
            }
        };
        let Some((lease, store)) = opened else {
            world.tasks.sleep(world.draw(200..3_000)).await;
            continue;
        };
        world.tell(|| format!("{process:?} has lane {lane}"));
        let Some(owned) = open(&world, lease.clone(), store) else {
            world.tasks.sleep(200).await;
            continue;
        };
        last = deliver(&world, owned).await.then_some(lease);
        world.tasks.sleep(world.draw(0..300)).await;
    }
}

fn open(world: &World, lease: Arc<Lease>, store: ModelStore) -> Option<Owned> {
    let policy = Policy {
        lanes: 1,
        batch_max: world.plan.batch_max,
        flush_interval: Duration::from_millis(world.plan.flush_interval_ms),
        brake_users: 0,
        ..Policy::default()
    };
    let appended = world.server.database().sorter.appended[lease.lane];
    let lane =
        LaneInVirtualTime::open(Box::new(store), policy, now(world), world.draw(0..u64::MAX));
    Some(Owned {
        lease,
        lane: lane.ok()?,
        appended,
    })
}

/// Delivers until a statement fails, or the lane is given up: `false`.
async fn deliver(world: &World, mut owned: Owned) -> bool {
    let mut sent: Option<Exchange> = None;
    let mut body = Vec::new();
    loop {
        let appended = world.server.database().sorter.appended[owned.lease.lane];
        if appended != owned.appended {
            owned.appended = appended;
            owned.lane.wake();
        }
        let has_sent = sent.is_some();
        let next = match owned.lane.step(sent.take().as_ref(), now(world), &mut body) {
            Ok(next) => next,
            Err(why) => {
                world.tell(|| format!("lane {}: {}", owned.lease.lane, why.message()));
                // The ablation goes on with what it knows.
                if world.guards.drops_after_error || owned.lease.read_again(world).is_err() {
                    return true;
                }
                world.tasks.sleep(100).await;
                continue;
            }
        };
        let rest = match next {
            Next::Send => {
                // A pause of the process, or its death, comes here as anywhere.
                world.tasks.sleep(0).await;
                if !owned
                    .lease
                    .outlasts(CONNECT_TIMEOUT_MS + REQUEST_TIMEOUT_MS)
                {
                    return true;
                }
                let request = Request {
                    lane: owned.lease.lane,
                    body: body.clone(),
                    doubt: owned.lease.doubt(),
                };
                sent = Some(send(request).await);
                continue;
            }
            Next::Wait(until) => {
                let wait = now(world).until(until).as_millis() as Ms;
                wait.clamp(1, POLL_MS)
            }
            Next::Idle => POLL_MS,
        };
        world.tasks.sleep(rest).await;
        if !has_sent && world.is_troubled(2) {
            let _ = owned.lease.renew(world, true);
            world.tell(|| format!("lane {} is given up", owned.lease.lane));
            return false;
        }
        if !owned.lease.outlasts(RENEW_MS) && owned.lease.renew(world, false).is_err() {
            return true;
        }
    }
}
