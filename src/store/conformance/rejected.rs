//! Sentences about rejected events: how they are kept, found and forgotten.

use super::kept::Kept;
use super::samples::rejected;
use crate::store::contract::{Change, Store};
use crate::store::{Rejected, RejectedFilter, RejectedReason};

/// Commits events and returns all that are rejected.
fn reject(store: &mut dyn Store, events: &[Rejected]) -> Vec<(i64, Rejected)> {
    let changes: Vec<Change<'_>> = events.iter().map(Change::Reject).collect();
    store.commit(&changes).unwrap();
    matching(store, &RejectedFilter::default())
}

fn matching(store: &dyn Store, filter: &RejectedFilter) -> Vec<(i64, Rejected)> {
    store.rejected_matching(filter, usize::MAX).unwrap()
}

fn forget((id, event): &(i64, Rejected)) -> Change<'_> {
    Change::Forget {
        rejected: *id,
        event,
    }
}

/// Events that differ in all that a filter asks for.
fn various() -> Vec<Rejected> {
    let reasons = [
        RejectedReason::Refused,
        RejectedReason::Expired,
        RejectedReason::SetAside,
    ];
    let numbers = 0..12;
    numbers
        .map(|number| Rejected {
            user: format!("user-{}", number % 4),
            reason: reasons[number % 3],
            api_code: ["A_2001", "", "A_2002"][number / 2 % 3].to_owned(),
            may_be_delivered: number % 5 == 0,
            http_status: (number % 3 == 0).then_some(400),
            last_ms: 1_000 * number as i64,
            ..rejected(number)
        })
        .collect()
}

pub fn a_rejected_event_is_found_with_all_that_is_known_of_it(kept: &dyn Kept) {
    let mut store = kept.open();
    let mut events = various();
    events.push(Rejected {
        message: "long ".repeat(5_000),
        attempts: i32::MAX.unsigned_abs(),
        first_ms: -1,
        ..rejected(77)
    });
    let found = reject(&mut *store, &events);
    let found_events: Vec<&Rejected> = found.iter().map(|(_, event)| event).collect();
    assert_eq!(found_events, events.iter().collect::<Vec<_>>());
    assert!(found[0].0 > 0, "behind 0 stand all of them");
    assert_eq!(store.last_rejected(), found.last().unwrap().0);
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b));
    drop(store);
    assert!(matching(&*kept.open(), &RejectedFilter::default()) == found);
}

pub fn rejected_events_are_found_by_their_ids_each_once_and_in_order(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = reject(&mut *store, &various());
    let [first, second, last] = [&all[0], &all[5], &all[11]].map(Clone::clone);
    let unknown = last.0 + 1_000;
    let asked = [last.0, unknown, first.0, second.0, -1, first.0, i64::MAX, 0];
    assert_eq!(store.rejected(&asked).unwrap(), [first, second, last]);
    assert_eq!(store.rejected(&[]).unwrap(), []);
    assert_eq!(store.rejected(&[unknown]).unwrap(), []);
}

pub fn each_field_of_a_filter_takes_what_it_names(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = reject(&mut *store, &various());
    let default = RejectedFilter::default;
    let check = |filter: RejectedFilter, takes: &dyn Fn(&(i64, Rejected)) -> bool| {
        let expected: Vec<_> = all.iter().filter(|found| takes(found)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < all.len());
        assert_eq!(matching(&*store, &filter), expected, "{filter:?}");
    };
    let user = Some("user-2".to_owned());
    check(RejectedFilter { user, ..default() }, &|(_, event)| {
        event.user == "user-2"
    });
    for code in ["A_2001", ""] {
        let api_code = Some(code.to_owned());
        let filter = RejectedFilter {
            api_code,
            ..default()
        };
        check(filter, &|(_, event)| event.api_code == code);
    }
    for wanted in [
        RejectedReason::Refused,
        RejectedReason::Expired,
        RejectedReason::SetAside,
    ] {
        let reason = Some(wanted);
        let filter = RejectedFilter {
            reason,
            ..default()
        };
        check(filter, &|(_, event)| event.reason == wanted);
    }
    for may in [true, false] {
        let may_be_delivered = Some(may);
        let filter = RejectedFilter {
            may_be_delivered,
            ..default()
        };
        check(filter, &|(_, event)| event.may_be_delivered == may);
    }
    // From this time on, and before that one.
    let from_ms = Some(4_000);
    check(
        RejectedFilter {
            from_ms,
            ..default()
        },
        &|(_, event)| event.last_ms >= 4_000,
    );
    let until_ms = Some(4_000);
    check(
        RejectedFilter {
            until_ms,
            ..default()
        },
        &|(_, event)| event.last_ms < 4_000,
    );
    let after_id = all[6].0;
    check(
        RejectedFilter {
            after_id,
            ..default()
        },
        &|(id, _)| *id > after_id,
    );
}

