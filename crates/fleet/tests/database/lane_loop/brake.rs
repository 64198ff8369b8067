//! The brake, which is the whole fleet's.

use meditopia::PauseReason;
use meditopia::internals::lanes::Command;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use super::relay::{Fleet, Setup};

/// A fleet that knows nobody whose name begins with `bad`.
fn fleet() -> Fleet {
    let fleet = Fleet::start();
    fleet.api.set_unknown(json!([{ "prefix": "bad" }]));
    fleet
}

#[test]
fn users_that_are_refused_in_lanes_of_two_relays_count_together_and_stop_both() {
    let fleet = fleet();
    let setup = Setup::default().brake_users(2);
    let relays: Vec<_> = (0..3).map(|_| fleet.relay_with(&setup)).collect();
    (0..3).for_each(|lane| relays[lane].own(lane as i16));

    // Two are rejected, and two more are kept: then delivery pauses.
    for (number, lane) in [0, 1, 0, 1].into_iter().enumerate() {
        fleet.sort(lane, &[(&format!("bad-{number}"), 0)]);
        relays[usize::from(lane.unsigned_abs())].wake(lane);
        wait_until("the refusal is counted", || {
            fleet.refused_in_a_row() == number as i64 + 1
        });
    }

    assert_eq!(fleet.rejected_users(), "bad-0 bad-1");
    assert_eq!(fleet.pending(), 2);
    let reason = |at: usize| relays[at].board().pause().map(|pause| pause.reason);
    wait_until("the relay of the last refusal is paused", || {
        reason(1) == Some(PauseReason::MassRejection)
    });
    assert_eq!(reason(2), None);
    relays[2].poll();
    assert_eq!(reason(2), Some(PauseReason::MassRejection));

    // An operator resumes in one lane: the count ends, and with it the pauses of the other relays.
    relays[1].ask(1, Command::ResumeAllowing { rejections: 10 });
    for relay in &relays {
        relay.poll();
    }
    assert_eq!(reason(2), None);
    wait_until("what was kept is judged", || {
        fleet.rejected_users() == "bad-0 bad-1 bad-2 bad-3"
    });
}

#[test]
fn an_acceptance_in_any_lane_ends_the_count_of_refused_users() {
    let fleet = fleet();
    let setup = Setup::default().brake_users(5);
    let relays = [fleet.relay_with(&setup), fleet.relay_with(&setup)];
    relays[0].own(0);
    relays[1].own(1);
    fleet.sort(0, &[("bad-0", 0)]);
    relays[0].wake(0);
    wait_until("the refusal is counted", || fleet.refused_in_a_row() == 1);
    relays[1].poll();

    fleet.sort(1, &[("good", 0)]);
    relays[1].wake(1);

    wait_until("the count ends", || fleet.refused_in_a_row() == 0);
}
