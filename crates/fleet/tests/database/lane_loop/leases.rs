//! What a lease allows, and what its end does.

use std::time::Duration;

use meditopia_fleet::relay::lane::Ended;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use super::relay::{Fleet, Setup};

#[test]
fn a_lane_that_is_stopped_settles_the_request_in_flight_and_gives_its_lease_up() {
    let fleet = Fleet::start();
    fleet.api.set_fault(json!({"fault": "delay", "ms": 1500}));
    let relay = fleet.relay();
    fleet.sort(0, &[("user", 0)]);
    relay.own(0);
    wait_until("the request is in flight", || {
        fleet.api.ledger().requests == 1
    });

    let ended = relay.stop();

    assert!(matches!(ended[..], [Ended::Stopped]), "{ended:?}");
    assert_eq!(fleet.pending(), 0);
    assert_eq!(fleet.leases(), 0);
    assert_eq!(fleet.api.ledger().accepted_events, 1);
}

#[test]
fn the_answer_to_a_request_whose_lease_was_lost_settles_nothing_and_the_next_owner_repeats_it_byte_for_byte()
 {
    let fleet = Fleet::start();
    let late = json!({"fault": "delay", "ms": 3000, "when": "after", "count": 1});
    fleet.api.set_fault(late);
    let (relay, other) = (fleet.relay(), fleet.relay());
    fleet.sort(0, &[("user", 0), ("user", 1)]);
    relay.own(0);
    fleet.api.wait_for_events(2);
    fleet.sql(
        "UPDATE meditopia.lane SET lease_until = clock_timestamp() - interval '1 s' WHERE lane = 0",
    );
    // What comes meanwhile is no part of the batch.
    fleet.sort(0, &[("user", 2)]);

    other.own(0);

    assert!(matches!(relay.wait_for_end(0), Ended::Lost));
    fleet.api.wait_for_events(5);
    wait_until("nothing waits", || fleet.pending() == 0);
    let requests = fleet.api.requests();
    let bodies: Vec<_> = requests.iter().map(|r| (r.events, r.attempt)).collect();
    assert_eq!(bodies, [(2, 1), (2, 2), (1, 1)]);
    assert_eq!(requests[0].body_hash, requests[1].body_hash);
    assert_eq!(
        fleet.sql("SELECT left_events FROM meditopia.lane WHERE lane = 0"),
        "3"
    );
}

#[test]
fn a_step_that_has_failed_has_not_happened_and_the_lane_is_opened_again_under_its_lease() {
    let fleet = Fleet::start();
    let late = json!({"fault": "delay", "ms": 2000, "when": "after", "count": 1});
    fleet.api.set_fault(late);
    let relay = fleet.relay();
    fleet.sort(0, &[("user", 0), ("user", 1)]);
    relay.own(0);
    fleet.api.wait_for_events(2);
    fleet.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no step today''; END';
        CREATE TRIGGER fail BEFORE UPDATE ON meditopia.lane FOR EACH ROW EXECUTE FUNCTION fail()",
    );
    let ended = relay.wait_for_end(0);
    assert!(
        matches!(&ended, Ended::Failed(e) if e.message().contains("no step today")),
        "{ended:?}"
    );
    assert_eq!(fleet.pending(), 2);
    fleet.sql("DROP TRIGGER fail ON meditopia.lane");

    relay.own_again(0);

    fleet.api.wait_for_events(4);
    wait_until("nothing waits", || fleet.pending() == 0);
    let attempts: Vec<_> = fleet.api.requests().iter().map(|r| r.attempt).collect();
    assert_eq!(attempts, [1, 2]);
}

#[test]
fn no_request_leaves_while_the_lease_does_not_outlast_it() {
    let fleet = Fleet::start();
    let relay = fleet.relay_with(&Setup {
        lease_in_doubt: Some(Duration::from_secs(43)),
        ..Setup::default()
    });
    fleet.sort(0, &[("user", 0)]);
    relay.own(0);
    let mut logged = Vec::new();
    wait_until("the lane says why it sends nothing", || {
        logged.extend(relay.logged());
        logged.iter().any(|line| line.contains("ends too soon"))
    });
    relay.stop();

    assert_eq!(fleet.api.ledger().requests, 0);
    let in_doubt = "SELECT count(*) FROM meditopia.lane WHERE in_doubt_since_ms IS NOT NULL";
    assert_eq!(fleet.sql(in_doubt), "0");
    let other = fleet.relay();
    other.own(0);
    fleet.api.wait_for_events(1);
}

#[test]
fn an_idle_lane_renews_its_lease_and_finds_events_that_nobody_has_told_it_of() {
    let fleet = Fleet::start();
    let relay = fleet.relay();
    relay.own(0);
    relay.wait_until_idle(0);
    relay.wait_until_idle(0);
    assert_eq!(fleet.leases(), 1);

    fleet.sort(0, &[("user", 0)]);

    fleet.api.wait_for_events(1);
}
