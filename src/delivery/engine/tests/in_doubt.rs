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

/// Answers the requests of a search as an API does that fails on the event with the size `POISON`, until
/// delivery pauses; returns how many requests that took.
fn search(spool: &mut Spool) -> usize {
    let mut requests = 0;
    while spool.reason().is_none() {
        let events = spool.send();
        let fails = spool.events[0][REGULAR][..events].contains(&POISON);
        spool.answer(if fails { BROKEN } else { Verdict::Delivered });
        requests += 1;
        assert!(requests < 100, "the search does not end");
    }
    requests
}

const POISON: u32 = 666;

/// A spool whose first batch, of 100 events, is in doubt and has a poison event.
fn poisoned(position: usize) -> Spool {
    let mut spool = Spool::with_events(150);
    spool.events[0][REGULAR][position] = POISON;
    assert_eq!(spool.send(), 100);
    spool.answer(BROKEN);
    spool
}

#[test]
fn a_batch_in_doubt_that_is_bisected_comes_down_to_the_event_on_which_the_api_fails() {
    for position in [0, 1, 37, 50, 98, 99] {
        let mut spool = poisoned(position);
        assert_eq!(spool.engine.bisect(0), 100);
        assert_eq!(spool.in_doubt(), None);
        let requests = search(&mut spool);
        assert!(requests <= 12, "position {position}: {requests} requests");
        assert_eq!(spool.events[0][REGULAR][0], POISON, "position {position}");
        assert_eq!(spool.events[0][REGULAR].len(), 150 - position);
        assert_eq!(spool.in_doubt().map(|batch| batch.events), Some(1));
        assert_eq!(spool.reason(), Some(PauseReason::ServerError));
        // Set aside, it stands in nobody's way.
        spool.engine.removed(0, Queue::Regular, 0);
        spool.events[0][REGULAR].remove(0);
        spool.engine.resume();
        assert!(spool.send() > 1);
    }
}

#[test]
fn a_batch_in_doubt_that_is_not_bisected_is_repeated_whole_whatever_the_api_answers() {
    let mut spool = poisoned(37);
    for _ in 1..SERVER_ERRORS_MAX {
        spool.wait_for_backoff();
        assert_eq!(spool.send(), 100);
        spool.answer(BROKEN);
    }
    assert_eq!(spool.reason(), Some(PauseReason::ServerError));
    assert_eq!(spool.probe(), 100);
}

#[test]
fn what_was_bisected_is_told_to_be_perhaps_delivered_when_it_is_refused() {
    let mut spool = poisoned(0);
    spool.engine.bisect(0);
    while spool.send() > 1 {
        spool.answer(BROKEN);
    }
    let Effect::Rejected {
        may_be_delivered, ..
    } = spool.answer(refused()).effect
    else {
        panic!("not rejected")
    };
    assert!(may_be_delivered);
}

#[test]
fn a_search_ends_where_the_api_accepts_all_and_a_later_group_is_no_part_of_it() {
    let mut spool = poisoned(99);
    spool.events[0][REGULAR][99] = 100;
    assert_eq!(spool.engine.bisect(0), 100);
    while spool.events[0][REGULAR].len() > 50 {
        spool.send();
        spool.answer(Verdict::Delivered);
    }
    // Another bad event makes a group, within which the API fails once.
    spool.send();
    spool.answer(refused());
    let events = spool.send();
    spool.answer(BROKEN);
    assert_eq!(spool.in_doubt().map(|batch| batch.events), Some(events));
    spool.wait_for_backoff();
    assert_eq!(spool.send(), events);
}

#[test]
fn a_batch_that_is_on_its_way_is_not_bisected() {
    let mut spool = poisoned(3);
    spool.wait_for_backoff();
    spool.send();
    assert_eq!(spool.engine.bisect(0), 0);
    assert_eq!(spool.in_doubt().map(|batch| batch.events), Some(100));
}

#[test]
fn a_process_that_dies_in_a_search_leaves_a_smaller_batch_in_doubt_that_is_repeated() {
    let mut spool = poisoned(0);
    spool.engine.bisect(0);
    spool.send();
    spool.answer(BROKEN);
    let second = spool.send();
    spool.crash();
    assert_eq!(spool.send(), second);
    spool.answer(BROKEN);
    assert_eq!(spool.in_doubt().map(|batch| batch.events), Some(second));
    spool.wait_for_backoff();
    assert_eq!(spool.engine.bisect(0), second);
    assert_eq!(spool.group(), second);
    search(&mut spool);
    assert_eq!(spool.events[0][REGULAR][0], POISON);
}

#[test]
fn a_lost_connection_in_a_search_condemns_no_event_and_is_followed_by_a_wait() {
    let mut spool = poisoned(99);
    spool.events[0][REGULAR][99] = 100;
    spool.engine.bisect(0);
    while spool.send() > 1 {
        spool.answer(LOST);
        assert!(matches!(spool.step(0, true), Step::Wait { .. }));
        spool.wait_for_backoff();
    }
    for _ in 0..20 {
        assert_eq!(spool.answer(LOST).pause, None);
        spool.wait_for_backoff();
        assert_eq!(spool.send(), 1);
    }
    spool.answer(Verdict::Delivered);
    assert_eq!(spool.events[0][REGULAR].len(), 149);
}

#[test]
fn an_event_searched_for_is_found_by_a_status_after_a_lost_connection() {
    let mut spool = poisoned(0);
    spool.engine.bisect(0);
    while spool.send() > 1 {
        spool.answer(BROKEN);
    }
    assert_eq!(spool.answer(LOST).pause, None);
    spool.wait_for_backoff();
    assert_eq!(spool.send(), 1);
    let found = spool.answer(BROKEN).pause;
    assert_eq!(found, Some(PauseChange::Begun(PauseReason::ServerError)));
}

#[test]
fn an_event_that_was_found_and_is_kept_gets_all_of_its_attempts_after_a_resume() {
    let mut spool = poisoned(0);
    spool.engine.bisect(0);
    search(&mut spool);
    spool.engine.resume();
    for _ in 1..SERVER_ERRORS_MAX {
        assert_eq!(spool.send(), 1);
        assert_eq!(spool.answer(BROKEN).pause, None);
        spool.wait_for_backoff();
    }
    assert_eq!(spool.send(), 1);
    let begun = spool.answer(BROKEN).pause;
    assert_eq!(begun, Some(PauseChange::Begun(PauseReason::ServerError)));
}
