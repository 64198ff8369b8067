//! Random parcels, forwarders, applications and sorters, in any order of their statements.

use std::collections::HashMap;

use meditopia_fleet::connection::Connection;
use meditopia_fleet::failure::STEP_LOST;
use meditopia_fleet::relay::sorter::{Batch, ReadBounds, Sorter};
use meditopia_testkit::postgres_server::PostgresServer;

use super::{count_in_lanes, drain, end_lease, events_in_lanes, fragment, parcel_of};
use crate::fleet::{connect, set_up};
use crate::forward::{begin_spool, forward};

/// A relay that believes to sort, and what it has read.
struct Relay {
    sorter: Sorter,
    read: Option<Batch>,
}

struct World {
    server: &'static PostgresServer,
    database: String,
    connection: Connection,
    rng: fastrand::Rng,
    /// What each source has handed in, in its order.
    given: Vec<Vec<String>>,
    relays: Vec<Relay>,
    number: usize,
}

const SPOOLS: usize = 3;

impl World {
    fn events(&mut self, source: usize, at_most: usize) -> Vec<String> {
        let count = self.rng.usize(1..=at_most);
        let events: Vec<_> = (0..count)
            .map(|_| {
                self.number += 1;
                fragment(&format!("u-{}", self.rng.usize(..40)), self.number)
            })
            .collect();
        self.given[source].extend(events.iter().cloned());
        events
    }

    fn hand_in(&mut self) {
        let source = self.rng.usize(..SPOOLS);
        let spool = format!("00000000-0000-0000-0000-00000000000{source}");
        let count = self.rng.usize(1..4);
        let parcels: Vec<_> = (0..count)
            .map(|_| parcel_of(&self.events(source, 100)))
            .collect();
        let (step, _) = begin_spool(&mut self.connection, &spool).unwrap();
        forward(&mut self.connection, &spool, step, b"", &parcels).unwrap();
    }

    fn step(&mut self) {
        let which = self.rng.usize(..10);
        match which {
            0..3 => self.hand_in(),
            3 => {
                let rng = self.rng.fork();
                self.take(rng);
            }
            // One that was stopped for longer than its lease, or has died.
            4 => end_lease(self.server, &self.database),
            5 if !self.relays.is_empty() => {
                let dead = self.rng.usize(..self.relays.len());
                self.relays.swap_remove(dead);
                end_lease(self.server, &self.database);
            }
            _ if !self.relays.is_empty() => {
                let which = self.rng.usize(..self.relays.len());
                if !self.act(which) {
                    self.relays.swap_remove(which);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, mut rng: fastrand::Rng) {
        if let Some(sorter) = Sorter::take(&mut self.connection, super::ONE).unwrap() {
            let bounds = ReadBounds {
                parcels: rng.i64(1..8),
                bytes: rng.i64(1..50_000),
            };
            let sorter = sorter.with_bounds(bounds);
            self.relays.push(Relay { sorter, read: None });
        }
    }

    /// The next statement of a relay; `false`: it has learnt that another one sorts.
    fn act(&mut self, which: usize) -> bool {
        let relay = &mut self.relays[which];
        let Some(read) = relay.read.take() else {
            relay.read = Some(relay.sorter.read(&mut self.connection).unwrap());
            return true;
        };
        if read.is_empty() {
            return true;
        }
        match relay.sorter.commit(&mut self.connection, read) {
            // Its answer is lost now and then.
            Ok(_) if self.rng.u8(..4) > 0 => true,
            Err(lost) if !lost.is_refused_with(STEP_LOST) => panic!("{lost}"),
            _ => relay.sorter.read_again(&mut self.connection).unwrap(),
        }
    }
}

#[test]
fn each_event_of_random_parcels_goes_over_once_and_in_the_order_of_its_spool() {
    for seed in 0..6 {
        let (server, database) = set_up();
        let mut world = World {
            connection: connect(&server.url(&database)),
            server,
            database,
            rng: fastrand::Rng::with_seed(seed),
            given: vec![Vec::new(); SPOOLS],
            relays: Vec::new(),
            number: 0,
        };
        for _ in 0..200 {
            world.step();
        }
        world.hand_in();
        end_lease(world.server, &world.database);
        let mut last = Sorter::take(&mut world.connection, super::OTHER)
            .unwrap()
            .unwrap();
        drain(&mut world.connection, &mut last);
        let given: usize = world.given.iter().map(Vec::len).sum();
        assert_eq!(count_in_lanes(&mut world.connection), given, "seed {seed}");
        let lanes = events_in_lanes(&mut world.connection);
        let places: HashMap<&String, (usize, usize)> = lanes
            .iter()
            .enumerate()
            .flat_map(|(lane, events)| {
                events
                    .iter()
                    .enumerate()
                    .map(move |(at, event)| (event, (lane, at)))
            })
            .collect();
        for source in &world.given {
            // Of those of one lane, each stands behind the one before it.
            let mut last = HashMap::new();
            for event in source {
                let (lane, at) = places[event];
                let before = last.insert(lane, at);
                assert!(
                    before.is_none_or(|before| before < at),
                    "seed {seed}: {event}"
                );
            }
        }
    }
}
