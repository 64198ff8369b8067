//! The plan of a day: a plain value that proptest draws from a seed, and shrinks if the day breaks
//! a promise.
//!
//! Whatever the plan leaves open - which answer goes wrong, when the process dies - is drawn from a
//! generator that is seeded with `luck`. So the same plan always makes the same day.

use meditopia::internals::delivery::Policy;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::num::NonZeroU32;
use std::time::Duration;

/// One day.
#[derive(Clone, Debug)]
pub struct Plan {
    pub luck: u64,
    pub settings: Settings,
    pub api: Api,
    pub weather: Weather,
    pub events: Vec<Planned>,
}

/// The configuration of delivery.
#[derive(Clone, Debug)]
pub struct Settings {
    /// May be larger than the API allows; the engine must then use the API's limit.
    pub batch_max: usize,
    pub flush_interval_ms: u64,
    pub lanes: usize,
    pub brake_users: u32,
    pub max_requests_per_s: u32,
}

/// What the API refuses.
#[derive(Clone, Debug)]
pub struct Api {
    pub bad_percent: u8,
    /// Whether either all events of a user are bad or none.
    pub bad_by_user: bool,
    pub body_limit: Option<u64>,
    /// A user who is deleted after this many requests: the user's good events turn bad, also those
    /// in doubt.
    pub deleted: Option<(usize, usize)>,
}

/// What goes wrong before the day turns good.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The day turns good after this many requests.
    pub bad_until: usize,
    /// How many of 100 requests go wrong.
    pub trouble_percent: u8,
    pub crashes: bool,
    pub operator: bool,
    pub clocks: bool,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Planned {
    pub user: usize,
    pub bytes: u32,
    /// The event is bad if this is less than `bad_percent`.
    pub percentile: u8,
}

/// How many users there are at most.
pub const USERS: usize = 40;

impl Plan {
    /// The plan of a seed, with the runner that can shrink it.
    pub fn from_seed(seed: u64) -> (TestRunner, impl ValueTree<Value = Self>) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config {
            failure_persistence: None,
            max_shrink_iters: 5_000,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, rng);
        let tree = plans().new_tree(&mut runner).expect("a plan");
        (runner, tree)
    }

    pub fn policy(&self) -> Policy {
        let settings = &self.settings;
        Policy {
            batch_max: settings.batch_max,
            flush_interval: Duration::from_millis(settings.flush_interval_ms),
            lanes: settings.lanes,
            brake_users: settings.brake_users,
            max_requests_per_s: NonZeroU32::new(settings.max_requests_per_s),
        }
    }

    /// Whether the API calls this event bad from the start.
    pub fn is_bad(&self, event: &Planned) -> bool {
        let percentile = if self.api.bad_by_user {
            // Any fixed function of the user will do, as long as users differ.
            (event.user * 37 + self.events.len()) % 100
        } else {
            usize::from(event.percentile)
        };
        percentile < usize::from(self.api.bad_percent)
    }
}

prop_compose! {
    fn settings()(
        batch_max in prop_oneof![Just(100_usize), 1..=130_usize],
        flush_interval_ms in 0..20_000_u64,
        lanes in prop_oneof![Just(1_usize), 1..=4_usize],
        brake_users in prop_oneof![Just(0), 1..=20_u32],
        max_requests_per_s in prop_oneof![Just(0), 1..=50_u32],
    ) -> Settings {
        Settings { batch_max, flush_interval_ms, lanes, brake_users, max_requests_per_s }
    }
}

prop_compose! {
    fn api()(
        bad_percent in select(&[0, 1, 10, 50, 100][..]),
        bad_by_user in any::<bool>(),
        body_limit in option::weighted(0.25, 2_000..60_000_u64),
        deleted in option::weighted(0.25, (0..USERS, 0..200_usize)),
    ) -> Api {
        Api { bad_percent, bad_by_user, body_limit, deleted }
    }
}

prop_compose! {
    fn weather()(
        bad_until in 0..400_usize,
        trouble_percent in select(&[0, 5, 30, 90][..]),
        crashes in prop::bool::weighted(0.9),
        operator in prop::bool::weighted(0.9),
        clocks in prop::bool::weighted(0.9),
    ) -> Weather {
        Weather { bad_until, trouble_percent, crashes, operator, clocks }
    }
}

prop_compose! {
    fn event(users: usize)(user in 0..users, bytes in 100..2_000_u32, percentile in 0..100_u8) -> Planned {
        Planned { user, bytes, percentile }
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    let events = (1..=USERS).prop_flat_map(|users| prop::collection::vec(event(users), 0..400));
    (any::<u64>(), settings(), api(), weather(), events).prop_map(
        |(luck, settings, api, weather, events)| Plan {
            luck,
            settings,
            api,
            weather,
            events,
        },
    )
}
