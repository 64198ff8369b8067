//! Steps that must not become long: each is a commit of its own, and the store is free in between.

mod any_store;
mod erasure;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::SUSPECTS_REMEMBERED;
use super::{Command, Dispatcher, Next, Options, in_steps};
use crate::clock::{self, Moment};
use crate::config::BearerToken;
use crate::delivery::Policy;
use crate::error::PauseReason;
use crate::exchange::{Answer, Exchange};
use crate::log::Log;
use crate::spool::tests::new_spool;
use crate::store::LogStore;
use crate::store::{
    Change, Place, Rejected, RejectedFilter, RejectedReason, Run, Store, Suspect, Totals,
};

const REGULAR: Place = Place { lane: 0, queue: 0 };
const HOUR_MS: i64 = 3_600_000;

struct Opened {
    _dir: tempfile::TempDir,
    store: LogStore,
}

fn store() -> Opened {
    let (dir, spool) = new_spool();
    let store = LogStore::open(&spool).unwrap();
    Opened { _dir: dir, store }
}

fn commit(store: &mut LogStore, changes: &[Change<'_>]) {
    store.commit(changes).unwrap();
}

fn dispatcher(store: LogStore, event_ttl: Option<Duration>) -> Dispatcher<LogStore> {
    let options = Options {
        policy: Policy {
            flush_interval: Duration::from_millis(1),
            ..Policy::default()
        },
        event_ttl,
        receipts_kept: None,
    };
    Dispatcher::open(Box::new(store), options, Arc::new(Log::new(None))).unwrap()
}

fn fragment(user: &str) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}}"#
    )
}

fn waiting(runs: usize, events: usize, enqueued_ms: i64) -> Vec<Run> {
    let mut run = Run::default();
    for _ in 0..events {
        run.push(fragment("u").as_bytes(), enqueued_ms);
    }
    vec![run; runs]
}

fn fill(store: &mut LogStore, runs: &[Run]) {
    let events = runs.iter().map(|run| run.slots.len() as u64).sum();
    let totals = Totals {
        pending: events,
        ..Totals::default()
    };
    let mut changes = vec![Change::Lanes(1)];
    changes.extend(runs.iter().map(|run| Change::Append {
        place: REGULAR,
        origin: None,
        run,
    }));
    changes.push(Change::Totals(&totals));
    commit(store, &changes);
}

fn next(dispatcher: &mut Dispatcher<LogStore>, now: Moment) -> Next {
    let mut body = Vec::new();
    dispatcher
        .in_one_commit(0, |dispatcher| dispatcher.next(0, now, &mut body))
        .unwrap()
}

/// The events that the API has accepted, by their numbers. Of each user, the first deliveries have to be in
/// the order in which they were enqueued.
pub(crate) fn accepted_in_order<U: Ord + Debug>(accepted: &[(U, u32)]) -> BTreeSet<u32> {
    let mut first = BTreeSet::new();
    let mut by_user: BTreeMap<&U, Vec<u32>> = BTreeMap::new();
    for (user, number) in accepted {
        if first.insert(*number) {
            by_user.entry(user).or_default().push(*number);
        }
    }
    for (user, numbers) in by_user {
        assert!(numbers.is_sorted(), "{user:?} out of order: {numbers:?}");
    }
    first
}

#[test]
fn a_backlog_expires_in_many_commits_and_nothing_of_it_is_sent() {
    const EVENTS: u64 = 40_000;
    let mut opened = store();
    let now = clock::now();
    let runs = waiting(EVENTS as usize / 100, 100, now.wall_ms - HOUR_MS);
    fill(&mut opened.store, &runs);
    let mut dispatcher = dispatcher(opened.store, Some(Duration::from_secs(60)));
    let mut steps = 0;
    let mut expired = 0;
    while expired < EVENTS {
        assert_ne!(next(&mut dispatcher, now), Next::Send);
        let step = dispatcher.totals.expired - expired;
        assert!((1..EVENTS / 2).contains(&step), "{step} in one commit");
        expired += step;
        steps += 1;
    }
    assert!(steps > 2, "{steps}");
    assert_eq!(next(&mut dispatcher, now), Next::Idle);
    assert_eq!(dispatcher.totals.pending, 0);
}

