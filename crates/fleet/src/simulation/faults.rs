//! What goes wrong in a fleet besides statements and requests: processes die, stand still or are started again,
//! servers crash or fail over, clocks are set.

use std::cell::RefCell;

use super::tasks::{Ms, NETWORK, Process};
use super::world::{World, world};
use super::{host, outbox, relay};

/// Which process does the work of each host and each relay now.
#[derive(Default)]
pub struct Processes {
    hosts: RefCell<Vec<Process>>,
    relays: RefCell<Vec<Process>>,
}

/// Starts all processes, and what they are given to do.
pub fn start(world: &World) {
    for host in 0..world.plan.hosts {
        let process = host::start(world, host);
        world.processes.hosts.borrow_mut().push(process);
    }
    for _ in 0..world.plan.relays {
        let process = relay::start(world);
        world.processes.relays.borrow_mut().push(process);
    }
    world.tasks.spawn(NETWORK, enqueue());
    world.tasks.spawn(NETWORK, go_wrong());
    world.tasks.spawn(NETWORK, operate());
}

/// Applications enqueue events, into journals or by SQL.
async fn enqueue() {
    let world = world();
    let every = (world.plan.bad_ms / u64::from(world.plan.events)).max(1);
    while (world.events.borrow().all.len() as u32) < world.plan.events {
        let is_burst = world.draw(0..3) > 0;
        world
            .tasks
            .sleep(if is_burst {
                world.draw(0..20)
            } else {
                world.draw(0..every * 5)
            })
            .await;
        if world.draw(0..4) == 0 {
            world.tasks.spawn(NETWORK, outbox::transaction());
        } else {
            host::enqueue(&world, world.draw(0..world.plan.hosts as u64) as usize);
        }
    }
}

/// An operator has rejected events sent again.
async fn operate() {
    let world = world();
    loop {
        world.tasks.sleep(world.draw(1_000..60_000)).await;
        if !world.is_bad.get() {
            return;
        }
        let ids: Vec<i64> = {
            let database = world.server.database();
            database.rejected.keys().copied().take(2).collect()
        };
        if ids.is_empty() {
            continue;
        }
        let mut connection = world.server.connect(&world);
        let requeued = super::server::query(&mut connection, move |database, _| {
            let numbers = database.requeue(&ids);
            let world = super::world::world();
            for number in &numbers {
                world.events.borrow_mut().get(*number).was_requeued = true;
            }
            Ok(numbers)
        })
        .await;
        world.tell(|| format!("an operator requeues {requeued:?}"));
    }
}

async fn go_wrong() {
    let world = world();
    loop {
        world.tasks.sleep(world.draw(1..2_000)).await;
        if !world.is_bad.get() {
            return;
        }
        if world.is_troubled(world.plan.process_faults) {
            harm_process(&world);
        }
        if world.is_troubled(world.plan.failovers) {
            match world.draw(0..3) {
                0 => {
                    world.tell(|| "the server crashes".to_owned());
                    world.server.crash();
                }
                _ => world.server.fail_over(&world),
            }
            let clock = world.plan.clock_ms;
            world
                .server
                .set_clock(world.draw(0..(2 * clock + 1) as u64) as i64 - clock);
            count_all(&world);
        }
    }
}

/// Every batch that is in flight may be repeated.
fn count_all(world: &World) {
    for _ in 0..world.plan.lanes * world.plan.relays {
        world.count_fault(true);
    }
}

fn harm_process(world: &World) {
    let (hosts, relays) = (world.plan.hosts as u64, world.plan.relays as u64);
    let is_relay = world.draw(0..2) == 0;
    let at = world.draw(0..if is_relay { relays } else { hosts }) as usize;
    let of = match is_relay {
        true => &world.processes.relays,
        false => &world.processes.hosts,
    };
    let process = of.borrow()[at];
    if world.tasks.is_dead(process) {
        return;
    }
    count_all(world);
    if world.draw(0..2) == 0 {
        let time: Ms = world.draw(1..90_000);
        world.tell(|| format!("{process:?} stands still for {time} ms"));
        world.tasks.stop_until(process, world.tasks.now() + time);
        return;
    }
    world.tell(|| format!("{process:?} dies"));
    world.tasks.kill(process);
    let boots = world.draw(0..3) == 0;
    let wait = world.draw(0..20_000);
    world.tasks.spawn(NETWORK, async move {
        let world = super::world::world();
        world.tasks.sleep(wait).await;
        let next = match is_relay {
            true => relay::start(&world),
            false => {
                if boots {
                    world.hosts.borrow_mut()[at].boot(world.tasks.now());
                }
                host::start(&world, at)
            }
        };
        let of = match is_relay {
            true => &world.processes.relays,
            false => &world.processes.hosts,
        };
        of.borrow_mut()[at] = next;
    });
}
