//! The forwarder killed between any two steps, and everything killed at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::tracer::{TraceEvent, Tracer};

use super::host::{Host, new_fleet, users, users_in};

/// A call that leaves the process or its disk: what may have happened or not.
fn is_step(name: &str) -> bool {
    [
        "sendto",
        "sendmsg",
        "writev",
        "pwrite64",
        "renameat",
        "fsync",
        "fdatasync",
        "unlinkat",
    ]
    .contains(&name)
}

/// Runs the command and kills it at its step of this number, before or after the call; `false`: it had fewer.
fn killed_at(host: &Host, step: usize, before: bool) -> bool {
    let mut tracer = Tracer::default();
    let mut command = host.forward(&["--once"]);
    command.env("MEDITOPIA_FORWARD_KEEP_S", "0");
    let pid = tracer.start(command);
    let mut steps = 0;
    while let Some(event) = tracer.next_event() {
        let (call, is_before) = match &event {
            TraceEvent::Ended(ended, status) if *ended == pid => {
                assert!(status.success(), "{status}");
                return false;
            }
            TraceEvent::Ended(..) => continue,
            TraceEvent::Entry(call) => (call, true),
            TraceEvent::Exit(call, _) => (call, false),
        };
        if is_before == before && is_step(&call.name()) {
            steps += 1;
            if steps > step {
                tracer.kill(pid);
                return true;
            }
        }
        tracer.resume(call);
    }
    false
}

#[test]
fn a_forwarder_that_is_killed_between_any_two_steps_loses_and_repeats_nothing() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let mut events = 0;
    // Each number is tried in some run; all runs together are one history of the spool.
    for before in [true, false] {
        let mut step = fastrand::usize(0..3);
        loop {
            host.enqueue(events..events + 3);
            events += 3;
            if !killed_at(&host, step, before) {
                assert!(step > 5, "{step} steps");
                break;
            }
            step += 1 + fastrand::usize(0..4);
        }
    }
    host.forward_once();
    assert_eq!(users_in(server, &database), users(0..events));
    assert_eq!(host.status()["damaged_records"], 0);
}

#[test]
fn nothing_is_lost_or_repeated_while_forwarder_server_and_connections_are_killed() {
    let mut server = PostgresServer::start_with(&["fsync = on"]);
    let database = new_fleet(&server);
    let host = Host::new(&server, &database);
    let ends = AtomicBool::new(false);
    let enqueued = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 0;
            while !ends.load(Ordering::Relaxed) {
                host.enqueue(next..next + 7);
                next += 7;
                std::thread::sleep(Duration::from_millis(2));
            }
            next
        });
        let mut service = host.start();
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(u64::from(fastrand::u8(20..200))));
            match fastrand::u8(0..5) {
                0 => {
                    server.crash();
                    server.run();
                }
                1 | 2 => {
                    service.kill();
                    service = host.start();
                }
                _ => {
                    server.psql(
                        &database,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                           AND query LIKE '%meditopia%'",
                    );
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
        service.kill();
        writer.join().unwrap()
    });
    host.forward_once();
    assert_eq!(users_in(&server, &database), users(0..enqueued));
}
