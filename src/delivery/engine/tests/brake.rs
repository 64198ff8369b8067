//! The brake: many users refused in a row are more likely the application's mistake than theirs.

use super::*;

/// After the pause ends, twenty events are rejected again, and twenty more are refused unjudged.
fn assert_counts_anew(spool: &mut Spool) {
    let regular = spool.events[0][REGULAR].len();
    spool.refuse_alone(100);
    assert_eq!(spool.events[0][REGULAR].len(), regular - 40);
}

#[test]
fn after_twenty_users_refused_in_a_row_no_event_is_rejected_and_after_forty_delivery_pauses() {
    let mut spool = Spool::with_events(1_000);
    assert_eq!(spool.refuse_alone(100), 20);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
    assert_eq!(spool.events[0][SUSPECTS].len(), 20, "kept, unjudged");
    assert_eq!(spool.events[0][REGULAR].len(), 1_000 - 40);
}

#[test]
fn twenty_five_bad_users_side_by_side_do_not_stop_the_users_behind_them() {
    let mut spool = Spool::with_events(1_000);
    assert_eq!(spool.refuse_alone(20), 20);
    for user in 20..25 {
        assert_eq!(spool.send(), 1);
        let outcome = spool.answer_to(0, &format!("bad-{user}"), refused());
        assert_eq!((outcome.effect, outcome.pause), (Effect::Unjudged, None));
    }
    // The suspects wait until an event is accepted, and only then are judged.
    let (queue, ..) = spool.send_from(0);
    assert_eq!(queue, Queue::Regular);
    spool.answer(Verdict::Delivered);
    let mut judged = 0;
    while !spool.events[0][SUSPECTS].is_empty() {
        let verdict = match spool.send_from(0).0 {
            Queue::Suspects => refused(),
            Queue::Regular => Verdict::Delivered,
        };
        let outcome = spool.answer(verdict);
        assert_eq!(outcome.pause, None);
        judged += usize::from(matches!(outcome.effect, Effect::Rejected { .. }));
    }
    assert_eq!(judged, 5);
}

#[test]
fn a_suspect_refused_under_the_brake_is_not_rejected_and_delivery_pauses() {
    let mut spool = Spool::with_events(22);
    assert_eq!(spool.refuse_alone(20), 20);
    for user in ["21", "22"] {
        spool.send();
        assert_eq!(spool.answer_to(0, user, refused()).effect, Effect::Unjudged);
    }
    // No other user has an event.
    while let (queue, 2.., _) = spool.send_from(0) {
        assert_eq!(queue, Queue::Suspects);
        assert_eq!(spool.answer_to(0, "21", refused()).pause, None);
    }
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::MassRejection))
    );
    assert_eq!(spool.events[0][SUSPECTS].len(), 2);
}

#[test]
fn an_event_refused_under_the_brake_that_may_be_delivered_keeps_its_place_and_delivery_pauses() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(20);
    assert_eq!(spool.send(), 1);
    spool.answer(LOST);
    spool.wait_for_backoff();
    spool.send();
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::MassRejection))
    );
    // When it is judged in its place, its rejection says that it may be delivered.
    spool.engine.resume();
    assert_eq!(spool.send(), 1);
    let Effect::Rejected {
        may_be_delivered, ..
    } = spool.answer_to(0, "21", refused()).effect
    else {
        panic!("not rejected");
    };
    assert!(may_be_delivered);
}

#[test]
fn one_user_refused_many_times_or_an_acceptance_between_refusals_does_not_engage_the_brake() {
    let mut spool = Spool::with_events(1_000);
    for _ in 0..5 {
        assert_eq!(spool.refuse_alone(19), 19);
        spool.send();
        spool.answer(Verdict::Delivered);
    }
    let mut spool = Spool::with_events(1_000);
    for _ in 0..200 {
        spool.send();
        spool.answer_to(0, "always the same", refused());
    }
    assert_eq!(spool.reason(), None);
}

#[test]
fn refusals_of_suspects_do_not_count_for_the_brake() {
    let mut spool = Spool::new();
    spool.events[0] = [vec![], vec![100; 100]];
    assert_eq!(spool.refuse_alone(100), 100);
    assert_eq!(spool.reason(), None);
}

