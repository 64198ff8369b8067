//! When a batch goes, how long a lane backs off after a failure, and what a 413 teaches.

use super::*;

#[test]
fn a_full_batch_goes_at_once_and_a_partial_one_after_the_flush_interval() {
    let mut spool = Spool::with_events(100);
    assert!(matches!(
        spool.step(0, false),
        Step::Send { events: 100, .. }
    ));

    let mut spool = Spool::with_events(3);
    let Step::Wait { until } = spool.step(0, false) else {
        panic!("sent too early")
    };
    assert_eq!(spool.now.until(until), secs(10));
    spool.wait(secs(10));
    assert!(matches!(spool.step(0, false), Step::Send { events: 3, .. }));
}

#[test]
fn a_flush_sends_a_partial_batch_at_once_and_an_empty_lane_is_idle() {
    let mut spool = Spool::with_events(3);
    assert!(matches!(spool.step(0, true), Step::Send { events: 3, .. }));
    spool.events[0][REGULAR].clear();
    assert_eq!(spool.step(0, true), Step::Idle);
    assert_eq!(
        spool.engine.next(99, [EMPTY; 2], true, spool.now),
        Step::Idle
    );
}

#[test]
fn the_time_that_an_event_waited_before_the_sender_started_counts() {
    let mut spool = Spool::with_events(3);
    spool.oldest_ms -= 7_000;
    let Step::Wait { until } = spool.step(0, false) else {
        panic!("sent too early")
    };
    assert_eq!(spool.now.until(until), secs(3));
    spool.oldest_ms -= 60_000;
    assert!(matches!(spool.step(0, false), Step::Send { .. }));
}

#[test]
fn an_event_with_an_enqueue_time_in_the_future_waits_no_longer_than_the_interval() {
    for future in [1, 3_600_000, i64::MAX / 2] {
        let mut spool = Spool::with_events(3);
        spool.oldest_ms += future;
        assert!(matches!(spool.step(0, false), Step::Wait { .. }));
        spool.wait(secs(5));
        // The wall clock is set back in the middle of the wait.
        spool.now.wall_ms -= 86_400_000;
        let Step::Wait { until } = spool.step(0, false) else {
            panic!("sent too early")
        };
        assert_eq!(spool.now.until(until), secs(5));
        spool.wait(secs(5));
        assert!(matches!(spool.step(0, false), Step::Send { .. }));
    }
}

#[test]
fn an_event_that_was_due_does_not_wait_again_behind_a_shorter_prefix() {
    let mut spool = Spool::with_events(150);
    spool.refuse_alone(10);
    spool.events[0][REGULAR].clear();
    assert_eq!(spool.step(0, true), Step::Idle);
    spool.events[0][REGULAR] = vec![100; 60];
    spool.oldest_ms = spool.now.wall_ms;
    assert!(matches!(spool.step(0, false), Step::Wait { .. }));
    spool.wait(secs(10));
    let mut requests = 0;
    while let Step::Send { queue, events, .. } = spool.step(0, false) {
        assert!(requests > 0 || events < 60, "isolation sent all at once");
        spool.engine.sending(0, queue, events, spool.now);
        spool.answer(Verdict::Delivered);
        spool.oldest_ms = spool.now.wall_ms;
        requests += 1;
    }
    assert!(spool.events[0][REGULAR].is_empty());
}

#[test]
fn an_isolation_goes_on_without_a_wait_after_a_restart() {
    let mut spool = Spool::with_events(50);
    spool.send();
    spool.answer(refused());
    spool.crash();
    assert!(matches!(spool.step(0, false), Step::Send { .. }));
}

#[test]
fn the_two_queues_of_a_lane_take_turns_when_both_are_due() {
    let mut spool = Spool::new();
    spool.events[0] = [vec![100; 500], vec![100; 500]];
    let mut turns = [0, 0];
    for _ in 0..8 {
        let (queue, ..) = spool.send_from(0);
        turns[queue.index()] += 1;
        spool.answer(Verdict::Delivered);
    }
    assert_eq!(turns, [4, 4]);
}

