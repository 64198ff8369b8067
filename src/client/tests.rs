//! Calls of an application while the sender is in the middle of a step that does not end, and in a child
//! that was forked there.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Client;
use super::{ImportEnd, registry};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::event::{Batch, Fields};
use crate::process::tests::in_child;
use crate::sender::Standing;

const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration of a process that sends, and that nobody answers.
fn config(dir: &tempfile::TempDir, token: &str) -> Config {
    let path = dir.path().join("spool");
    let mut config = Config::new();
    config.set("spool", path.to_str().unwrap()).unwrap();
    config.set("endpoint", "http://127.0.0.1:9/").unwrap();
    config.set("bearer_token", token).unwrap();
    config
}

#[test]
fn close_with_0_and_another_client_do_not_wait_for_a_step_of_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::open(&config(&dir, "one")).unwrap();
    let core = client.core().unwrap().clone();
    client.start().unwrap();
    let begun = Instant::now();
    while core.sender.vitals().standing != Standing::Elected {
        assert!(begun.elapsed() < PATIENCE, "it is not elected");
        std::thread::yield_now();
    }

    let (sent, received) = mpsc::channel();
    std::thread::scope(|scope| {
        let returned = core.sender.in_a_long_step(|| {
            scope.spawn(|| {
                let another = Client::open(&config(&dir, "another")).unwrap();
                client.set_bearer_token("third").unwrap();
                // The last one stops the sender.
                let closed = [client, another].map(|client| client.close(Duration::ZERO).is_ok());
                sent.send(closed)
            });
            received.recv_timeout(PATIENCE)
        });
        assert!(returned.is_ok(), "a call waits for the step");
    });
    assert!(core.sender.wait_ended(Instant::now() + PATIENCE));
}

const EVENT: Fields<'_> = Fields {
    token: "token",
    partner_user_id: "user",
    event: "video",
    event_value: None,
    received_at: None,
};

/// What a child does with the client of its parent; says what went wrong.
fn use_in_child(client: &Client) -> Result<(), String> {
    let failed = |e: Error| e.to_string();
    client.enqueue(&EVENT).map_err(failed)?;
    let mut rejected = client.rejected(None, None, 0).map_err(failed)?;
    if rejected.next_row().map_err(failed)?.is_some() {
        return Err("something is rejected".to_owned());
    }
    client.set_bearer_token("of-the-child").map_err(failed)?;
    let (_, flushed) = client.flush(Duration::from_secs(3));
    // Nobody answers, so it has asked.
    match flushed {
        Err(e) if e.kind() == ErrorKind::Timeout && e.message().contains("last request") => {}
        other => return Err(format!("{other:?}")),
    }
    let pending = client.stats().map_err(failed)?.pending;
    if pending != 2 {
        return Err(format!("{pending} are pending"));
    }
    match client.close(Duration::ZERO) {
        Err(e) if e.kind() != ErrorKind::Timeout => Err(failed(e)),
        _ => Ok(()),
    }
}

#[test]
fn a_child_enqueues_sends_lists_and_closes_while_threads_of_its_parent_hold_every_lock() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::open(&config(&dir, "one")).unwrap();
    let core = client.core().unwrap().clone();
    client.enqueue(&EVENT).unwrap();
    let begun = Instant::now();
    while core.sender.vitals().standing != Standing::Elected {
        assert!(begun.elapsed() < PATIENCE, "it is not elected");
        std::thread::yield_now();
    }
    // From here on the parent does not send, so the child has to.
    assert!(client.close(Duration::ZERO).is_err());
    assert!(core.sender.wait_ended(Instant::now() + PATIENCE));
    let client = Client::open(&config(&dir, "one")).unwrap();
    let core = client.core().unwrap().clone();

    let mut worked = false;
    let _ = core.writer.append(|_, _| {
        worked = registry::while_locked(|| {
            core.sender.while_locked(|| {
                in_child(|| {
                    let used = use_in_child(&client);
                    if let Err(why) = &used {
                        let _ = writeln!(std::io::stderr(), "in the child: {why}");
                    }
                    used.is_ok()
                })
            })
        });
        Err(Error::new(ErrorKind::InvalidArgument, "nothing to append"))
    });
    assert!(worked);
}

#[test]
fn an_import_whose_lock_the_application_has_closed_queues_nothing_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir, "one");
    config.set("role", "enqueue").unwrap();
    let client = Client::open(&config).unwrap();
    let mut batch = Batch::new();
    let event = br#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    let mut import = client.import("users").unwrap();
    crate::event::encode_json(event, import.rules(), crate::clock::wall_ms(), &mut batch).unwrap();
    import.push(&batch).unwrap();

    let imports = dir.path().join("spool").join("import");
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let is_lock = |fd: &std::path::PathBuf| {
        std::fs::read_link(fd).is_ok_and(|open| open.parent() == Some(&imports))
    };
    let lock = open.map(|entry| entry.unwrap().path()).find(is_lock);
    let number = lock.unwrap().file_name().unwrap().to_str().unwrap().parse();
    let of_application = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: puts a file in the place of the library's, as an application may.
    let taken = unsafe { libc::dup2(of_application.as_raw_fd(), number.unwrap()) };
    assert!(taken >= 0);

    let refused = import.commit("1", ImportEnd::Ended).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(
        refused.message().contains("open the import again"),
        "{refused}"
    );
    drop(import);
    assert_eq!(client.stats().unwrap().pending, 0);
    let mut import = client.import("users").unwrap();
    assert_eq!(import.checkpoint(), None);
    import.push(&batch).unwrap();
    import.commit("1", ImportEnd::Ended).unwrap();
    assert_eq!(client.stats().unwrap().pending, 1);
    // SAFETY: closes what this test has put there; it is still open.
    assert_eq!(unsafe { libc::close(taken) }, 0);
}

