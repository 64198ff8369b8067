//! The promises of isolation, for any events and any restored state.

use super::*;
use crate::delivery::belief::RATES;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Debug, PartialEq)]
enum Outcome {
    Delivered(usize),
    Rejected(usize),
}

/// Settles all events against an API that refuses a request with a bad one in it.
fn settle(bad: &[bool], max: usize, isolation: &mut Isolation) -> (Vec<Outcome>, usize) {
    let mut queue: VecDeque<(usize, bool)> = bad.iter().copied().enumerate().collect();
    let mut outcomes = Vec::new();
    let mut requests = 0;
    while !queue.is_empty() {
        let taken = isolation.next_len(queue.len(), max);
        assert!(
            (1..=queue.len().min(max)).contains(&taken),
            "{taken} of {}",
            queue.len()
        );
        requests += 1;
        assert!(requests <= bad.len() * 9 + 1, "does not come to an end");
        if queue.iter().take(taken).any(|(_, bad)| *bad) {
            match isolation.refused(taken) {
                Finding::Narrowed => assert!(taken > 1),
                Finding::Alone { .. } => {
                    assert_eq!(taken, 1);
                    outcomes.extend(queue.pop_front().map(|(event, _)| Outcome::Rejected(event)));
                }
            }
        } else {
            isolation.accepted(taken);
            outcomes.extend(
                queue
                    .drain(..taken)
                    .map(|(event, _)| Outcome::Delivered(event)),
            );
        }
    }
    (outcomes, requests)
}

fn events() -> impl Strategy<Value = Vec<bool>> {
    (0.0..=1.0_f64, 0..600_usize).prop_flat_map(|(rate, count)| {
        proptest::collection::vec(proptest::bool::weighted(rate), count)
    })
}

proptest! {
    #[test]
    fn every_event_is_delivered_or_rejected_in_its_order(bad in events(), max in 1..=100_usize, learnt in events()) {
        let mut isolation = Isolation::default();
        settle(&learnt, max, &mut isolation);

        let (outcomes, requests) = settle(&bad, max, &mut isolation);

        let expected: Vec<_> = bad.iter().enumerate().map(|(event, bad)| if *bad { Outcome::Rejected(event) } else { Outcome::Delivered(event) }).collect();
        prop_assert_eq!(outcomes, expected);
        // Even one bad event in each batch costs no more than a search through the batch.
        let found = bad.iter().filter(|bad| **bad).count();
        prop_assert!(requests <= bad.len().div_ceil(max) + found * 10 + bad.len(), "{} requests", requests);
        prop_assert_eq!(isolation.group, 0);
    }

    #[test]
    fn a_belief_survives_its_export_bit_for_bit(bad in events()) {
        let mut isolation = Isolation::default();
        settle(&bad, 100, &mut isolation);

        let exported = isolation.belief.weights();
        let restored = Belief::from_weights(exported);

        prop_assert_eq!(restored.weights().map(f64::to_bits), exported.map(f64::to_bits));
        prop_assert_eq!(restored, isolation.belief);
    }

    #[test]
    fn any_restored_state_still_settles_every_event(
        weights in proptest::array::uniform17(any::<u64>().prop_map(f64::from_bits)),
        group in 0..1_000_usize,
        doubtful in any::<usize>(),
        bad in events(),
    ) {
        let mut isolation = Isolation {
            belief: Belief::from_weights(weights),
            group,
            doubtful,
            ..Isolation::default()
        };
        let (outcomes, _) = settle(&bad, 100, &mut isolation);
        prop_assert_eq!(outcomes.len(), bad.len());
    }

    #[test]
    fn the_weights_of_a_belief_stay_positive_and_sum_to_one(steps in proptest::collection::vec(proptest::option::of(0..=100_usize), 0..300)) {
        let mut belief = Belief::default();
        for step in steps {
            match step {
                Some(good) => belief.learn_accepted(good),
                None => belief.learn_refused(),
            }
            let weights = belief.weights();
            prop_assert!(weights.iter().all(|weight| *weight > 0.0));
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert_eq!(Belief::from_weights(weights), belief);
        }
    }
}

#[test]
fn clean_events_go_in_full_batches_from_the_first_request_on() {
    let (_, requests) = settle(&[false; 10_000], 100, &mut Isolation::default());
    assert_eq!(requests, 100);
}

#[test]
fn an_event_found_by_inference_is_still_sent_alone() {
    let mut isolation = Isolation {
        group: 2,
        ..Isolation::default()
    };
    assert_eq!(isolation.next_len(50, 100), 1);
    isolation.accepted(1);
    assert_eq!(isolation.next_len(49, 100), 1);
    assert_eq!(
        isolation.refused(1),
        Finding::Alone {
            may_be_delivered: false
        }
    );
    assert_eq!(isolation.group, 0);
}

