//! A user's events leave the queues wherever they stand.

use super::*;
use crate::dispatch::notes::Failed;
use crate::event;
use crate::store::PauseState;
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
    erase_of(dispatcher, REGULAR)
}

/// The same of one queue.
fn erase_of(dispatcher: &mut Dispatcher<LogStore>, place: Place) -> (u64, u64) {
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
        let page = dispatcher.store.runs(place, after, 32).unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        let page: Vec<(Place, StoredRun)> = page.into_iter().map(|run| (place, run)).collect();
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
    dispatcher.connect(0, None, true).unwrap();
    assert_eq!(erase(&mut dispatcher), (390, 10));
    dispatcher.connect(0, Some(now), false).unwrap();
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

#[test]
fn an_erased_user_leaves_each_text_that_is_kept_of_the_api_and_its_pause_stays() {
    let mut opened = store();
    fill(&mut opened.store, &waiting(1, 1, 1));
    let pause = PauseState {
        reason: PauseReason::MassRejection,
        since_ms: 1,
        probe_ms: Some(2),
        probe_wait_ms: 30_000,
        http_status: Some(422),
        api_code: None,
        message: "refused: gone, and others".to_owned(),
        fingerprint: None,
    };
    commit(&mut opened.store, &[Change::Pause(Some(&pause))]);
    let mut dispatcher = dispatcher(opened.store, None);
    dispatcher.last_failure = Some("HTTP 422: gone is unknown".to_owned());
    dispatcher.failed = Some(Failed {
        at_ms: 1,
        events: 1,
        http_status: Some(422),
        api_code: None,
        message: "gone is unknown".to_owned(),
    });
    dispatcher.forget_user(ERASED, false).unwrap();
    assert_eq!(
        dispatcher.last_failure.as_deref(),
        Some("HTTP 422:  is unknown")
    );
    assert_eq!(dispatcher.failed.unwrap().message, " is unknown");
    let kept = dispatcher.store.pause().unwrap();
    assert_eq!(
        (kept.reason, kept.message.as_str()),
        (PauseReason::MassRejection, "refused: , and others")
    );
}

#[test]
fn an_erased_suspect_is_remembered_while_a_request_has_events_of_the_user() {
    let mut opened = store();
    fill(&mut opened.store, &waiting(1, 1, 1));
    let suspect = Suspect {
        user: ERASED.to_vec(),
        lane: 0,
        waiting: 1,
        accepted: false,
    };
    commit(&mut opened.store, &[Change::Suspect(&suspect)]);
    let mut dispatcher = dispatcher(opened.store, None);
    dispatcher.forget_user(ERASED, true).unwrap();
    assert_eq!(dispatcher.store.suspects().len(), 1);
    dispatcher.forget_user(ERASED, false).unwrap();
    assert!(dispatcher.store.suspects().is_empty());
}

#[test]
fn an_erased_suspect_with_a_request_has_as_many_events_left_as_the_request() {
    const SUSPECTS: Place = Place { lane: 0, queue: 1 };
    let mut opened = store();
    let runs = runs(40, |_| true);
    let totals = Totals {
        pending: 4_000,
        ..Totals::default()
    };
    let suspect = Suspect {
        user: ERASED.to_vec(),
        lane: 0,
        waiting: 4_000,
        accepted: false,
    };
    let mut changes = vec![Change::Lanes(1)];
    changes.extend(runs.iter().map(|run| Change::Append {
        place: SUSPECTS,
        origin: None,
        run,
    }));
    changes.extend([Change::Totals(&totals), Change::Suspect(&suspect)]);
    commit(&mut opened.store, &changes);
    let mut dispatcher = dispatcher(opened.store, None);
    let mut body = Vec::new();
    let sent = dispatcher.next(0, clock::now(), &mut body).unwrap();
    assert_eq!(sent, Next::Send);
    let bound = users_of(&body).len() as u64;

    assert_eq!(erase_of(&mut dispatcher, SUSPECTS), (4_000 - bound, bound));
    let waiting: Vec<u64> = dispatcher
        .store
        .suspects()
        .iter()
        .map(|suspect| suspect.waiting)
        .collect();
    assert_eq!(waiting, [bound]);
}

#[test]
fn a_group_of_which_an_erasure_takes_an_event_is_unknown_again() {
    let mut opened = store();
    fill(&mut opened.store, &runs(1, |number| number == 7));
    let mut dispatcher = dispatcher(opened.store, None);
    let now = clock::now();
    let mut body = Vec::new();
    assert_eq!(dispatcher.next(0, now, &mut body).unwrap(), Next::Send);
    let refused = Exchange::Answered(Answer {
        status: 422,
        body: br#"{"success":false,"errors":[{"code":"A_1104","message":"User not found"}]}"#
            .to_vec(),
        retry_after: None,
        whole: true,
    });
    dispatcher.settle(0, &refused, None, now).unwrap();
    let group = |dispatcher: &Dispatcher<LogStore>| {
        let state = dispatcher.engine.lane_state(0).unwrap();
        state.isolations[0].group
    };
    assert_eq!(group(&dispatcher), 100);
    assert_eq!(erase(&mut dispatcher), (1, 0));
    assert_eq!(group(&dispatcher), 0);
}
