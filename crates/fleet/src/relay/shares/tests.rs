//! A simulated table of relays that come, go, and are refused by the API.

use super::*;

/// The database, and what its relays do with it.
struct Fleet {
    table: Table,
    rng: fastrand::Rng,
    moves: usize,
}

impl Fleet {
    fn new(lanes: usize, relays: usize, seed: u64) -> Self {
        let ids = (0..relays).map(|number| (format!("relay-{number}"), Standing::Able));
        Self {
            table: Table {
                relays: ids.collect(),
                lanes: vec![None; lanes],
            },
            rng: fastrand::Rng::with_seed(seed),
            moves: 0,
        }
    }

    /// Some relays look at the same table, and then act one after the other, as the compare-and-set lets them.
    fn look_at_once(&mut self, share: f64) {
        let seen = self.table.clone();
        let mut relays: Vec<_> = seen.relays.keys().cloned().collect();
        self.rng.shuffle(&mut relays);
        for relay in relays {
            if self.rng.f64() >= share {
                continue;
            }
            match seen.next_move(&relay) {
                Some(Move::Take(lane)) => {
                    let owner = &mut self.table.lanes[lane as usize];
                    if owner.is_none() {
                        *owner = Some(relay);
                        self.moves += 1;
                    }
                }
                Some(Move::GiveUp(lane)) => {
                    let owner = &mut self.table.lanes[lane as usize];
                    assert_eq!(*owner, Some(relay), "nobody gives up what is another's");
                    *owner = None;
                    self.moves += 1;
                }
                None => {}
            }
        }
    }

    fn change_relays(&mut self) {
        let relay = format!("relay-{}", self.rng.usize(..8));
        match self.rng.u8(..4) {
            0 | 1 => {
                self.table.relays.insert(relay, Standing::Able);
            }
            2 => {
                self.table.relays.insert(relay, Standing::Blocked);
            }
            // It has died, and its leases end.
            _ => {
                self.table.relays.remove(&relay);
                for owner in &mut self.table.lanes {
                    if owner.as_deref() == Some(&relay) {
                        *owner = None;
                    }
                }
            }
        }
    }

    fn counts(&self) -> BTreeMap<&str, usize> {
        let ids = self.table.relays.keys();
        ids.map(|id| (id.as_str(), self.table.lanes_of(id).len()))
            .collect()
    }

    fn is_even(&self) -> bool {
        let able = self
            .table
            .relays
            .values()
            .filter(|it| **it == Standing::Able)
            .count();
        if able == 0 {
            return self.table.lanes.iter().all(Option::is_none);
        }
        let lanes = self.table.lanes.len();
        let is_fair = |(id, count): (&String, usize)| match self.table.relays[id] {
            Standing::Blocked => count == 0,
            Standing::Able => (lanes / able..=lanes.div_ceil(able)).contains(&count),
        };
        let ids = self.table.relays.keys();
        self.table.lanes.iter().all(Option::is_some)
            && ids
                .map(|id| (id, self.table.lanes_of(id).len()))
                .all(is_fair)
    }

    fn has_no_move(&self) -> bool {
        let mut ids = self.table.relays.keys();
        ids.all(|id| self.table.next_move(id).is_none())
    }
}

#[test]
fn lanes_are_shared_evenly_whatever_their_number_and_then_nothing_moves() {
    for lanes in 1..=64 {
        for relays in 1..=8 {
            let seed = (lanes * 100 + relays) as u64;
            let mut fleet = Fleet::new(lanes, relays, seed);
            for _ in 0..4 * (lanes + 8) {
                fleet.look_at_once(0.7);
            }
            assert!(fleet.is_even(), "{lanes} lanes: {:?}", fleet.counts());
            assert!(fleet.has_no_move(), "{lanes} lanes: {:?}", fleet.counts());
            // Nobody gave up what it had taken.
            assert_eq!(fleet.moves, lanes, "{relays} relays");
        }
    }
}

#[test]
fn lanes_are_even_again_after_relays_came_and_went_and_no_lane_moves_more_often_than_it_must() {
    for lanes in 1..=64 {
        for seed in 0..12 {
            let mut fleet = Fleet::new(lanes, 3, seed);
            for _ in 0..10 {
                fleet.change_relays();
                for _ in 0..fleet.rng.usize(..lanes + 2) {
                    fleet.look_at_once(0.6);
                }
            }
            fleet.moves = 0;
            let free = fleet
                .table
                .lanes
                .iter()
                .filter(|owner| owner.is_none())
                .count();
            for _ in 0..4 * (lanes + 8) {
                fleet.look_at_once(0.6);
            }
            assert!(
                fleet.is_even(),
                "{lanes} lanes, seed {seed}: {:?}",
                fleet.counts()
            );
            assert!(
                fleet.has_no_move(),
                "{lanes} lanes, seed {seed}: {:?}",
                fleet.counts()
            );
            // Each lane is given up once at most, and then taken.
            let most = free + 2 * (lanes - free);
            assert!(
                fleet.moves <= most,
                "{lanes} lanes, seed {seed}: {} moves",
                fleet.moves
            );
        }
    }
}

#[test]
fn a_relay_that_comes_gets_its_share_from_those_who_have_most() {
    let mut fleet = Fleet::new(9, 3, 1);
    while !fleet.has_no_move() {
        fleet.look_at_once(1.0);
    }
    // Rounded up, the share of four is three, and nobody would have to give any.
    fleet
        .table
        .relays
        .insert("relay-9".to_owned(), Standing::Able);
    fleet.moves = 0;
    for _ in 0..50 {
        fleet.look_at_once(1.0);
    }
    assert_eq!(fleet.counts()["relay-9"], 2);
    assert_eq!(fleet.moves, 4);
}

#[test]
fn a_relay_that_the_api_refuses_gives_every_lane_up_and_takes_none() {
    let mut fleet = Fleet::new(16, 2, 1);
    while !fleet.has_no_move() {
        fleet.look_at_once(1.0);
    }
    fleet
        .table
        .relays
        .insert("relay-0".to_owned(), Standing::Blocked);
    for _ in 0..50 {
        fleet.look_at_once(1.0);
    }
    assert_eq!(
        fleet.counts(),
        BTreeMap::from([("relay-0", 0), ("relay-1", 16)])
    );
    fleet
        .table
        .relays
        .insert("relay-1".to_owned(), Standing::Blocked);
    for _ in 0..50 {
        fleet.look_at_once(1.0);
    }
    assert!(fleet.table.lanes.iter().all(Option::is_none));
    assert!(fleet.has_no_move());
}

#[test]
fn a_relay_whose_own_row_is_missing_counts_itself() {
    let fleet = Fleet::new(4, 1, 1);
    assert!(matches!(
        fleet.table.next_move("relay-new"),
        Some(Move::Take(_))
    ));
    let nobody = Table {
        relays: BTreeMap::new(),
        lanes: vec![None],
    };
    assert_eq!(nobody.next_move("relay-0"), Some(Move::Take(0)));
}