#[test]
fn an_event_refused_alone_is_rejected_without_a_second_request() {
    let (_, requests) = settle(&[true], 100, &mut Isolation::default());
    assert_eq!(requests, 1);
}

#[test]
fn an_inferred_bad_event_that_is_accepted_alone_counts_as_accepted() {
    let mut inferred = Isolation {
        group: 1,
        ..Isolation::default()
    };
    let mut plain = Isolation::default();
    inferred.accepted(1);
    plain.accepted(1);
    assert_eq!(inferred, plain);
}

#[test]
fn a_batch_refused_after_being_in_doubt_teaches_the_belief_nothing_and_may_be_delivered() {
    let mut isolation = Isolation::default();
    let before = isolation.belief;
    isolation.mark_doubtful(3);
    assert_eq!(isolation.refused(3), Finding::Narrowed);
    assert_eq!(
        isolation.refused(1),
        Finding::Alone {
            may_be_delivered: true
        }
    );
    isolation.accepted(1);
    assert_eq!(isolation.belief, before);

    // The third event may still be delivered already, although its group was dissolved.
    assert_eq!((isolation.group, isolation.doubtful), (0, 1));
    assert_eq!(
        isolation.refused(1),
        Finding::Alone {
            may_be_delivered: true
        }
    );
    assert_eq!(
        isolation.refused(1),
        Finding::Alone {
            may_be_delivered: false
        }
    );
    assert_ne!(isolation.belief, before);
}

#[test]
fn a_batch_in_doubt_whose_every_event_is_refused_takes_few_requests_more_than_events() {
    let mut isolation = Isolation::default();
    let before = isolation.belief;
    isolation.mark_doubtful(100);
    let (outcomes, requests) = settle(&[true; 100], 100, &mut isolation);
    assert_eq!(outcomes.len(), 100);
    assert!(requests <= 110, "{requests}");
    assert_eq!(isolation.belief, before);
    assert_eq!(isolation.next_len(100, 100), 100);
}

#[test]
fn a_group_from_which_an_operator_takes_an_event_is_unknown_again() {
    let mut isolation = Isolation {
        group: 10,
        doubtful: 4,
        ..Isolation::default()
    };
    isolation.removed(10);
    assert_eq!((isolation.group, isolation.doubtful), (10, 4));
    isolation.removed(4);
    assert_eq!((isolation.group, isolation.doubtful), (0, 4));
    isolation.removed(0);
    assert_eq!(isolation.doubtful, 3);
}

#[test]
fn a_belief_with_impossible_weights_is_replaced_by_the_prior() {
    for weight in [f64::NAN, f64::INFINITY, -1.0, 0.0, 2.0] {
        assert_eq!(Belief::from_weights([weight; RATES]), Belief::default());
    }
}

#[test]
fn events_with_a_steady_bad_rate_cost_as_much_as_if_the_rate_were_known() {
    const EVENTS: usize = 60_000;
    for rate in [0.03, 0.06, 0.12, 0.21, 0.25, 0.28, 0.36, 0.6] {
        let mut rng = fastrand::Rng::with_seed(1);
        let bad: Vec<bool> = (0..EVENTS).map(|_| rng.f64() < rate).collect();
        let (_, requests) = settle(&bad, 100, &mut Isolation::default());
        let known = Cost::at_rate(rate).per_event() * EVENTS as f64;
        let ratio = requests as f64 / known;
        assert!(
            (0.96..1.03).contains(&ratio),
            "{rate}: {requests}, {known:.0} known"
        );
    }
}

#[test]
fn two_unknown_events_never_go_together_if_there_are_three() {
    for rate in 1..100_u64 {
        let mut rng = fastrand::Rng::with_seed(rate);
        let mut isolation = Isolation::default();
        for _ in 0..2_000 {
            assert_ne!(isolation.next_len(100, 100), 2, "at {rate} %");
            match rng.u64(..100) < rate {
                true => isolation.belief.learn_refused(),
                false => isolation.belief.learn_accepted(1),
            }
        }
    }
}

#[test]
fn an_isolation_adapts_to_only_bad_events_at_once_and_back_to_good_ones_later() {
    let mut isolation = Isolation::default();
    let (_, requests) = settle(&[true; 300], 100, &mut isolation);
    assert!(requests <= 310, "{requests}");
    assert_eq!(isolation.next_len(100, 100), 1);
    let (_, requests) = settle(&[false; 2_000], 100, &mut isolation);
    assert!(requests <= 150, "{requests}");
    assert_eq!(isolation.next_len(100, 100), 100);
}
