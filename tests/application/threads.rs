//! Threads of the library, counted: hence one test alone in its process.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::secs;

#[test]
fn an_enqueue_that_races_a_close_leaves_no_thread_behind() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api).with("role", "both");
    for _ in 0..50 {
        let client = host.client();
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
    let waited = std::time::Instant::now();
    let senders = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.map(|task| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        });
        names.filter(|name| name.starts_with("meditopia")).count()
    };
    while senders() > 0 {
        assert!(waited.elapsed() < secs(20), "{} threads", senders());
        std::thread::yield_now();
    }
    host.into_client().flush(secs(10)).1.unwrap();
}
