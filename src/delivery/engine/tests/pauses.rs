//! What pauses delivery, what probes the pause, and what ends it.

use super::*;

#[test]
fn a_token_refused_in_the_middle_of_isolation_blames_no_event_and_keeps_the_group() {
    for reason in [PauseReason::Auth, PauseReason::Ip, PauseReason::Misrouted] {
        let mut spool = Spool::with_events(100);
        spool.send();
        spool.answer(refused());
        let (group, narrower) = (spool.group(), spool.send());
        let outcome = spool.answer(paused(reason));
        assert_eq!(
            (outcome.effect, outcome.pause),
            (Effect::Kept, Some(PauseChange::Begun(reason)))
        );
        assert_eq!(spool.group(), group);
        assert_eq!(spool.probe(), narrower);
    }
}

#[test]
fn probes_wait_30_seconds_and_then_twice_as_long_up_to_15_minutes() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    let mut expected = FIRST_PROBE;
    for _ in 0..10 {
        let Step::Paused {
            reason: PauseReason::Auth,
            probe_at: Some(at),
        } = spool.step(0, true)
        else {
            panic!("not paused")
        };
        assert_eq!(spool.now.until(at), expected);
        spool.probe();
        assert_eq!(spool.answer(paused(PauseReason::Auth)).pause, None);
        expected = (expected * 2).min(LONGEST_PROBE);
    }
    assert_eq!(expected, LONGEST_PROBE);
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert!(matches!(spool.step(0, true), Step::Idle));
}

#[test]
fn a_probe_that_brings_no_judgement_does_not_end_the_pause() {
    for verdict in [LOST, BROKEN, BUSY, Verdict::TooLarge { refusal: None }] {
        let mut spool = Spool::with_events(100);
        spool.send();
        spool.answer(paused(PauseReason::Ip));
        spool.probe();
        assert_eq!(spool.answer(verdict).pause, None);
        assert_eq!(spool.reason(), Some(PauseReason::Ip));
    }
}

#[test]
fn a_probe_that_the_api_refuses_for_an_event_ends_the_pause() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Ip));
    spool.probe();
    assert_eq!(
        spool.answer(refused()).pause,
        Some(PauseChange::Ended(PauseReason::Ip))
    );
    assert_eq!(spool.group(), 100);
}

#[test]
fn a_probe_answered_with_another_pause_reason_changes_the_reason() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    assert_eq!(
        spool.answer(paused(PauseReason::Misrouted)).pause,
        Some(PauseChange::Begun(PauseReason::Misrouted))
    );
}

#[test]
fn one_probe_at_a_time_goes_over_all_lanes_and_the_lanes_take_turns() {
    let mut spool = Spool::with(Policy {
        lanes: 3,
        ..Policy::default()
    });
    for lane in &mut spool.events {
        lane[REGULAR] = vec![100; 100];
    }
    spool.send_from(1);
    spool.answer_to(1, "u", paused(PauseReason::Auth));
    spool.wait_for_probe();
    assert!(spool.send_from(0).2);
    for lane in [0, 1, 2] {
        assert_eq!(
            spool.step(lane, true),
            Step::Paused {
                reason: PauseReason::Auth,
                probe_at: None
            }
        );
    }
    spool.answer_to(0, "u", paused(PauseReason::Auth));
    spool.wait_for_probe();
    assert!(
        matches!(
            spool.step(0, true),
            Step::Paused {
                probe_at: Some(_),
                ..
            }
        ),
        "lane 0 went last time"
    );
    assert!(spool.send_from(2).2);
}

#[test]
fn the_answer_to_a_request_in_flight_before_a_pause_neither_ends_nor_changes_it() {
    for verdict in [
        Verdict::Delivered,
        refused(),
        paused(PauseReason::Ip),
        BROKEN,
    ] {
        let mut spool = Spool::with(Policy {
            lanes: 2,
            ..Policy::default()
        });
        spool.events = vec![[vec![100; 100], vec![]], [vec![100; 100], vec![]]];
        spool.send_from(0);
        spool.send_from(1);
        spool.answer_to(0, "u", paused(PauseReason::Auth));
        assert_eq!(spool.answer_to(1, "u", verdict).pause, None);
        assert_eq!(spool.reason(), Some(PauseReason::Auth));
    }
}

