//! Lists: each event once and in order, wherever it stands and whoever moves it meanwhile.

use meditopia::internals::client::{PendingFilter, Row, RowReason};
use meditopia::internals::store::{InDoubt, LaneState, ReceiptFilter, Rest, SavedLane};
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::look::receipts::ReceiptPages;
use serde_json::Value;

use super::world::{World, lane, rest};

fn values(rows: &[Row]) -> Vec<usize> {
    let value = |row: &Row| {
        let event: Value = serde_json::from_str(&row.event_json).unwrap();
        event["event_value"].as_str().unwrap().parse().unwrap()
    };
    rows.iter().map(value).collect()
}

fn of_user(user: &str) -> PendingFilter {
    PendingFilter {
        user: Some(user.to_owned()),
        ..PendingFilter::default()
    }
}

#[test]
fn pending_events_are_listed_by_their_runs_and_then_by_their_parcels_and_those_of_a_user_alone() {
    let mut world = World::new();
    world.hand_in(&[("u-1", 1), ("u-2", 2), ("u-3", 3)]);
    world.hand_in(&[("u-1", 4), ("u-17", 5)]);
    world.sort();
    world.hand_in(&[("u-2", 6), ("u-1", 7)]);
    let mut look = world.look();
    let all = rest(&mut PendingPages::new(PendingFilter::default()), &mut look);
    let mut sorted = values(&all[..5]);
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3, 4, 5]);
    assert_eq!(values(&all[5..]), [6, 7]);
    let ids: std::collections::BTreeSet<i64> = all.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), all.len());

    // One is a part of the other's name.
    let of_one = rest(&mut PendingPages::new(of_user("u-1")), &mut look);
    assert_eq!(values(&of_one), [1, 4, 7]);
    let reasons: Vec<_> = of_one.iter().map(|row| row.reason).collect();
    assert_eq!(
        reasons,
        [
            RowReason::Pending,
            RowReason::Pending,
            RowReason::Journalled
        ]
    );
    let later = PendingFilter {
        from_ms: Some(1_004),
        until_ms: Some(1_007),
        ..of_user("u-1")
    };
    assert_eq!(values(&rest(&mut PendingPages::new(later), &mut look)), [4]);
}

#[test]
fn an_event_that_is_sorted_while_a_list_is_read_is_listed_once() {
    let mut world = World::new();
    // More parcels than a page has.
    for value in 0..80 {
        world.hand_in(&[(if value % 2 == 0 { "u-1" } else { "u-2" }, value)]);
    }
    let mut look = world.look();
    let mut pages = PendingPages::new(PendingFilter::default());
    let mut listed = pages.next_page(&mut look).unwrap();
    assert!(listed.len() < 80, "{}", listed.len());
    world.sort();
    listed.extend(rest(&mut pages, &mut look));
    let mut listed = values(&listed);
    listed.sort_unstable();
    assert_eq!(listed, Vec::from_iter(0..80));
}