#[test]
fn suspects_of_whom_nothing_waits_are_forgotten_beyond_some_thousands() {
    let mut opened = store();
    fill(&mut opened.store, &waiting(1, 1, 1));
    let before: Vec<Suspect> = (0..SUSPECTS_REMEMBERED)
        .map(|number| Suspect {
            user: format!("idle-{number}").into_bytes(),
            lane: 0,
            waiting: 0,
            accepted: false,
        })
        .collect();
    let changes: Vec<_> = before.iter().map(Change::Suspect).collect();
    commit(&mut opened.store, &changes);
    let mut dispatcher = dispatcher(opened.store, None);
    let now = clock::now();
    assert_eq!(next(&mut dispatcher, now), Next::Send);
    let refusal = br#"{"success":false,"errors":[{"code":"A_1104","message":"User not found."}]}"#;
    let answer = Exchange::Answered(Answer {
        status: 404,
        body: refusal.to_vec(),
        retry_after: None,
        whole: true,
    });
    dispatcher.settle(0, &answer, None, now).unwrap();
    assert_eq!(dispatcher.totals.rejected, 1);
    let kept = dispatcher.store.suspects();
    assert_eq!(kept.len(), SUSPECTS_REMEMBERED);
    assert!(kept.iter().any(|suspect| suspect.user == b"u"));
}

#[test]
fn a_command_for_many_rejected_events_is_taken_in_steps() {
    const ROWS: usize = 2_500;
    let mut opened = store();
    let rejected = Rejected {
        user: "u".to_owned(),
        event: fragment("u").into_bytes(),
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: "A_1104".to_owned(),
        message: String::new(),
        http_status: Some(404),
        attempts: 1,
        first_ms: 1,
        last_ms: 1,
    };
    commit(&mut opened.store, &vec![Change::Reject(&rejected); ROWS]);
    let mut dispatcher = dispatcher(opened.store, None);
    let command = Command::DiscardMatching {
        filter: RejectedFilter::default(),
        upto: ROWS as i64 - 1,
    };
    let mut steps = 0;
    let changed = in_steps(&command, |step| {
        steps += 1;
        dispatcher.carry_out(step, clock::now()).map(Some)
    });
    assert_eq!(changed.unwrap(), Some(ROWS - 1));
    assert_eq!(steps, 3);
    let left = dispatcher
        .store
        .rejected_matching(&RejectedFilter::default(), ROWS);
    assert_eq!(left.unwrap().len(), 1);
}

#[test]
fn a_pause_without_a_token_is_no_pause_for_the_token_that_was_refused_before() {
    let mut opened = store();
    fill(&mut opened.store, &waiting(1, 1, 1));
    let mut dispatcher = dispatcher(opened.store, None);
    let now = clock::now();
    assert_eq!(next(&mut dispatcher, now), Next::Send);
    let answer = Exchange::Answered(Answer {
        status: 401,
        body: br#"{"success":false,"errors":[{"code":"A_1000","message":"Bad token."}]}"#.to_vec(),
        retry_after: None,
        whole: true,
    });
    let token = BearerToken::new("refused").unwrap();
    dispatcher.settle(0, &answer, Some(&token), now).unwrap();
    let fingerprint = |dispatcher: &Dispatcher<LogStore>| {
        let pause = dispatcher.pause_state().unwrap();
        assert_eq!(pause.reason, PauseReason::Auth);
        pause.fingerprint
    };
    assert!(fingerprint(&dispatcher).is_some_and(|known| token.has_fingerprint(&known)));

    dispatcher.carry_out(&Command::Resume, now).unwrap();
    dispatcher.token_missing("no bearer token", now).unwrap();
    assert_eq!(fingerprint(&dispatcher), None);
}
