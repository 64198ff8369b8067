//! Lanes: the events of each user stay in order whichever process enqueues them, and no lane delays
//! another.

use std::sync::Mutex;

use meditopia::Client;
use meditopia::internals::spool::{self, Destination, NetworkFileSystem, Spool};
use meditopia::internals::store::Reader;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::{
    Arrivals, Event, events_of_rows, first_disorder, lost_events, numbers_by_user,
};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::{Value, json};

use crate::fixtures::{read_log, spool_of};

const LANES: usize = 16;
const SLOW: &str = "slow";

/// The lane of a user. Stores depend on this function, so no version of the library may change it.
fn lane_of(user: &str, lanes: usize) -> usize {
    crc32c::crc32c(user.as_bytes()) as usize % lanes
}

/// A hundred users, with at least one in each lane.
fn users() -> Vec<String> {
    let users: Vec<_> = (0..100).map(|number| format!("u-{number}")).collect();
    for lane in 0..LANES {
        assert!(users.iter().any(|user| lane_of(user, LANES) == lane));
    }
    users
}

/// Limits a fault to requests with an event of the slow user.
fn for_slow_user(mut fault: Value) -> Value {
    fault["containing"] = json!(format!(r#""partner_user_id":"{SLOW}""#));
    fault
}

/// Enqueues an event of the slow user and one of each other user, and checks that those of other
/// lanes arrive while the slow user's lane waits.
fn assert_other_lanes_deliver(api: &Sandbox, client: &Client, round: usize) {
    let already = api.ledger().accepted_events;
    client.enqueue_for(SLOW, round);
    let users = users();
    for user in &users {
        client.enqueue_for(user, round);
    }
    let beside = |user: &&String| lane_of(user, LANES) != lane_of(SLOW, LANES);
    let others = users.iter().filter(beside).count() as u64;
    api.wait_for_events(already + others);
    let accepted = api.events();
    assert!(
        accepted
            .iter()
            .all(|event| lane_of(&event.fields.partner_user_id, LANES) != lane_of(SLOW, LANES))
    );
}

fn assert_in_order(api: &Sandbox) {
    for (user, numbers) in Arrivals::from_sandbox(api).first_appearances() {
        assert_eq!(first_disorder(&numbers), None, "{user}: {numbers:?}");
    }
}

fn sixteen_lanes(api: &Sandbox) -> SpoolClient {
    TestSpool::for_sandbox(api)
        .with("role", "both")
        .with("lanes", "16")
        .with("flush_interval_ms", "20")
        .with("request_timeout_ms", "3600000")
        .into_client()
}

#[test]
fn a_lane_that_waits_for_an_answer_delays_no_other_lane() {
    let api = Sandbox::start();
    let client = sixteen_lanes(&api);
    api.set_fault(for_slow_user(json!({"fault": "delay", "ms": 3_600_000})));
    for round in 0..3 {
        assert_other_lanes_deliver(&api, &client, round);
    }
    // All this time the slow lane had a single request.
    assert_eq!(api.ledger().delayed, 1);
    let in_doubt = client.in_doubt_rows();
    assert!(
        events_of_rows(&in_doubt).contains(&(SLOW.into(), 0)),
        "{in_doubt:?}"
    );
    assert_in_order(&api);
}

#[test]
fn a_lane_that_waits_after_a_failure_delays_no_other_lane() {
    for fault in [
        json!({"fault": "status", "status": 503, "retry_after": 3_600}),
        json!({"fault": "status", "status": 429, "retry_after": 3_600}),
        json!({"fault": "status", "status": 500, "when": "after", "retry_after": 600, "count": 1}),
    ] {
        let api = Sandbox::start();
        let client = sixteen_lanes(&api);
        let after = fault["when"] == "after";
        api.set_fault(for_slow_user(fault));
        client.enqueue_for(SLOW, 0);
        api.wait_for_requests(1);
        if after {
            // The API has accepted the event and answered 500: it is in doubt for ten minutes.
            api.wait_for_events(1);
            api.clear_ledger();
        }
        for round in 1..4 {
            assert_other_lanes_deliver(&api, &client, round);
        }

        api.clear_faults();
        // An operator ends the backoff with hold and resume.
        client.hold().unwrap();
        client.resume().unwrap();
        client.flush_ok(secs(60));
        assert_in_order(&api);
        assert_eq!(
            Arrivals::from_sandbox(&api).first_appearances()[SLOW],
            [0, 1, 2, 3]
        );
    }
}

#[test]
fn the_events_of_each_user_keep_their_order_over_sixteen_lanes_whichever_process_enqueues_them() {
    const PROCESSES: usize = 4;
    const THREADS: usize = 6;
    const USERS_OF_A_THREAD: usize = 8;
    let rounds = trial_count(40, 1_000);
    let api = Sandbox::builder().seed(5).start();
    api.set_unknown(json!([{"user": "u-3-3"}, {"user": "u-5-1"}]));
    api.set_faults(json!({"faults": [
        {"fault": "delay", "ms": [0, 15]},
        {"fault": "reset", "when": "after", "probability": 0.02},
    ]}));
    let options = [
        ("lanes", "16"),
        ("flush_interval_ms", "20"),
        ("brake_users", "0"),
    ];
    let program = CProgram::compile("enqueuer.c").with_config(&api, &options);
    let workers: Vec<_> = (0..PROCESSES)
        .map(|_| Enqueuer::start(&program, "both"))
        .collect();
    let acknowledged: Mutex<Vec<Event>> = Mutex::default();

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (workers, acknowledged) = (&workers, &acknowledged);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(thread as u64);
                for number in 0..rounds {
                    for user in 0..USERS_OF_A_THREAD {
                        let user = format!("u-{thread}-{user}");
                        // Any process may enqueue the next event of a user: the spool keeps the
                        // order.
                        assert!(workers[rng.usize(..PROCESSES)].enqueue(&user, number));
                        acknowledged.lock().unwrap().push((user, number));
                    }
                }
            });
        }
    });
    let observer = spool_of(&program, &api).with("lanes", "16").into_client();
    observer.flush_ok(secs(120));

    let acknowledged = acknowledged.into_inner().unwrap();
    let arrivals = Arrivals::from_sandbox(&api);
    let accepted = arrivals.first_appearances();
    let rejected = numbers_by_user(events_of_rows(&observer.rejected_rows()));
    assert_eq!(
        lost_events(&acknowledged, &[&accepted, &rejected]),
        Vec::<&Event>::new()
    );
    for (user, numbers) in &accepted {
        assert_eq!(first_disorder(numbers), None, "{user}: {numbers:?}");
    }
    let refused: Vec<_> = rejected.keys().map(String::as_str).collect();
    assert!(
        refused.iter().all(|user| ["u-3-3", "u-5-1"].contains(user)),
        "{refused:?}"
    );
    arrivals.assert_only_whole_requests_came_twice();
    // Some lanes have none of the users.
    assert!(api.ledger().connections > LANES as u64 / 2);
}