#[test]
fn a_hold_never_probes_and_only_the_operator_ends_it() {
    let mut spool = Spool::with_events(100);
    spool.send();
    assert_eq!(
        spool.engine.hold(spool.now),
        Some(PauseChange::Begun(PauseReason::Hold))
    );
    assert_eq!(spool.engine.hold(spool.now), None);
    assert_eq!(spool.answer(paused(PauseReason::Auth)).pause, None);
    spool.wait(secs(1_000_000));
    assert_eq!(
        spool.step(0, true),
        Step::Paused {
            reason: PauseReason::Hold,
            probe_at: None
        }
    );
    assert_eq!(spool.engine.token_replaced(), None);
    assert_eq!(
        spool.engine.resume(),
        Some(PauseChange::Ended(PauseReason::Hold))
    );
    assert_eq!(spool.engine.resume(), None);
    assert_eq!(spool.send(), 100);
}

#[test]
fn a_hold_is_not_ended_by_a_probe_that_was_in_flight() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    spool.engine.hold(spool.now);
    assert_eq!(spool.answer(Verdict::Delivered).pause, None);
    assert_eq!(spool.reason(), Some(PauseReason::Hold));
}

#[test]
fn a_new_token_ends_an_auth_pause_at_once_and_no_other_pause() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    assert_eq!(
        spool.engine.token_replaced(),
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert_eq!(spool.send(), 100);
    spool.answer(paused(PauseReason::Ip));
    assert_eq!(spool.engine.token_replaced(), None);
    assert_eq!(spool.reason(), Some(PauseReason::Ip));
}

#[test]
fn a_resume_ends_the_backoff_of_a_lane_with_and_without_a_hold() {
    for held in [true, false] {
        let mut spool = Spool::with_events(100);
        spool.send();
        spool.answer(Verdict::Retry {
            after: Some(secs(3_600)),
        });
        if held {
            spool.engine.hold(spool.now);
        }
        spool.engine.resume();
        assert_eq!(spool.send(), 100);
    }
}

#[test]
fn a_pause_survives_a_restart_and_a_clock_that_was_set() {
    for shift_ms in [0, -86_400_000_000, 86_400_000_000] {
        let mut spool = Spool::with_events(100);
        spool.send();
        spool.answer(paused(PauseReason::Auth));
        spool.now.boot_ns = 5;
        spool.now.wall_ms += shift_ms;
        spool.crash();
        let pause = spool.engine.pause_state().unwrap();
        assert_eq!(
            (pause.reason, pause.status, pause.code.as_deref()),
            (PauseReason::Auth, Some(401), Some("A_1002"))
        );
        assert!(pause.since_ms <= spool.now.wall_ms);
        assert!(spool.now.until(pause.probe_at.unwrap()) <= FIRST_PROBE);
        spool.probe();
    }
}

#[test]
fn ten_server_errors_in_a_row_for_the_same_batch_pause_delivery() {
    let mut spool = Spool::with_events(3);
    for error in 1..=SERVER_ERRORS_MAX {
        // Lost answers between them neither count nor reset the count.
        spool.wait_for_backoff();
        spool.send();
        spool.answer(LOST);
        spool.wait_for_backoff();
        spool.send();
        let outcome = spool.answer(BROKEN);
        assert_eq!(
            outcome.pause.is_some(),
            error == SERVER_ERRORS_MAX,
            "{error}"
        );
    }
    assert_eq!(spool.reason(), Some(PauseReason::ServerError));
    assert_eq!(spool.probe(), 3);
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::ServerError))
    );
}

#[test]
fn server_errors_of_different_batches_do_not_pause_delivery() {
    let mut spool = Spool::with_events(10_000);
    for _ in 0..5 {
        for _ in 1..SERVER_ERRORS_MAX {
            spool.wait_for_backoff();
            spool.send();
            spool.answer(BROKEN);
        }
        spool.wait_for_backoff();
        spool.send();
        spool.answer(Verdict::Delivered);
    }
    assert_eq!(spool.reason(), None);
}

