//! Lanes: each user's events in order whoever enqueues them, and no lane holds up another one.

use std::sync::Mutex;

use meditopia::client::Client;
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

const LANES: usize = 16;
const SLOW: &str = "slow";

/// The lane of a user, among so many. It is how the rows of a store are spread: no version may change it.
fn lane_of(user: &str, lanes: usize) -> usize {
    crc32c::crc32c(user.as_bytes()) as usize % lanes
}

/// Users of all lanes.
fn users() -> Vec<String> {
    let users: Vec<_> = (0..100).map(|number| format!("u-{number}")).collect();
    for lane in 0..LANES {
        assert!(users.iter().any(|user| lane_of(user, LANES) == lane));
    }
    users
}

/// A fault that strikes the requests with an event of the slow user.
fn strikes_slow(mut fault: Value) -> Value {
    fault["containing"] = json!(format!(r#""partner_user_id":"{SLOW}""#));
    fault
}

/// Events of the slow user and of all others; those of other lanes arrive while the slow one waits.
fn assert_others_pass(api: &Sandbox, client: &Client, round: usize) {
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
fn a_lane_that_waits_for_its_answer_holds_up_no_other() {
    let api = Sandbox::start();
    let client = sixteen_lanes(&api);
    api.set_fault(strikes_slow(json!({"fault": "delay", "ms": 3_600_000})));
    for round in 0..3 {
        assert_others_pass(&api, &client, round);
    }
    // All the while it was one request.
    assert_eq!(api.ledger().delayed, 1);
    let doubted = client.in_doubt_rows();
    assert!(
        events_of_rows(&doubted).contains(&(SLOW.into(), 0)),
        "{doubted:?}"
    );
    assert_in_order(&api);
}

#[test]
fn a_lane_that_rests_after_a_failure_holds_up_no_other() {
    for fault in [
        json!({"fault": "status", "status": 503, "retry_after": 3_600}),
        json!({"fault": "status", "status": 429, "retry_after": 3_600}),
        json!({"fault": "status", "status": 500, "when": "after", "retry_after": 600, "count": 1}),
    ] {
        let api = Sandbox::start();
        let client = sixteen_lanes(&api);
        let after = fault["when"] == "after";
        api.set_fault(strikes_slow(fault));
        client.enqueue_for(SLOW, 0);
        api.wait_for_requests(1);
        if after {
            // What its answer did not tell: it was accepted, and is in doubt for ten minutes.
            api.wait_for_events(1);
            api.clear_ledger();
        }
        for round in 1..4 {
            assert_others_pass(&api, &client, round);
        }

        api.clear_faults();
        // An operator who knows that all is well again does not wait for the end of a rest.
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
fn each_users_events_keep_their_order_over_sixteen_lanes_whichever_process_takes_them() {
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
                        // The next event of a user may go through any process: order is the spool's.
                        assert!(workers[rng.usize(..PROCESSES)].enqueue(&user, number));
                        acknowledged.lock().unwrap().push((user, number));
                    }
                }
            });
        }
    });
    let observer = TestSpool::for_sandbox(&api)
        .with("spool", program.spool().to_str().unwrap())
        .with("lanes", "16")
        .into_client();
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
    let blamed: Vec<_> = rejected.keys().map(String::as_str).collect();
    assert!(
        blamed.iter().all(|user| ["u-3-3", "u-5-1"].contains(user)),
        "{blamed:?}"
    );
    arrivals.assert_only_whole_requests_came_twice();
    assert!(api.ledger().connections >= LANES as u64);
}

fn stored_lanes(client: &SpoolClient) -> i64 {
    let store = client.spool.path().join("store.db");
    let store = rusqlite::Connection::open(store).unwrap();
    store
        .query_row("SELECT lanes FROM state", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn another_number_of_lanes_applies_once_the_old_rows_have_drained_and_order_is_kept() {
    let api = Sandbox::start();
    let mut host = TestSpool::for_sandbox(&api).with("lanes", "1");
    let mut round = 0;
    let mut enqueue_all = |client: &Client| {
        users()
            .iter()
            .for_each(|user| client.enqueue_for(user, round));
        round += 1;
    };
    let mut last = 1;
    for lanes in [16, 3, 1, 8] {
        let before = host.client();
        before.hold().unwrap();
        enqueue_all(&before);
        // Taken over, into rows of as many lanes as there were.
        before.flush(secs(60)).1.unwrap_err();
        before.close(secs(60)).unwrap();
        drop(before);

        host = host.with("lanes", &lanes.to_string());
        let client = host.into_client();
        enqueue_all(&client);
        client.flush(secs(60)).1.unwrap_err();
        assert_eq!(stored_lanes(&client), last);
        let log: Vec<_> = std::iter::from_fn(|| client.log_next().unwrap()).collect();
        let waits = format!("lanes = {lanes} applies once the 100 pending events have gone");
        assert!(
            log.iter().any(|record| record.message.contains(&waits)),
            "{log:?}"
        );

        // The old rows go, and what comes then is spread anew.
        client.resume().unwrap();
        client.flush_ok(secs(60));
        enqueue_all(&client);
        client.flush_ok(secs(60));
        assert_eq!(stored_lanes(&client), lanes);
        client.close(secs(60)).unwrap();
        host = client.spool;
        last = lanes;
    }
    assert_in_order(&api);
    let accepted = Arrivals::from_sandbox(&api).first_appearances();
    assert!(accepted.values().all(|numbers| numbers.len() == 12));
    assert_eq!(api.ledger().accepted_events, 1_200);
}

#[test]
fn a_sender_that_stays_spreads_its_events_anew_once_it_has_drained() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api).with("lanes", "1");
    let before = host.client();
    before.hold().unwrap();
    before.enqueue_users(0..50);
    before.flush(secs(60)).1.unwrap_err();
    drop(before);
    let client = host
        .with("role", "both")
        .with("lanes", "16")
        .with("flush_interval_ms", "20")
        .into_client();
    client.enqueue_users(50..60);
    client.resume().unwrap();
    api.wait_for_events(60);

    wait_until("the lanes are sixteen", || stored_lanes(&client) == 16);
    api.set_fault(strikes_slow(json!({"fault": "delay", "ms": 3_600_000})));
    api.clear_ledger();
    assert_others_pass(&api, &client, 1);
}
