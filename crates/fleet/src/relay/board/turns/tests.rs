//! Turns of lanes, with the time that the test says.

use super::*;

const NOW: Moment = Moment {
    boot_ns: 1_000_000_000,
    wall_ms: 1_700_000_000_000,
};

fn at(seconds: u64) -> Moment {
    NOW.after(Duration::from_secs(seconds))
}

fn pause(reason: PauseReason) -> Pause {
    Pause::new(reason, "as the test has it", NOW)
}

/// A board with three lanes.
fn board() -> State {
    let mut state = State::new(3, None);
    (0..3).for_each(|lane| state.join(lane));
    state
}

/// The lane takes a step in which an answer begins this pause.
fn answered_with(state: &mut State, lane: i16, reason: PauseReason) {
    let turn = state.begin(lane, NOW);
    assert!(state.end(lane, &turn, Some(&pause(reason)), None, false, NOW));
}

/// The lane takes a step that changes nothing, and sends if it may. Says whether it does.
fn sends(state: &mut State, lane: i16, now: Moment) -> bool {
    let turn = state.begin(lane, now);
    let pause = turn.share.pause.clone();
    let may = turn.order == Order::GoOn
        && turn.share.not_before.is_none()
        && (pause.is_none() || turn.share.may_probe);
    state.end(lane, &turn, pause.as_ref(), None, may, now);
    may
}

/// The answer to the probe of the lane: the pause goes on like this, or has ended.
fn probe_answered(state: &mut State, lane: i16, pause: Option<&Pause>, now: Moment) {
    let turn = state.begin(lane, now);
    assert!(turn.share.may_probe, "it is the lane's own probe");
    state.end(lane, &turn, pause, None, false, now);
}

#[test]
fn a_pause_of_one_lane_stops_all_and_only_one_of_them_probes() {
    let mut state = board();
    answered_with(&mut state, 1, PauseReason::Misrouted);
    assert!((0..3).all(|lane| !sends(&mut state, lane, at(29))));

    assert!(sends(&mut state, 2, at(30)));
    assert!(!sends(&mut state, 0, at(30)));
    assert!(!sends(&mut state, 1, at(31)));

    probe_answered(&mut state, 2, None, at(32));
    assert!((0..3).all(|lane| sends(&mut state, lane, at(32))));
}

#[test]
fn after_a_probe_that_has_failed_another_lane_goes_first() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Auth);
    assert!(sends(&mut state, 0, at(30)));
    let later = Pause {
        probe_at: Some(at(90)),
        ..pause(PauseReason::Auth)
    };
    probe_answered(&mut state, 0, Some(&later), at(30));

    assert!(!sends(&mut state, 0, at(90)));
    assert!(sends(&mut state, 1, at(90)));
}

#[test]
fn the_answer_to_a_request_that_was_in_flight_when_the_pause_began_ends_nothing() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Misrouted);

    // Lane 1 has been told in its turn to stop, and was answered with success.
    let turn = state.begin(1, at(1));
    state.end(1, &turn, None, None, false, at(1));

    assert!(state.pause().is_some());
}

#[test]
fn a_lane_whose_turn_began_before_the_pause_does_not_end_or_replace_it() {
    let mut state = board();
    let turn = state.begin(1, NOW);
    answered_with(&mut state, 0, PauseReason::Auth);

    state.end(
        1,
        &turn,
        Some(&pause(PauseReason::Misrouted)),
        None,
        false,
        NOW,
    );
    assert_eq!(state.pause().unwrap().reason, PauseReason::Auth);
    state.end(1, &turn, None, None, false, NOW);
    assert!(state.pause().is_some());
}

#[test]
fn the_lane_that_probes_and_is_given_up_leaves_the_probe_to_the_next_one() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Auth);
    assert!(sends(&mut state, 0, at(30)));

    state.leave(0, at(40));

    assert!(
        !sends(&mut state, 1, at(69)),
        "its probe may still be on its way"
    );
    assert!(sends(&mut state, 1, at(70)));
    assert!(!sends(&mut state, 2, at(70)));
}