#[test]
fn the_events_of_a_batch_in_doubt_are_those_that_wait_at_the_head_of_its_queue() {
    let mut world = World::new();
    world.hand_in(&[("u-1", 1), ("u-1", 2), ("u-1", 3)]);
    world.hand_in(&[("u-1", 4), ("u-1", 5)]);
    world.sort();
    // The first event of the first run has left it.
    world
        .sql("UPDATE meditopia.run SET marks = '\\x00000000000000000000000000000001' WHERE id = 1");
    let state = LaneState {
        in_doubt: Some(InDoubt {
            queue: 0,
            events: 3,
            attempts: 2,
            first_ms: 5_000,
            last_ms: 6_000,
            status: Some(503),
        }),
        ..LaneState::default()
    };
    let saved = SavedLane {
        state,
        rest: Rest {
            server_errors: 2,
            ..Rest::default()
        },
        ..SavedLane::default()
    };
    world.save(lane("u-1"), &saved);
    let mut look = world.look();
    let in_doubt = look.in_doubt().unwrap();
    let rows: Vec<Row> = in_doubt.iter().map(|event| event.row.clone()).collect();
    assert_eq!(values(&rows), [2, 3, 4]);
    assert!(in_doubt.iter().all(|event| event.lane == lane("u-1")));
    assert_eq!(rows[0].http_status, Some(503));

    let pending = rest(&mut PendingPages::new(of_user("u-1")), &mut look);
    assert_eq!(values(&pending), [2, 3, 4, 5]);
    let are_in_doubt: Vec<_> = pending
        .iter()
        .map(|row| row.reason == RowReason::InDoubt)
        .collect();
    assert_eq!(are_in_doubt, [true, true, true, false]);
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(
        pending.iter().take(3).map(|row| row.id).collect::<Vec<_>>(),
        ids
    );

    let figures = look.figures().unwrap();
    assert_eq!(
        (figures.in_doubt, figures.in_doubt_since_ms),
        (3, Some(5_000))
    );
    let search = look.search().unwrap();
    assert_eq!((search.left, search.heads), (0, vec![ids[0]]));
}

#[test]
fn a_batch_in_doubt_of_many_small_runs_is_listed_whole() {
    let mut world = World::new();
    for value in 0..20 {
        world.hand_in(&[("u-1", value)]);
    }
    world.sort();
    let mut saved = SavedLane::default();
    saved.state.in_doubt = Some(InDoubt {
        queue: 0,
        events: 12,
        attempts: 1,
        first_ms: 1,
        last_ms: 1,
        status: None,
    });
    world.save(lane("u-1"), &saved);
    assert_eq!(world.look().in_doubt().unwrap().len(), 12);
}

#[test]
fn receipts_of_all_lanes_are_listed_by_their_times_and_those_of_a_user_from_its_lane() {
    const DAY_MS: i64 = 86_400_000;
    let mut world = World::new();
    let today: i64 = world
        .sql("SELECT floor(extract(epoch FROM now()) / 86400)::bigint * 86400000")
        .parse()
        .unwrap();
    // More than a page, over lanes and days; several at the same time.
    let mut expected = Vec::new();
    for number in 0..600 {
        let (at, time) = (number % 4, today - DAY_MS + number / 8 * 4_000_000);
        world.receipt(at as i16, 1_000 + number, time, &["u-9", "u-90"]);
        expected.push((time, at, 1_000 + number));
    }
    expected.sort_unstable();
    let mut look = world.look();
    let all = |look: &mut _, filter: ReceiptFilter| {
        let mut pages = ReceiptPages::new(filter);
        let mut all = Vec::new();
        loop {
            let page = pages.next_page(look).unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    };
    let listed = all(&mut look, ReceiptFilter::default());
    let ids: Vec<_> = listed.iter().map(|receipt| receipt.id).collect();
    assert_eq!(
        ids,
        expected.iter().map(|(_, _, id)| *id).collect::<Vec<_>>()
    );
    let (from_ms, until_ms) = (Some(today), Some(today + 8_000_000));
    let some = ReceiptFilter {
        from_ms,
        until_ms,
        ..ReceiptFilter::default()
    };
    let within = |time: &i64| (today..today + 8_000_000).contains(time);
    let some = all(&mut look, some);
    assert_eq!(
        some.len(),
        expected.iter().filter(|(time, ..)| within(time)).count()
    );
    assert!(!some.is_empty() && some.iter().all(|receipt| within(&receipt.time_ms)));

    world.receipt(lane("u-1"), 1, today, &["u-1", "u-1", "u-17"]);
    world.receipt(lane("u-1"), 2, today + 1, &["u-17"]);
    let of_user = ReceiptFilter {
        user: Some("u-1".to_owned()),
        ..ReceiptFilter::default()
    };
    let found = all(&mut look, of_user);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].users[0].user, "u-1");
}
