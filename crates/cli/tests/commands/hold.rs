//! `meditopia hold` and `resume` beside a running sender.

use meditopia_testkit::sandbox::Sandbox;

use crate::cli::{run, status};
use crate::live_spool::LiveSpool;

#[test]
fn a_running_sender_carries_out_hold_and_resume_and_stays_elected() {
    let api = Sandbox::start();
    let live = LiveSpool::start(&api);
    live.wait_for_enqueued(100);
    for _ in 0..5 {
        run(&["hold"], &live.path());
        let held = status(&live.path());
        assert_eq!(held["paused"], "hold");
        assert_eq!(held["sender"]["pid"], std::process::id());
        let delivered = held["delivered"].as_u64().unwrap();
        live.wait_for_enqueued(50);
        let later = status(&live.path());
        assert_eq!(later["delivered"], delivered, "{later:#}");
        assert!(later["pending"].as_u64() >= Some(50), "{later:#}");
        let resumed = run(&["resume"], &live.path());
        assert!(resumed.contains("hold"), "{resumed}");
        assert_eq!(status(&live.path())["paused"], serde_json::Value::Null);
    }
    let last = status(&live.path());
    assert_eq!(last["sender"]["pid"], std::process::id());
    live.end_with_all_delivered(&api);
}
