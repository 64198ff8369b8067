//! A batch that was sent and not answered is repeated unchanged, before anything else.

use super::*;

#[test]
fn a_batch_in_doubt_is_repeated_before_anything_else() {
    let mut spool = Spool::with_events(3);
    spool.send();
    spool.answer(LOST);
    spool.events[0] = [vec![100; 100], vec![100; 100]];
    for attempt in 2..6 {
        spool.wait_for_backoff();
        assert_eq!(spool.send_from(0), (Queue::Regular, 3, false));
        assert_eq!(spool.in_doubt().unwrap().attempts, attempt);
        spool.answer(LOST);
    }
    spool.wait_for_backoff();
    assert_eq!(spool.send(), 3);
    assert_eq!(
        spool.answer(Verdict::Delivered).effect,
        Effect::Delivered {
            queue: Queue::Regular,
            events: 3
        }
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn a_batch_in_flight_at_a_crash_is_repeated() {
    let mut spool = Spool::with_events(3);
    spool.send();
    spool.crash();
    spool.events[0][REGULAR] = vec![100; 1_000];
    assert_eq!(spool.send(), 3);
    assert_eq!(spool.in_doubt().unwrap().attempts, 2);
    spool.answer(BUSY);
    // The busy answer settles its own request, but not the one before the crash.
    assert_eq!(spool.in_doubt().unwrap().attempts, 1);
    spool.wait_for_backoff();
    assert_eq!(spool.send(), 3);
}

#[test]
fn a_batch_in_doubt_is_repeated_whole_even_with_a_smaller_batch_max() {
    let mut spool = Spool::with_events(100);
    spool.send();
    let state = *spool.engine.lane_state(0).unwrap();
    let policy = Policy {
        batch_max: 10,
        ..Policy::default()
    };
    let restored = Restored {
        lanes: vec![state],
        ..Restored::default()
    };
    let mut engine = Engine::new(policy, restored, spool.now);
    let head = Head {
        sizes: &[100; 10],
        oldest_ms: 0,
        more: true,
    };
    assert!(matches!(
        engine.next(0, [head, EMPTY], false, spool.now),
        Step::Send { events: 100, .. }
    ));
}

#[test]
fn a_request_that_had_no_effect_leaves_nothing_in_doubt() {
    for verdict in [BUSY, paused(PauseReason::Auth), paused(PauseReason::Ip)] {
        let mut spool = Spool::with_events(3);
        spool.send();
        assert!(spool.in_doubt().is_some());
        spool.answer(verdict);
        assert_eq!(spool.in_doubt(), None);
    }
}

#[test]
fn a_batch_answered_with_a_misrouted_2xx_stays_in_doubt() {
    let mut spool = Spool::with_events(3);
    spool.send();
    spool.answer(Verdict::Pause {
        reason: PauseReason::Misrouted,
        status: 200,
        code: None,
        message: "HTTP 200".into(),
        in_doubt: true,
    });
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(3));
    assert_eq!(spool.probe(), 3);
}

#[test]
fn an_event_refused_after_being_in_doubt_is_rejected_as_may_be_delivered() {
    let mut spool = Spool::with_events(1);
    spool.send();
    spool.answer(LOST);
    spool.wait_for_backoff();
    spool.send();
    assert_eq!(
        spool.answer(refused()).effect,
        Effect::Rejected {
            queue: Queue::Regular,
            refusal: refusal(),
            may_be_delivered: true,
            suspect: false
        }
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn an_event_refused_alone_makes_its_user_a_suspect() {
    let mut spool = Spool::with_events(1);
    spool.send();
    let Effect::Rejected {
        may_be_delivered,
        suspect,
        ..
    } = spool.answer(refused()).effect
    else {
        panic!("not rejected")
    };
    assert_eq!((may_be_delivered, suspect), (false, true));
}

#[test]
fn a_store_that_lost_the_batch_in_doubt_does_not_stall_the_lane() {
    let mut spool = Spool::with_events(10);
    spool.send();
    spool.answer(LOST);
    spool.events[0][REGULAR].truncate(4);
    spool.wait_for_backoff();
    assert_eq!(spool.send(), 4);
    spool.answer(LOST);
    spool.events[0][REGULAR].clear();
    spool.wait(backoff::LONGEST);
    assert_eq!(spool.step(0, true), Step::Idle);
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn an_event_set_aside_is_taken_out_of_the_batch_in_doubt() {
    let mut spool = Spool::with_events(2);
    spool.send();
    spool.answer(BROKEN);
    spool.engine.removed(0, Queue::Regular, 5);
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(2));
    spool.engine.removed(0, Queue::Regular, 1);
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(1));
    spool.engine.removed(0, Queue::Regular, 0);
    assert_eq!(spool.in_doubt(), None);
}
