//! What stops the lanes of a relay, and what has them go on.

use meditopia::PauseReason;
use meditopia::internals::clock;
use meditopia::internals::config::BearerToken;
use meditopia::internals::lanes::Command;
use meditopia_fleet::relay::board::MayOwn;
use meditopia_fleet::relay::lane::Ended;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use super::relay::{Fleet, Relay};

fn reason(relay: &Relay<'_>) -> Option<PauseReason> {
    relay.board().pause().map(|pause| pause.reason)
}

/// Three lanes with an event each, of which the first has begun a pause.
fn paused_by_the_first_lane<'a>(fleet: &'a Fleet, expected: PauseReason) -> Relay<'a> {
    let relay = fleet.relay();
    fleet.sort(0, &[("user-0", 0)]);
    relay.own(0);
    wait_until("the relay is paused", || reason(&relay) == Some(expected));
    for lane in [1, 2] {
        fleet.sort(lane, &[("user", u64::from(lane.unsigned_abs()))]);
        relay.own(lane);
    }
    relay
}

#[test]
fn a_refused_token_stops_all_lanes_one_of_them_probes_and_another_token_has_them_go_on() {
    let mut fleet = Fleet::start();
    fleet.api.revoke_token();
    let relay = paused_by_the_first_lane(&fleet, PauseReason::Auth);

    let probe_at = relay.board().pause().unwrap().probe_at;
    wait_until("a probe was refused as well", || {
        relay.board().pause().unwrap().probe_at != probe_at
    });

    assert_eq!(fleet.api.ledger().requests, 2);
    drop(relay);
    fleet.api.set_token("another");
    let relay = fleet.relay();
    for lane in 0..3 {
        relay.own(lane);
    }
    fleet.api.wait_for_events(3);
    assert_eq!(reason(&relay), None);
}

#[test]
fn another_token_has_all_lanes_of_a_running_relay_go_on_at_once() {
    let fleet = Fleet::start();
    fleet.api.revoke_token();
    let relay = paused_by_the_first_lane(&fleet, PauseReason::Auth);
    fleet.api.put("token", &json!({ "token": "another" }));

    let token = BearerToken::new("another").unwrap();
    assert!(relay.sending.tokens.replace(token));
    relay.board().follow_token();

    fleet.api.wait_for_events(3);
    assert_eq!(fleet.api.ledger().requests, 4);
}

#[test]
fn a_wrong_answer_stops_all_lanes_and_the_lane_that_probes_has_all_go_on() {
    let fleet = Fleet::start();
    fleet
        .api
        .set_fault(json!({"fault": "login_page", "count": 2}));
    let relay = paused_by_the_first_lane(&fleet, PauseReason::Misrouted);

    // The first probe meets the page as well.
    fleet.api.wait_for_requests(1);
    wait_until("the probe has met the page", || {
        fleet.api.ledger().requests == 2
    });
    relay.ask(1, Command::Resume);

    fleet.api.wait_for_events(3);
    assert_eq!(fleet.api.ledger().faults, 2);
    assert_eq!(reason(&relay), None);
}

#[test]
fn the_lane_that_probes_ends_the_pause_of_all_of_them() {
    let fleet = Fleet::start();
    fleet
        .api
        .set_fault(json!({"fault": "login_page", "count": 1}));
    let relay = paused_by_the_first_lane(&fleet, PauseReason::Misrouted);

    wait_until("all events have arrived", || {
        fleet.api.ledger().accepted_events == 3
    });

    assert_eq!(fleet.api.ledger().requests, 4);
    assert_eq!(reason(&relay), None);
}

#[test]
fn a_refused_address_has_the_relay_give_all_its_lanes_up_and_another_one_delivers() {
    let fleet = Fleet::start();
    fleet.api.refuse_address();
    let relay = fleet.relay();
    for lane in [1, 2] {
        relay.own(lane);
    }
    fleet.sort(0, &[("user", 0)]);
    relay.own(0);

    for lane in 0..3 {
        let ended = relay.wait_for_end(lane);
        assert!(matches!(ended, Ended::Blocked), "{ended:?}");
    }

    assert_eq!(fleet.leases(), 0);
    assert_eq!(fleet.api.ledger().code("A_1004"), 1);
    let blocked = relay.board().blocked().unwrap();
    let now = clock::now();
    assert!(now.until(blocked.until.unwrap()) > std::time::Duration::ZERO);
    assert_eq!(relay.board().may_own(now), MayOwn::NoMore(blocked.until));
    assert_eq!(relay.board().may_own(blocked.until.unwrap()), MayOwn::One);
    fleet.api.allow_address();
    let other = fleet.relay();
    other.own(0);
    fleet.api.wait_for_events(1);
    relay.board().resume();
    assert_eq!(relay.board().may_own(now), MayOwn::Share);
}

#[test]
fn a_relay_whose_address_is_refused_probes_with_one_lane_and_takes_its_share_once_it_is_accepted() {
    let fleet = Fleet::start();
    fleet.api.refuse_address();
    let relay = fleet.relay();
    fleet.sort(0, &[("user", 0)]);
    relay.own(0);
    assert!(matches!(relay.wait_for_end(0), Ended::Blocked));
    wait_until("the relay may probe", || {
        relay.board().may_own(clock::now()) == MayOwn::One
    });
    // A lane without events finds out nothing.
    relay.own(1);
    assert!(matches!(relay.wait_for_end(1), Ended::NothingToProbe));
    assert_eq!(relay.board().may_own(clock::now()), MayOwn::One);
    fleet.api.allow_address();

    relay.own(0);

    fleet.api.wait_for_events(1);
    wait_until("the relay is not blocked", || {
        relay.board().may_own(clock::now()) == MayOwn::Share
    });
    assert_eq!(fleet.leases(), 1);
}

#[test]
fn a_hold_stops_all_lanes_and_its_end_has_them_go_on() {
    let fleet = Fleet::start();
    let relay = fleet.relay();
    for lane in 0..2 {
        relay.own(lane);
    }
    relay
        .board()
        .set_hold(Some((clock::now().wall_ms, "deploy")));
    for lane in 0..2 {
        fleet.sort(lane, &[("user", 0)]);
        relay.wake(lane);
    }
    for lane in 0..2 {
        relay.wait_until_idle(lane);
        relay.wait_until_idle(lane);
    }
    assert_eq!(fleet.api.ledger().requests, 0);
    assert_eq!(reason(&relay), Some(PauseReason::Hold));

    relay.board().set_hold(None);

    fleet.api.wait_for_events(2);
}

#[test]
fn the_end_of_a_hold_ends_a_pause_as_an_operators_resume_does() {
    let fleet = Fleet::start();
    fleet
        .api
        .set_fault(json!({"fault": "login_page", "count": 1}));
    let relay = paused_by_the_first_lane(&fleet, PauseReason::Misrouted);
    relay
        .board()
        .set_hold(Some((clock::now().wall_ms, "deploy")));
    assert_eq!(reason(&relay), Some(PauseReason::Hold));

    relay.board().set_hold(None);

    fleet.api.wait_for_events(3);
}

#[test]
fn a_relay_without_a_token_sends_nothing_until_it_has_one() {
    let fleet = Fleet::start();
    let relay = fleet.relay_without_token();
    fleet.sort(0, &[("user", 0)]);
    relay.own(0);
    wait_until("the relay is paused", || {
        reason(&relay) == Some(PauseReason::Auth)
    });
    let token = BearerToken::new(fleet.api.token()).unwrap();
    relay.sending.tokens.replace(token);

    fleet.api.wait_for_events(1);

    assert_eq!(fleet.api.ledger().requests, 1);
}
