//! The threads that the library starts in a process.

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::child::run_in_child;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{secs, wait_until};

#[test]
fn an_enqueue_that_races_a_close_leaves_no_thread_behind() {
    run_in_child(|| {
        let api = Sandbox::start();
        let spool = TestSpool::for_sandbox(&api).with("role", "both");
        for _ in 0..50 {
            let client = spool.client();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..20 {
                        let _ = client.enqueue_json(
                            format!(r#"{{"token":"t","partner_user_id":"v","event":"video","event_value":{number}}}"#)
                                .as_bytes(),
                        );
                    }
                });
                scope.spawn(|| client.close(secs(5)));
            });
        }
        let waited = wait_until("no thread of the library is left", || sender_threads() == 0);
        assert!(waited < secs(20), "after {waited:?}");
        spool.into_client().flush(secs(10)).1.unwrap();
    });
}

/// Nobody else's processes count against its limit.
const LONELY_USER: u32 = 54_917;

#[test]
fn a_process_that_may_start_no_thread_is_told_so_by_flush_and_close_while_its_events_wait() {
    if !is_root() {
        report_skip("only root can run a program as another user");
        return;
    }
    let user = LONELY_USER.to_string();
    // No thread at all, and one that cannot start the others.
    for (threads, enqueued) in [(1, 3), (2, 3), (1, 0)] {
        let api = Sandbox::start();
        let program = CProgram::compile_for_any_user("status_client.c");
        let home = program.dir().join("home");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(LONELY_USER), Some(LONELY_USER)).unwrap();
        let spool = home.join("spool");
        let options = [("spool", spool.to_str().unwrap()), ("role", "both")];
        let program = program.with_config(&api, &options);
        let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
        let limit = format!("--nproc={threads}");
        let as_user = ["setpriv", &uid, &gid, "--clear-groups"];
        let limited = [&as_user[..], &["prlimit", &limit]].concat();
        let mut client = StatusClient::start(program.command_under(&limited, &[]));
        for number in 0..enqueued {
            client.enqueue("u-1", number);
        }
        let why = "start of a thread that sends";
        if enqueued > 0 {
            let flushed = client.ask("flush 1500");
            assert!(flushed.status.starts_with("ERROR_"), "{flushed:?}");
            assert!(flushed.message.contains(why), "{flushed:?}");
        }
        let closed = client.ask("close 1500");
        assert_eq!(closed.count, enqueued);
        match enqueued {
            // There was nothing to send.
            0 => closed.assert_status("OK"),
            _ if threads == 1 => closed.assert_status("ERROR_IO"),
            _ => closed.assert_status("ERROR_TIMEOUT"),
        };
        assert!(enqueued == 0 || closed.message.contains(why), "{closed:?}");
        // What waits is delivered by a process that may.
        drop(client);
        let mut next = StatusClient::start(program.command_under(&as_user, &[]));
        assert_eq!(next.flush().assert_status("OK").count, enqueued);
    }
}

#[test]
fn a_thread_that_cannot_be_started_is_said_once_and_enqueues_do_not_try_again_each_time() {
    if !is_root() {
        report_skip("only root can run a program as another user");
        return;
    }
    run_in_child(|| {
        let api = Sandbox::start();
        let spool = TestSpool::for_sandbox(&api).with("role", "both");
        // Read before the rights are gone; this process is not root any more after it.
        let above = spool.path().parent().unwrap().to_owned();
        std::os::unix::fs::chown(above, Some(LONELY_USER + 1), None).unwrap();
        let limit = rustix::process::Rlimit {
            current: Some(1),
            maximum: Some(1),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nproc, limit).unwrap();
        // SAFETY: takes the rights of this process, which ends with the test.
        assert_eq!(unsafe { libc::setuid(LONELY_USER + 1) }, 0);
        let client = spool.client();
        client.enqueue_users(0..100);
        let records = std::iter::from_fn(|| client.log_next().unwrap());
        let said = records
            .filter(|record| record.message.contains("start of a thread"))
            .count();
        assert_eq!(said, 1);
    });
}

/// The number of threads of this process that the library has started.
fn sender_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| {
        // A thread that has just ended has no name any more.
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    });
    names.filter(|name| name.starts_with("meditopia")).count()
}
