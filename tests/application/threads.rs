//! The threads that the library starts in a process.

use meditopia_testkit::child::run_in_child;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
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

/// The number of threads of this process that the library has started.
fn sender_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| {
        // A thread that has just ended has no name any more.
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    });
    names.filter(|name| name.starts_with("meditopia")).count()
}
