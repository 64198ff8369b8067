//! Relays while the API refuses what they send, and while operators hold delivery.

use meditopia_testkit::wait::wait_until;

use super::relays::{Fleet, LANES, Numbers};

#[test]
fn a_relay_whose_address_is_refused_gives_its_lanes_up_and_another_one_delivers() {
    let fleet = Fleet::new();
    let host = fleet.host();
    let mut numbers = Numbers::default();
    fleet.api.refuse_address();
    let mut blocked = fleet.relay("blocked");
    numbers.enqueue(&host, 100);
    host.forward_once();
    blocked.wait_for_answer("/readyz", 503, "the API refuses the address of this host");
    blocked.wait_for_answer(
        "/metrics",
        200,
        "meditopia_relay_blocked{relay=\"blocked\"} 1",
    );
    wait_until("its row says so, and it has no lane", || {
        fleet.sql("SELECT count(*) FROM meditopia.relay WHERE blocked IS NOT NULL") == "1"
            && fleet.lanes_owned().is_empty()
    });
    // The other one is allow-listed.
    fleet.api.allow_address();
    let other = fleet.relay("other");
    fleet.api.wait_for_events(numbers.count());
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    assert_eq!(arrivals.duplicates(), 0);
    other.wait_for_answer("/readyz", 200, "owns");
    assert_eq!(blocked.terminate().code(), Some(0));
    fleet.wait_for_lanes(&[("other", LANES)]);
}

#[test]
fn a_refused_token_stops_all_lanes_of_a_relay_and_loses_nothing() {
    let mut fleet = Fleet::new();
    let host = fleet.host();
    let mut numbers = Numbers::default();
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, fleet.api.token()).unwrap();
    fleet.api.set_token("renewed");
    let mut command = fleet.relay_command("one");
    command
        .env_remove("MEDITOPIA_BEARER_TOKEN")
        .env("MEDITOPIA_BEARER_TOKEN_FILE", &token);
    let relay = meditopia_testkit::service::Service::start(command);
    numbers.enqueue(&host, 100);
    host.forward_once();
    relay.wait_for_answer("/readyz", 503, "paused");
    numbers.enqueue(&host, 100);
    host.forward_once();
    assert_eq!(fleet.api.ledger().accepted_events, 0);
    std::fs::write(&token, "renewed").unwrap();
    fleet.api.wait_for_events(numbers.count());
    fleet.wait_until_drained();
    fleet.assert_delivered(&numbers.enqueued);
}