#[test]
fn a_lane_has_one_request_in_flight_at_a_time() {
    let mut spool = Spool::with_events(500);
    spool.send();
    assert_eq!(spool.step(0, true), Step::Idle);
    spool.answer(Verdict::Delivered);
    assert!(matches!(spool.step(0, true), Step::Send { .. }));
}

#[test]
fn the_requests_of_all_lanes_together_keep_to_the_pacing() {
    let mut spool = Spool::with(Policy {
        lanes: 4,
        max_requests_per_s: std::num::NonZeroU32::new(5),
        ..Policy::default()
    });
    for lane in &mut spool.events {
        lane[REGULAR] = vec![100; 1_000];
    }
    let start = spool.now;
    for request in 0..20 {
        let lane = request % 4;
        if let Step::Wait { until } = spool.step(lane, true) {
            spool.wait(spool.now.until(until));
        }
        spool.send_from(lane);
        spool.answer_to(lane, "u", Verdict::Delivered);
    }
    assert_eq!(start.until(spool.now), Duration::from_millis(200) * 19);
}

#[test]
fn a_lane_backs_off_after_a_failure_and_a_flush_does_not_shorten_the_wait() {
    let mut spool = Spool::with_events(3);
    spool.send();
    spool.answer(Verdict::Retry {
        after: Some(secs(900)),
    });
    let Step::Wait { until } = spool.step(0, true) else {
        panic!("did not back off")
    };
    assert_eq!(spool.now.until(until), secs(900));
    spool.wait(secs(900));
    assert_eq!(spool.send(), 3);
}

#[test]
fn a_failing_lane_does_not_delay_another_lane() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 3], vec![]], [vec![100; 3], vec![]]];
    for _ in 0..2 {
        spool.send_from(0);
        spool.answer_to(0, "u", LOST);
    }
    assert!(matches!(spool.step(0, true), Step::Wait { .. }));
    spool.send_from(1);
    assert!(matches!(
        spool.answer_to(1, "u", Verdict::Delivered).effect,
        Effect::Delivered { .. }
    ));
}

#[test]
fn a_batch_that_is_too_large_is_halved_by_bytes_down_to_one_event() {
    let mut spool = Spool::new();
    spool.events[0][REGULAR] = vec![1_000, 10, 10, 10, 10, 10];
    assert_eq!(spool.send(), 6);
    spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(
        spool.send(),
        1,
        "the first event alone has more than half of the bytes"
    );
    spool.answer(Verdict::Delivered);
    assert_eq!(spool.send(), 5);
}

#[test]
fn an_event_too_large_alone_is_rejected_if_the_api_says_so_and_pauses_as_misrouted_if_a_proxy_does()
{
    let mut spool = Spool::with_events(2);
    spool.send();
    assert_eq!(
        spool
            .answer(Verdict::TooLarge {
                refusal: Some(refusal())
            })
            .effect,
        Effect::Kept
    );
    assert_eq!(spool.send(), 1);
    let Effect::Rejected { suspect, .. } = spool
        .answer(Verdict::TooLarge {
            refusal: Some(refusal()),
        })
        .effect
    else {
        panic!("not rejected")
    };
    assert!(!suspect, "its user did nothing wrong");
    assert_eq!(spool.send(), 1);
    let outcome = spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::Misrouted))
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn the_byte_limit_learnt_from_a_413_doubles_with_time() {
    let mut spool = Spool::with_events(1_000);
    spool.send();
    spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(spool.send(), 50);
    spool.answer(Verdict::Delivered);
    spool.wait(byte_limit::DOUBLED_AFTER);
    assert_eq!(spool.send(), 100);
}

#[test]
fn a_batch_in_doubt_that_is_too_large_is_split_and_its_events_may_be_delivered() {
    let mut spool = Spool::with_events(2);
    spool.send();
    spool.answer(LOST);
    spool.wait_for_backoff();
    spool.send();
    spool.answer(Verdict::TooLarge { refusal: None });
    for _ in 0..2 {
        assert_eq!(spool.send(), 1);
        let Effect::Rejected {
            may_be_delivered, ..
        } = spool.answer(refused()).effect
        else {
            panic!("not rejected")
        };
        assert!(may_be_delivered);
    }
}
