//! A user's events leave the queues wherever they stand.

use super::*;
use crate::event;
use crate::store::StoredRun;

const ERASED: &[u8] = b"gone";

/// So many runs of 100 events, in which `is_erased` says which are those of the user.
fn runs(count: usize, is_erased: impl Fn(usize) -> bool) -> Vec<Run> {
    let all: Vec<usize> = (0..count * 100).collect();
    let run = |numbers: &[usize]| {
        let mut run = Run::default();
        for number in numbers {
            let user = match is_erased(*number) {
                true => "gone".to_owned(),
                false => format!("u{number}"),
            };
            run.push(fragment(&user).as_bytes(), *number as i64 + 1);
        }
        run
    };
    all.chunks(100).map(run).collect()
}

/// Erases as the sender does.
fn erase(dispatcher: &mut Dispatcher<LogStore>) -> (u64, u64) {
    let now = clock::now();
    let (mut events, mut bound) = (0, 0);
    loop {
        let taken = dispatcher.take_out(0, ERASED, now).unwrap();
        events += taken.events;
        bound = taken.bound.max(bound);
        if !taken.more {
            break;
        }
    }
    let mut after = 0;
    loop {
        let page = dispatcher.store.runs(REGULAR, after, 32).unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        let page: Vec<(Place, StoredRun)> = page.into_iter().map(|run| (REGULAR, run)).collect();
        events += dispatcher.take_out_behind(&page, ERASED).unwrap();
    }
    dispatcher.forget_user(ERASED, bound > 0).unwrap();
    (events, bound)
}

/// Delivers everything; says which users the requests had, in their order.
fn deliver_all(dispatcher: &mut Dispatcher<LogStore>) -> Vec<String> {
    let mut users = Vec::new();
    let mut now = clock::now();
    loop {
        let mut body = Vec::new();
        match dispatcher.next(0, now, &mut body).unwrap() {
            Next::Send => {}
            Next::Wait(until) => {
                now = now.after(now.until(until));
                continue;
            }
            Next::Idle => return users,
        }
        users.extend(users_of(&body));
        dispatcher.settle(0, &delivered(), None, now).unwrap();
    }
}

fn users_of(body: &[u8]) -> Vec<String> {
    let request: serde_json::Value = serde_json::from_slice(body).unwrap();
    let events = request["events"].as_array().unwrap();
    let user = |event: &serde_json::Value| event["partner_user_id"].as_str().unwrap().to_owned();
    events.iter().map(user).collect()
}

fn delivered() -> Exchange {
    Exchange::Answered(Answer {
        status: 204,
        body: Vec::new(),
        retry_after: None,
        whole: true,
    })
}

fn of_others(runs: &[Run]) -> Vec<String> {
    let events = runs.iter().flat_map(Run::events);
    let users = events.map(|(fragment, _)| event::user_text(event::user_of(fragment)));
    users.filter(|user| user != "gone").collect()
}

#[test]
fn an_erasure_takes_events_from_anywhere_and_leaves_all_others_in_their_order() {
    type IsErased = fn(usize) -> bool;
    let cases: [(&str, IsErased); 6] = [
        ("one here and there", |number| number % 37 == 5),
        ("all of many runs in the middle", |number| {
            (2_000..7_000).contains(&number)
        }),
        ("all of the first runs", |number| number < 6_500),
        ("all of the last runs", |number| number >= 3_200),
        ("the last run alone", |number| number >= 7_900),
        ("all there is", |_| true),
    ];
    for (what, is_erased) in cases {
        let mut opened = store();
        let runs = runs(80, is_erased);
        fill(&mut opened.store, &runs);
        let mut dispatcher = dispatcher(opened.store, None);
        let others = of_others(&runs);
        let (events, bound) = erase(&mut dispatcher);
        assert_eq!(events as usize, 8_000 - others.len(), "{what}");
        assert_eq!(bound, 0, "{what}");
        assert_eq!(dispatcher.totals.pending as usize, others.len(), "{what}");
        assert_eq!(
            dispatcher.store.totals().pending as usize,
            others.len(),
            "{what}"
        );
        assert!(deliver_all(&mut dispatcher) == others, "{what}");
        // A flush waits for nothing that is gone.
        assert!(dispatcher.is_settled_upto(i64::MAX).unwrap(), "{what}");
        let left = dispatcher.store.runs(REGULAR, 0, 1).unwrap();
        assert!(left.is_empty(), "{what}: their files can go");
        assert_eq!(erase(&mut dispatcher), (0, 0), "{what}");
    }
}

#[test]
fn what_a_request_has_stays_when_its_user_is_erased_and_is_repeated_byte_for_byte() {
    let mut opened = store();
    let runs = runs(40, |number| number % 10 == 3);
    fill(&mut opened.store, &runs);
    let mut dispatcher = dispatcher(opened.store, None);
    let now = clock::now();
    let (mut body, mut again) = (Vec::new(), Vec::new());
    assert_eq!(dispatcher.next(0, now, &mut body).unwrap(), Next::Send);
    let has = |body: &[u8]| users_of(body).iter().filter(|user| *user == "gone").count();
    assert_eq!(has(&body), 10);
    // While it waits for a connection, too.
    dispatcher.connect(0, None).unwrap();
    assert_eq!(erase(&mut dispatcher), (390, 10));
    dispatcher.connect(0, Some(now)).unwrap();
    let lost = Exchange::Unsettled {
        why: "lost".to_owned(),
    };
    dispatcher.settle(0, &lost, None, now).unwrap();
    assert_eq!(erase(&mut dispatcher), (0, 10));
    let now = now.after(Duration::from_secs(600));
    assert_eq!(dispatcher.next(0, now, &mut again).unwrap(), Next::Send);
    assert!(again == body, "repeated as it was");
    dispatcher.settle(0, &delivered(), None, now).unwrap();
    assert_eq!(erase(&mut dispatcher), (0, 0));
    let rest = deliver_all(&mut dispatcher);
    assert!(rest == of_others(&runs)[90..]);
}

#[test]
fn an_erased_user_is_no_suspect_and_does_not_count_for_the_brake() {
    let mut opened = store();
    fill(&mut opened.store, &waiting(1, 1, 1));
    let suspect = Suspect {
        user: ERASED.to_vec(),
        lane: 0,
        waiting: 0,
        accepted: false,
    };
    commit(
        &mut opened.store,
        &[
            Change::Suspect(&suspect),
            Change::RefusedInARow { user: "first" },
            Change::RefusedInARow { user: "gone" },
            Change::RefusedInARow { user: "last" },
        ],
    );
    let mut dispatcher = dispatcher(opened.store, None);
    dispatcher.forget_user(ERASED, false).unwrap();
    assert!(dispatcher.store.suspects().is_empty());
    assert_eq!(dispatcher.store.refused_in_a_row(), ["first", "last"]);
    let counted: Vec<&str> = dispatcher.engine.refused_in_a_row().collect();
    assert_eq!(counted, ["first", "last"]);
}