#[test]
fn brake_users_of_0_turns_the_brake_off() {
    let mut spool = Spool::with(Policy {
        brake_users: 0,
        ..Policy::default()
    });
    spool.events[0][REGULAR] = vec![100; 200];
    assert_eq!(spool.refuse_alone(200), 200);
}

#[test]
fn each_probe_under_the_brake_sends_another_user_and_refused_events_stay_pending() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(100);
    let kept = spool.events[0].iter().map(Vec::len).sum::<usize>();
    for probe in 0..20 {
        assert_eq!(spool.probe(), 1);
        let user = format!("another-{probe}");
        let outcome = spool.answer_to(0, &user, refused());
        assert_eq!((outcome.effect, outcome.pause), (Effect::Unjudged, None));
    }
    assert_eq!(spool.events[0].iter().map(Vec::len).sum::<usize>(), kept);
    // An operator decides that the refusals were right.
    assert_eq!(
        spool.engine.resume(),
        Some(PauseChange::Ended(PauseReason::MassRejection))
    );
    assert_counts_anew(&mut spool);
}

#[test]
fn a_probe_that_narrows_a_group_does_not_end_a_mass_rejection_pause() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 500], vec![]], [vec![100; 50], vec![]]];
    spool.refuse_alone(100);
    spool.wait_for_probe();
    let (_, events, probe) = spool.send_from(1);
    assert!(probe && events > 1);
    let outcome = spool.answer_to(1, "many", refused());
    assert_eq!((outcome.effect, outcome.pause), (Effect::Kept, None));
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
}

#[test]
fn an_accepted_probe_releases_the_brake() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(100);
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::MassRejection))
    );
    assert_counts_anew(&mut spool);
}

#[test]
fn a_refused_token_does_not_release_the_brake() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(100);
    spool.probe();
    spool.answer(paused(PauseReason::Auth));
    assert_eq!(
        spool.engine.token_replaced(),
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert_eq!(spool.refuse_alone(100), 0);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
}

#[test]
fn a_probe_refused_under_the_brake_ends_a_pause_with_another_reason() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(20);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Unjudged);
    assert_eq!(outcome.pause, Some(PauseChange::Ended(PauseReason::Auth)));
}

#[test]
fn a_lone_event_in_flight_when_the_brake_engages_stays_pending_when_refused() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 500], vec![]], [vec![100], vec![]]];
    spool.send_from(1);
    spool.refuse_alone(100);
    assert_eq!(
        spool.answer_to(1, "late", refused()).effect,
        Effect::Unjudged
    );
    assert_eq!(spool.events[1][SUSPECTS].len(), 1);
}

#[test]
fn the_brake_keeps_its_count_over_a_restart() {
    let mut spool = Spool::with_events(1_000);
    spool.refuse_alone(15);
    spool.crash();
    assert_eq!(spool.refuse_alone(100), 5);
    assert_eq!(spool.events[0][SUSPECTS].len(), 20);
}

#[test]
fn an_answer_without_a_request_in_flight_changes_nothing() {
    let mut spool = Spool::with_events(10);
    assert_eq!(spool.answer(Verdict::Delivered).effect, Effect::Kept);
    let outcome = spool
        .engine
        .answered(99, None, &Verdict::Delivered, spool.now, &mut spool.rng);
    assert_eq!(outcome.effect, Effect::Kept);
}

#[test]
fn rejections_that_an_operator_allows_do_not_count_for_the_brake_and_those_after_them_do() {
    let mut spool = Spool::with_events(1_000);
    assert_eq!(spool.refuse_alone(100), 20);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
    let ended = spool.engine.resume_allowing(100);
    assert_eq!(ended, Some(PauseChange::Ended(PauseReason::MassRejection)));
    for left in (0..100).rev() {
        assert_eq!(spool.refuse_alone(1), 1);
        assert_eq!(spool.engine.allowed_rejections(), left);
        // A new process knows what is left.
        spool.crash();
    }
    assert_counts_anew(&mut spool);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));

    spool.engine.resume_allowing(100);
    spool.engine.resume_allowing(0);
    assert_counts_anew(&mut spool);
}