#[test]
fn an_import_that_is_forgotten_is_a_new_one_and_what_it_has_queued_stays_queued() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir, "one");
    config.set("role", "enqueue").unwrap();
    let client = Client::open(&config).unwrap();
    let mut batch = Batch::new();
    let event = br#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    for (name, end) in [("ended", ImportEnd::Ended), ("open", ImportEnd::More)] {
        let mut import = client.import(name).unwrap();
        let now = crate::clock::wall_ms();
        batch.clear();
        crate::event::encode_json(event, import.rules(), now, &mut batch).unwrap();
        import.push(&batch).unwrap();
        import.commit("7", end).unwrap();
        // What is gathered and not committed is dropped with it.
        import.push(&batch).unwrap();
    }
    let known = || {
        let all = client.imports().unwrap();
        let all = all.into_iter();
        let all = all.map(|one| (one.name, one.checkpoint, one.ended_ms.is_some()));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    };
    let of = |name: &str, has_ended| (name.to_owned(), "7".to_owned(), has_ended);
    assert_eq!(known(), [of("ended", true), of("open", false)]);
    client.import("open").unwrap().forget().unwrap();
    assert_eq!(known(), [of("ended", true)]);
    assert_eq!(client.import("open").unwrap().checkpoint(), None);
    assert_eq!(client.stats().unwrap().pending, 2);
}

/// A client whose log callback blocks until a byte is sent, and the ends of that.
fn client_with_slow_callback(
    dir: &tempfile::TempDir,
) -> (Client, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let client = Client::open(&config(dir, "one")).unwrap();
    let (entered_in, entered) = mpsc::channel();
    let (go_on, gate) = mpsc::channel();
    let gate = std::sync::Mutex::new(gate);
    let slow = move |_: &crate::log::Record| {
        entered_in.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    };
    client.set_log_callback(Some(Box::new(slow))).unwrap();
    (client, entered, go_on)
}

#[test]
fn a_close_that_another_thread_has_begun_is_waited_for_by_a_second_close_and_by_the_free() {
    for second in [
        (|client| assert!(client.close(PATIENCE).is_ok())) as fn(&Client),
        Client::close_before_free,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (client, entered, go_on) = client_with_slow_callback(&dir);
        let core = client.core().unwrap().clone();
        let (ended_in, ended) = mpsc::channel();
        let (client, log, ended_in) = (&client, &core.log, &ended_in);
        let mut early = None;
        std::thread::scope(|scope| {
            scope.spawn(|| log.error(format_args!("slow")));
            entered.recv_timeout(PATIENCE).unwrap();
            scope.spawn(move || {
                client.close(Duration::ZERO).unwrap();
                ended_in.send("first").unwrap();
            });
            while client.core().is_ok() {
                std::thread::yield_now();
            }
            scope.spawn(move || {
                second(client);
                ended_in.send("second").unwrap();
            });
            early = ended.recv_timeout(Duration::from_millis(200)).ok();
            go_on.send(()).unwrap();
        });
        assert_eq!(early, None);
        assert_eq!(ended.try_iter().count(), 2);
        assert!(client.close(Duration::ZERO).is_ok());
    }
}

#[test]
fn a_second_close_returns_at_its_deadline_and_the_callback_does_not_run_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::open(&config(&dir, "one")).unwrap();
    client.enqueue(&EVENT).unwrap();
    let core = client.core().unwrap().clone();
    let (client, calls) = (&client, std::sync::atomic::AtomicUsize::new(0));
    let calls = std::sync::Arc::new(calls);
    let counted = calls.clone();
    let count = move |_: &crate::log::Record| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    };
    client.set_log_callback(Some(Box::new(count))).unwrap();
    std::thread::scope(|scope| {
        // Nobody answers, so it waits for as long as it may.
        scope.spawn(|| client.close(Duration::from_secs(2)));
        while client.core().is_ok() {
            std::thread::yield_now();
        }
        let refused = client.close(Duration::from_millis(50)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Timeout);
        assert!(refused.message().contains("still closing"), "{refused}");
        let before = calls.load(std::sync::atomic::Ordering::SeqCst);
        core.log.error(format_args!("after it"));
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), before);
    });
    // A child has no thread that closes it.
    assert!(in_child(|| client.close(PATIENCE).is_ok()));
}

#[test]
fn a_close_within_the_log_callback_does_not_wait_for_the_close_that_waits_for_the_callback() {
    let dir = tempfile::tempdir().unwrap();
    let client = std::sync::Arc::new(Client::open(&config(&dir, "one")).unwrap());
    let core = client.core().unwrap().clone();
    let (entered_in, entered) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let (ended_in, ended) = mpsc::channel();
    let gate = std::sync::Mutex::new(gate);
    let within = std::sync::Arc::downgrade(&client);
    let close = move |_: &crate::log::Record| {
        entered_in.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
        let closed = within
            .upgrade()
            .map(|client| client.close(PATIENCE).is_ok());
        ended_in.send(closed).unwrap();
    };
    client.set_log_callback(Some(Box::new(close))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| core.log.error(format_args!("closes")));
        entered.recv_timeout(PATIENCE).unwrap();
        scope.spawn(|| client.close(Duration::ZERO));
        while client.core().is_ok() {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
    });
    assert_eq!(ended.try_recv(), Ok(Some(true)));
}

#[test]
fn a_child_that_closes_a_closed_client_again_leaves_no_client_behind() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::open(&config(&dir, "one")).unwrap();
    client.close(Duration::ZERO).unwrap();
    let mut other = config(&dir, "one");
    other.set("role", "enqueue").unwrap();
    assert!(in_child(|| {
        client.close(Duration::ZERO).is_ok() && Client::open(&other).is_ok()
    }));
}
