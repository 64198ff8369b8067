//! Lanes that relays own, each with its thread: on a real database, with the sandbox as the API.

mod brake;
mod leases;
mod pauses;
mod relay;

use meditopia::PauseReason;
use meditopia_fleet::relay::lane::{Ended, LaneThread};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use relay::Fleet;

#[test]
fn events_of_several_lanes_arrive_once_in_order_and_only_a_lone_event_is_judged() {
    let fleet = Fleet::start();
    fleet.api.set_unknown_users(["bad"]);
    let relay = fleet.relay();
    for lane in 0..3 {
        let user = format!("user-{lane}");
        for batch in 0..3 {
            let numbers = batch * 100..(batch + 1) * 100;
            let events: Vec<_> = numbers.map(|number| (user.as_str(), number)).collect();
            fleet.sort(lane, &events);
        }
        relay.own(lane);
    }
    fleet.sort(1, &[("user-1", 300), ("bad", 0), ("user-1", 301)]);
    relay.wake(1);

    fleet.api.wait_for_events(902);
    wait_until("nothing waits", || fleet.pending() == 0);

    let arrivals = Arrivals::from_sandbox(&fleet.api);
    assert_eq!(arrivals.repeats(), 0);
    let first = arrivals.first_appearances();
    assert_eq!(first["user-0"], (0..300).collect::<Vec<_>>());
    assert_eq!(first["user-1"], (0..302).collect::<Vec<_>>());
    assert_eq!(fleet.rejected_users(), "bad");
    let sums = |lane| relay.with(lane, LaneThread::progress).totals;
    wait_until("the lane knows what it has done", || {
        (sums(1).delivered, sums(1).rejected) == (302, 1)
    });
    for ended in relay.stop() {
        assert!(matches!(ended, Ended::Stopped), "{ended:?}");
    }
    assert_eq!(fleet.leases(), 0);
}

#[test]
fn a_lane_that_the_api_answers_with_server_errors_holds_no_other_lane_up() {
    let fleet = Fleet::start();
    fleet
        .api
        .set_fault(json!({"fault": "status", "status": 500, "containing": "poison"}));
    let relay = fleet.relay();
    fleet.sort(0, &[("poison", 0)]);
    relay.own(0);
    fleet.api.wait_for_requests(1);
    for lane in [1, 2] {
        fleet.sort(lane, &[("user", u64::from(lane.unsigned_abs()))]);
        relay.own(lane);
    }

    fleet.api.wait_for_events(2);

    assert_eq!(
        relay.board().pause().map(|pause| pause.reason),
        None::<PauseReason>
    );
    wait_until("only one event waits", || fleet.pending() == 1);
    assert_eq!(
        fleet.sql("SELECT count(*) FROM meditopia.lane WHERE in_doubt_since_ms IS NOT NULL"),
        "1"
    );
}