fn stored_lanes(client: &SpoolClient) -> u8 {
    let dir = client.spool.path();
    let known = spool::describe(&dir).unwrap();
    let destination = Destination {
        endpoint: &known.endpoint,
        account: &known.account,
    };
    let spool = Spool::open(&dir, destination, NetworkFileSystem::Refuse).unwrap();
    Reader::open(&spool).unwrap().unwrap().lane_count()
}

#[test]
fn a_changed_number_of_lanes_applies_once_the_store_is_empty_and_keeps_the_order() {
    let api = Sandbox::start();
    let mut spool = TestSpool::for_sandbox(&api).with("lanes", "1");
    let mut round = 0;
    let mut enqueue_all = |client: &Client| {
        users()
            .iter()
            .for_each(|user| client.enqueue_for(user, round));
        round += 1;
    };
    let mut last = 1;
    for lanes in [16, 3, 1, 8] {
        let before = spool.client();
        before.hold().unwrap();
        enqueue_all(&before);
        // This takes the events over, into rows of the old number of lanes.
        before.flush(secs(60)).1.unwrap_err();
        before.close(secs(60)).unwrap();
        drop(before);

        spool = spool.with("lanes", &lanes.to_string());
        let client = spool.into_client();
        enqueue_all(&client);
        client.flush(secs(60)).1.unwrap_err();
        assert_eq!(stored_lanes(&client), last);
        let log = read_log(&client);
        let message = format!("lanes = {lanes} applies once the 100 pending events have gone");
        assert!(
            log.iter().any(|record| record.message.contains(&message)),
            "{log:?}"
        );

        // The old rows are delivered, and later events go to the new lanes.
        client.resume().unwrap();
        client.flush_ok(secs(60));
        enqueue_all(&client);
        client.flush_ok(secs(60));
        assert_eq!(stored_lanes(&client), lanes);
        client.close(secs(60)).unwrap();
        spool = client.spool;
        last = lanes;
    }
    assert_in_order(&api);
    let accepted = Arrivals::from_sandbox(&api).first_appearances();
    assert!(accepted.values().all(|numbers| numbers.len() == 12));
    assert_eq!(api.ledger().accepted_events, 1_200);
}

#[test]
fn a_running_sender_applies_a_changed_number_of_lanes_once_the_store_is_empty() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("lanes", "1");
    let before = spool.client();
    before.hold().unwrap();
    before.enqueue_users(0..50);
    before.flush(secs(60)).1.unwrap_err();
    drop(before);
    let client = spool
        .with("role", "both")
        .with("lanes", "16")
        .with("flush_interval_ms", "20")
        .into_client();
    client.enqueue_users(50..60);
    client.resume().unwrap();
    api.wait_for_events(60);

    wait_until("the lanes are sixteen", || stored_lanes(&client) == 16);
    api.set_fault(for_slow_user(json!({"fault": "delay", "ms": 3_600_000})));
    api.clear_ledger();
    assert_other_lanes_deliver(&api, &client, 1);
}
