//! What operators decide about rejected events, and a hold.

use meditopia::internals::client::PendingFilter;
use meditopia::internals::store::{Rejected, RejectedFilter, RejectedReason};
use meditopia_fleet::hold;
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::rejected::{Decision, Which, decide};

use super::world::{World, fragment, rest};
use crate::fleet::connect;

fn rejected(user: &str, value: usize, code: &str) -> Rejected {
    Rejected {
        user: user.to_owned(),
        event: fragment(user, value),
        reason: match code {
            "" => RejectedReason::Expired,
            _ => RejectedReason::Refused,
        },
        may_be_delivered: value.is_multiple_of(2),
        api_code: code.to_owned(),
        message: "Unknown user.".to_owned(),
        http_status: Some(400),
        attempts: 1,
        first_ms: 1_000,
        last_ms: 2_000 + value as i64,
    }
}

fn requeue(world: &mut World, which: Which<'_>) -> u64 {
    decide(&mut world.connection, which, Decision::Requeue).unwrap()
}

#[test]
fn rejected_events_are_found_by_each_part_of_a_filter_and_counted_as_they_are_listed() {
    let mut world = World::new();
    world.reject(257, &rejected("u-1", 1, "A_1104"));
    world.reject(512, &rejected("u-1", 2, "A_1105"));
    world.reject(513, &rejected("u-2", 3, "A_1104"));
    world.reject(900, &rejected("u-2", 4, ""));
    let mut look = world.look();
    let all = RejectedFilter::default;
    let filters = [
        (all(), vec![257, 512, 513, 900]),
        (
            RejectedFilter {
                user: Some("u-1".into()),
                ..all()
            },
            vec![257, 512],
        ),
        (
            RejectedFilter {
                api_code: Some("A_1104".into()),
                ..all()
            },
            vec![257, 513],
        ),
        (
            RejectedFilter {
                reason: Some(RejectedReason::Expired),
                ..all()
            },
            vec![900],
        ),
        (
            RejectedFilter {
                may_be_delivered: Some(true),
                ..all()
            },
            vec![512, 900],
        ),
        (
            RejectedFilter {
                from_ms: Some(2_002),
                until_ms: Some(2_004),
                ..all()
            },
            vec![512, 513],
        ),
        (
            RejectedFilter {
                after_id: 512,
                ..all()
            },
            vec![513, 900],
        ),
    ];
    for (filter, expected) in filters {
        let rows = look.rejected(&filter, 100).unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
        assert_eq!(look.count_rejected(&filter).unwrap(), expected.len() as u64);
    }
    let codes = look.rejected_by_code().unwrap();
    let codes: Vec<_> = codes
        .iter()
        .map(|count| (&*count.api_code, count.events))
        .collect();
    assert_eq!(codes, [("A_1104", 2), ("A_1105", 1), ("", 1)]);
}

#[test]
fn requeued_events_stand_in_sound_parcels_in_the_order_of_their_rejection_each_once() {
    let mut world = World::new();
    for value in 0..1_250 {
        world.reject(256 + value, &rejected("u-1", value as usize, "A_1104"));
    }
    // Two operators at the same time, and what is rejected meanwhile stays.
    let filter = RejectedFilter::default();
    let url = world.server.url(&world.database);
    let changed: u64 = std::thread::scope(|scope| {
        let operators = [(); 2].map(|()| {
            let (url, filter) = (url.clone(), filter.clone());
            scope.spawn(move || {
                decide(
                    &mut connect(&url),
                    Which::Matching(&filter),
                    Decision::Requeue,
                )
                .unwrap()
            })
        });
        operators
            .map(|operator| operator.join().unwrap())
            .iter()
            .sum()
    });
    assert_eq!(changed, 1_250);
    assert_eq!(world.sql("SELECT count(*) FROM meditopia.rejected"), "0");
    assert_eq!(world.sql("SELECT max(events) FROM meditopia.parcel"), "100");
    // The list reads each parcel with its checksum.
    let listed = rest(
        &mut PendingPages::new(PendingFilter::default()),
        &mut world.look(),
    );
    let mut values: Vec<_> = listed.iter().map(|row| row.event_json.clone()).collect();
    assert_eq!(values.len(), 1_250);
    values.dedup();
    assert_eq!(values.len(), 1_250);

    world.reject(9_000, &rejected("u-2", 7, "A_1104"));
    world.reject(9_001, &rejected("u-2", 8, "A_1104"));
    world.sql("DELETE FROM meditopia.parcel");
    assert_eq!(
        requeue(&mut world, Which::Ids(&[9_001, 9_000, 9_000, 5])),
        2
    );
    assert_eq!(requeue(&mut world, Which::Ids(&[9_001, 9_000])), 0);
    let listed = rest(
        &mut PendingPages::new(PendingFilter::default()),
        &mut world.look(),
    );
    let events: Vec<_> = listed.iter().map(|row| row.event_json.as_bytes()).collect();
    assert_eq!(events, [fragment("u-2", 7), fragment("u-2", 8)]);
}

#[test]
fn discarded_events_are_those_that_the_filter_takes_and_no_others() {
    let mut world = World::new();
    world.reject(256, &rejected("u-1", 1, "A_1104"));
    world.reject(512, &rejected("u-2", 2, "A_1104"));
    let filter = RejectedFilter {
        user: Some("u-1".into()),
        ..RejectedFilter::default()
    };
    let done = decide(
        &mut world.connection,
        Which::Matching(&filter),
        Decision::Discard,
    );
    assert_eq!(done.unwrap(), 1);
    assert_eq!(world.sql("SELECT id FROM meditopia.rejected"), "512");
    assert_eq!(world.sql("SELECT count(*) FROM meditopia.parcel"), "0");
}

#[test]
fn a_hold_says_since_when_by_whom_and_why_and_a_second_one_changes_nothing_of_it() {
    let mut world = World::new();
    let connection = &mut world.connection;
    assert_eq!(hold::Hold::read(connection).unwrap(), None);
    let held = hold::hold(connection, "ops@a", Some("the account changes")).unwrap();
    assert!(held.since_ms > 1_700_000_000_000, "{held:?}");
    assert_eq!(held.reason.as_deref(), Some("the account changes"));
    assert_eq!(hold::hold(connection, "ops@b", None).unwrap(), held);
    assert_eq!(hold::Hold::read(connection).unwrap(), Some(held.clone()));
    assert_eq!(hold::end(connection).unwrap(), Some(held));
    assert_eq!(hold::end(connection).unwrap(), None);
    world.sql("UPDATE meditopia.meta SET hold = '1'");
    assert!(hold::Hold::read(&mut world.connection).unwrap().is_some());
}