#[test]
fn a_successful_probe_does_not_end_the_backoff_of_another_lane() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 100], vec![]], [vec![100; 100], vec![]]];
    spool.send_from(1);
    spool.answer_to(
        1,
        "u",
        Verdict::Retry {
            after: Some(secs(900)),
        },
    );
    spool.send();
    spool.answer(paused(PauseReason::Ip));
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::Ip))
    );
    assert!(matches!(spool.step(1, true), Step::Wait { .. }));
    spool.engine.hold(spool.now);
    spool.engine.resume();
    assert!(matches!(spool.step(1, true), Step::Send { .. }));
}

#[test]
fn a_batch_that_still_causes_server_errors_after_a_pause_gets_all_attempts_anew() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 3], vec![]], [vec![100; 3], vec![]]];
    for _ in 0..SERVER_ERRORS_MAX {
        spool.wait_for_backoff();
        spool.send();
        spool.answer(BROKEN);
    }
    spool.wait_for_probe();
    spool.send_from(1);
    let outcome = spool.answer_to(1, "u", Verdict::Delivered);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Ended(PauseReason::ServerError))
    );
    spool.wait_for_backoff();
    spool.send();
    assert_eq!(spool.answer(BROKEN).pause, None);
}

/// A pause that was probed until the next probe is 15 minutes away.
fn long_paused(reason: PauseReason) -> Spool {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(reason));
    for _ in 0..6 {
        spool.probe();
        spool.answer(paused(reason));
    }
    spool
}

fn next_probe(spool: &Spool) -> Duration {
    let pause = spool.engine.pause_state().unwrap();
    spool.now.until(pause.probe_at.unwrap())
}

#[test]
fn who_asks_to_try_again_has_the_pause_probed_30_seconds_after_the_last_probe_or_now() {
    for waited in [0, 10, 29, 30, 31, 600, 899] {
        let mut spool = long_paused(PauseReason::Misrouted);
        spool.wait(secs(waited));
        assert!(spool.engine.probe_soon(spool.now), "{waited}");
        let left = secs(30_u64.saturating_sub(waited));
        assert_eq!(next_probe(&spool), left, "{waited}");
        // Whoever asks next knows when the last probe was.
        assert!(!spool.engine.probe_soon(spool.now));
        assert_eq!(next_probe(&spool), left, "{waited}");
        spool.crash();
        assert_eq!(next_probe(&spool), left, "{waited}");
        spool.probe();
        spool.answer(paused(PauseReason::Misrouted));
        spool.engine.probe_soon(spool.now);
        assert_eq!(next_probe(&spool), FIRST_PROBE, "{waited}");
    }
}

#[test]
fn a_new_process_probes_a_pause_30_seconds_after_the_last_probe_or_now_whatever_the_schedule_said()
{
    for (waited, left) in [(0, 30), (10, 20), (30, 0), (600, 0)] {
        let mut spool = long_paused(PauseReason::Misrouted);
        spool.wait(secs(waited));
        // A process that is started again and again does not probe more often.
        for _ in 0..3 {
            spool.crash();
            assert_eq!(next_probe(&spool), secs(left), "{waited}");
        }
    }
}

#[test]
fn a_process_that_dies_during_its_probe_does_not_have_the_next_one_probe_within_30_seconds() {
    let mut spool = long_paused(PauseReason::Misrouted);
    spool.probe();
    spool.wait(secs(5));
    spool.crash();
    assert_eq!(next_probe(&spool), secs(25));
}

#[test]
fn who_asks_to_try_again_does_not_end_the_wait_that_the_api_asked_for() {
    let mut spool = Spool::with_events(100);
    spool.send();
    spool.answer(paused(PauseReason::Ip));
    spool.probe();
    spool.answer(Verdict::Retry {
        after: Some(secs(3_600)),
    });
    spool.wait(secs(60));
    spool.engine.probe_soon(spool.now);
    assert!(next_probe(&spool) > secs(3_400));
}

#[test]
fn who_asks_to_try_again_changes_no_hold_and_no_probe_that_is_under_way() {
    let mut spool = Spool::with_events(100);
    spool.engine.hold(spool.now);
    assert!(!spool.engine.probe_soon(spool.now));
    assert_eq!(spool.engine.pause_state().unwrap().probe_at, None);
    spool.crash();
    assert_eq!(spool.engine.pause_state().unwrap().probe_at, None);

    let mut spool = long_paused(PauseReason::Auth);
    spool.probe();
    assert!(!spool.engine.probe_soon(spool.now));
}
