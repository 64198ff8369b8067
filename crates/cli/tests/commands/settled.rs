//! That commands settle with whoever sends, and never disturb the election.

use crate::live::{Live, said, status};
use meditopia_testkit::sandbox::Sandbox;

#[test]
fn hold_and_resume_are_carried_out_by_the_running_sender_which_stays_elected() {
    let api = Sandbox::start();
    let live = Live::start(&api);
    live.go_on(100);
    for _ in 0..5 {
        said(&["hold"], &live.spool());
        let held = status(&live.spool());
        assert_eq!(held["paused"], "hold");
        assert_eq!(held["sender"]["pid"], std::process::id());
        let delivered = held["delivered"].as_u64().unwrap();
        live.go_on(50);
        let later = status(&live.spool());
        assert_eq!(later["delivered"], delivered, "{later:#}");
        assert!(later["pending"].as_u64() >= Some(50), "{later:#}");
        let told = said(&["resume"], &live.spool());
        assert!(told.contains("hold"), "{told}");
        assert_eq!(status(&live.spool())["paused"], serde_json::Value::Null);
    }
    let last = status(&live.spool());
    assert_eq!(last["sender"]["pid"], std::process::id());
    live.end_with_all_delivered(&api);
}