#[test]
fn a_probe_that_was_claimed_and_not_sent_is_free_at_once() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Auth);
    // Lane 0 has nothing to send; the step of lane 1 fails.
    let turn = state.begin(0, at(30));
    assert!(turn.share.may_probe);
    state.end(0, &turn, turn.share.pause.as_ref(), None, false, at(30));
    let turn = state.begin(1, at(30));
    assert!(turn.share.may_probe);
    state.abandon(1, &turn, at(30));

    assert!(sends(&mut state, 2, at(30)));
}

#[test]
fn a_refused_address_has_all_lanes_given_up_and_one_is_taken_to_probe_with() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Ip);
    assert!((0..3).all(|lane| state.order(lane) == Order::GiveUp));
    (0..3).for_each(|lane| state.leave(lane, at(1)));
    assert_eq!(state.may_own(at(1)), MayOwn::NoMore(Some(at(30))));
    assert_eq!(state.may_own(at(30)), MayOwn::One);

    state.join(2);
    assert_eq!(state.may_own(at(30)), MayOwn::NoMore(None));
    assert!(sends(&mut state, 2, at(30)));
    let later = Pause {
        probe_at: Some(at(90)),
        ..pause(PauseReason::Ip)
    };
    probe_answered(&mut state, 2, Some(&later), at(31));
    assert_eq!(state.order(2), Order::GiveUp);
    state.leave(2, at(31));
    assert_eq!(state.may_own(at(31)), MayOwn::NoMore(Some(at(90))));

    state.join(1);
    assert!(sends(&mut state, 1, at(90)));
    probe_answered(&mut state, 1, None, at(91));
    assert_eq!(state.may_own(at(91)), MayOwn::Share);
    assert_eq!(state.order(1), Order::GoOn);
}

#[test]
fn twice_as_many_refused_users_as_the_brake_allows_stop_every_relay_until_the_count_falls() {
    let mut state = board();
    assert!(!state.count_refused(5, at(1), at(1)));
    assert!(state.count_refused(6, at(2), at(2)));
    assert!((0..3).all(|lane| !sends(&mut state, lane, at(3))));
    assert!(!state.count_refused(3, at(4), at(4)));
    assert!(
        !state.count_refused(0, at(1), at(4)),
        "asked before the pause"
    );

    assert!(state.count_refused(2, at(5), at(5)));

    assert!(sends(&mut state, 0, at(5)));
}

#[test]
fn without_a_brake_no_count_stops_anything() {
    let mut state = State::new(0, None);
    assert!(!state.count_refused(1000, at(1), at(1)));
    assert!(sends(&mut state, 0, at(1)));
}

#[test]
fn a_hold_stops_probes_too_and_its_end_ends_the_pause_and_has_each_lane_resume_once() {
    let mut state = board();
    answered_with(&mut state, 0, PauseReason::Misrouted);
    assert!(state.set_hold(Some(pause(PauseReason::Hold))));
    assert!(!state.set_hold(Some(pause(PauseReason::Hold))));
    assert!((0..3).all(|lane| !sends(&mut state, lane, at(60))));
    assert_eq!(state.begin(0, at(60)).holds_ended, 0);

    assert!(state.set_hold(None));

    assert_eq!(state.begin(0, at(60)).holds_ended, 1);
    assert!((0..3).all(|lane| sends(&mut state, lane, at(60))));
    assert_eq!(state.begin(0, at(61)).holds_ended, 1);
}

#[test]
fn requests_of_all_lanes_are_spaced_and_a_slot_that_is_not_used_is_given_back() {
    let spacing = Duration::from_secs(2);
    let mut state = State::new(0, Some(spacing));
    assert!(sends(&mut state, 0, at(0)));
    assert!(!sends(&mut state, 1, at(1)));
    assert!(sends(&mut state, 1, at(2)));
    assert!(!sends(&mut state, 0, at(3)));

    let turn = state.begin(0, at(4));
    state.end(0, &turn, None, None, false, at(4));
    assert!(sends(&mut state, 1, at(4)));
    assert_eq!(state.begin(0, at(5)).share.not_before, Some(at(6)));
}
