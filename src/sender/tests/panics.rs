//! Panics: a thread of the sender starts anew, nothing is lost, and it still ends when asked to; and a
//! caller's panic does not keep the sender running.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{BearerToken, CurrentToken, TokenSource};
use crate::delivery::Policy;
use crate::dispatch;
use crate::log::{Level, Log};
use crate::sender::vitals::Thread;
use crate::sender::{Sender, SenderOptions};
use crate::spool::{Destination, NetworkFileSystem, Spool};
use crate::store::LogStore;
use crate::store::{Change, CommitSafety, Place, Run, Store, Totals};
use crate::transport;
use crate::transport::tests::server::Server;

pub(in crate::sender) const PATIENCE: Duration = Duration::from_secs(60);
pub(in crate::sender) const EVENT: &[u8] = br#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;

/// A spool in which one event waits, and a sender of it that does not run yet.
pub(in crate::sender) fn one_event_for(
    server: &Server,
    dir: &tempfile::TempDir,
    log: &Arc<Log>,
) -> Sender {
    let spool = open_spool(server, dir);
    let mut run = Run::default();
    run.push(EVENT, crate::clock::wall_ms());
    let append = Change::Append {
        place: Place { lane: 0, queue: 0 },
        origin: None,
        run: &run,
    };
    let totals = Totals {
        pending: 1,
        pending_bytes: EVENT.len() as u64,
        ..Totals::default()
    };
    let changes = [Change::Lanes(1), append, Change::Totals(&totals)];
    let mut store = LogStore::open(&spool).unwrap();
    store.commit(&changes).unwrap();
    drop(store);
    let token = TokenSource::Given(BearerToken::new("token").unwrap());
    sender_of(spool, server, &token, log)
}

/// The spool in `dir`, as another process opens it.
pub(in crate::sender) fn open_spool(server: &Server, dir: &tempfile::TempDir) -> Arc<Spool> {
    let endpoint = server.http();
    let destination = Destination {
        endpoint: &endpoint,
        account: "",
    };
    let path = dir.path().join("spool");
    Arc::new(Spool::open(&path, destination, NetworkFileSystem::Refuse).unwrap())
}

/// A sender with a token of its own that does not run yet.
pub(in crate::sender) fn sender_of(
    spool: Arc<Spool>,
    server: &Server,
    token: &TokenSource,
    log: &Arc<Log>,
) -> Sender {
    let options = SenderOptions {
        dispatch: dispatch::Options {
            policy: Policy {
                flush_interval: Duration::from_millis(1),
                ..Policy::default()
            },
            event_ttl: None,
            receipts_kept: None,
        },
        safety: CommitSafety::Process,
    };
    let token = CurrentToken::from_source(token);
    let connection = transport::Options::new(server.http());
    let interval = options.dispatch.policy.flush_interval;
    Sender::new(spool, log.clone(), options, connection, token, interval)
}

#[test]
fn a_caller_that_panics_leaves_no_sender_running() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _wanted = sender.want().unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(
        sender.wait_ended(Instant::now() + PATIENCE),
        "it does not end"
    );
    assert!(!sender.shared.threads.is_wanted() && !sender.shared.threads.is_coordinating());
}

#[test]
fn a_thread_that_panicked_starts_anew_delivers_and_ends_when_asked_to() {
    for thread in [Thread::Coordinator, Thread::Lane(0)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
        let log = Arc::new(Log::new(Some(Level::Warn)));
        let sender = one_event_for(&server, &dir, &log);
        sender.shared.liveness.panic_at_next_report(thread);
        let wanted = sender.want().unwrap();
        let begun = Instant::now();
        while sender
            .sums(Instant::now() + PATIENCE)
            .is_none_or(|sums| sums.delivered == 0)
        {
            assert!(begun.elapsed() < PATIENCE, "{thread:?}: not delivered");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.requests().len(), 1);
        let said = log.next().expect("a panic is told");
        assert!(
            said.message
                .contains("the sender panicked: panics on purpose"),
            "{}",
            said.message
        );
        drop(wanted);
        assert!(
            sender.wait_ended(Instant::now() + PATIENCE),
            "{thread:?}: it does not end"
        );
    }
}

#[test]
fn a_panic_while_the_next_ledger_is_made_durable_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let shared = &sender.shared;
    let has_panicked = std::cell::Cell::new(false);
    shared.run_again_after_panics(|| {
        if !has_panicked.replace(true) {
            shared.session_now().begin_ledger_change();
            panic!("on purpose");
        }
    });
    assert!(shared.session_until(Instant::now() + PATIENCE).is_ok());
}