pub fn all_fields_of_a_filter_have_to_agree(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = reject(&mut *store, &various());
    let (id, event) = &all[5];
    let exact = RejectedFilter {
        user: Some(event.user.clone()),
        api_code: Some(event.api_code.clone()),
        reason: Some(event.reason),
        may_be_delivered: Some(event.may_be_delivered),
        from_ms: Some(event.last_ms),
        until_ms: Some(event.last_ms + 1),
        after_id: id - 1,
    };
    assert_eq!(matching(&*store, &exact), all[5..6]);
    let other = |change: &dyn Fn(&mut RejectedFilter)| {
        let mut filter = exact.clone();
        change(&mut filter);
        assert_eq!(matching(&*store, &filter), [], "{filter:?}");
    };
    other(&|filter| filter.user = Some("user-3".to_owned()));
    other(&|filter| filter.api_code = Some("A_2001".to_owned()));
    other(&|filter| filter.reason = Some(RejectedReason::Expired));
    other(&|filter| filter.may_be_delivered = Some(false));
    other(&|filter| filter.from_ms = Some(event.last_ms + 1));
    other(&|filter| filter.until_ms = Some(event.last_ms));
    other(&|filter| filter.after_id = *id);
}

pub fn rejected_events_are_listed_page_by_page(kept: &dyn Kept) {
    let mut store = kept.open();
    let mut all = Vec::new();
    // In several commits, so that a store of small files has several.
    for three in various().chunks(3) {
        all = reject(&mut *store, three);
    }
    store.commit(&[forget(&all[4])]).unwrap();
    all.remove(4);
    for limit in [1, 2, 5, 11, 12, usize::MAX] {
        let (mut found, mut filter) = (Vec::new(), RejectedFilter::default());
        loop {
            let page = store.rejected_matching(&filter, limit).unwrap();
            assert!(page.len() <= limit);
            let Some((last, _)) = page.last() else { break };
            filter.after_id = *last;
            found.extend(page);
        }
        assert_eq!(found, all, "by {limit}");
    }
    let none = store.rejected_matching(&RejectedFilter::default(), 0);
    assert_eq!(none.unwrap(), []);
}

pub fn a_forgotten_event_is_not_found_any_more_and_the_others_are(kept: &dyn Kept) {
    let mut store = kept.open();
    let mut all = reject(&mut *store, &various());
    let gone = [all.remove(11), all.remove(6), all.remove(0)];
    let ids: Vec<i64> = gone.iter().chain(&all).map(|(id, _)| *id).collect();
    let changes: Vec<Change<'_>> = gone.iter().map(forget).collect();
    store.commit(&changes).unwrap();
    let check = |store: &dyn Store| {
        assert_eq!(matching(store, &RejectedFilter::default()), all);
        assert_eq!(store.rejected(&ids).unwrap(), all);
    };
    check(&*store);
    drop(store);
    check(&*kept.open());
}

pub fn an_id_of_a_rejected_event_is_never_given_twice(kept: &dyn Kept) {
    let mut highest = 0;
    for number in 0..5 {
        let mut store = kept.open();
        let new = reject(&mut *store, &[rejected(number), rejected(number + 10)]);
        assert_eq!(new.len(), 2);
        assert!(new[0].0 > highest, "{} behind {highest}", new[0].0);
        assert!(new[1].0 > new[0].0);
        highest = new[1].0;
        let changes: Vec<Change<'_>> = new.iter().map(forget).collect();
        store.commit(&changes).unwrap();
    }
}
