//! The last request that came to nothing: what an operator sees of it, also after a restart.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use serde_json::{Value, json};

use crate::fixtures::{configured, unused_endpoint};

fn text(spool: &ConfiguredSpool, name: &str, arguments: &[&str]) -> String {
    let output = spool.output(name, arguments);
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn last_failure(spool: &ConfiguredSpool) -> Value {
    let status: Value = serde_json::from_str(&text(spool, "status", &["--json"])).unwrap();
    status["last_failure"].clone()
}

#[test]
fn the_last_failure_is_shown_by_status_doctor_and_readyz_and_survives_a_restart() {
    let api = Sandbox::start();
    let spool = configured(&api);
    assert_eq!(last_failure(&spool), Value::Null);
    let mut service = spool.start_service(&[]);
    service.wait_for_log("elected");
    assert_eq!(last_failure(&spool), Value::Null);

    api.set_fault(json!({"fault": "status", "status": 503, "retry_after": 600}));
    spool.client().enqueue_users(0..7);
    wait_until("the failure is told", || {
        last_failure(&spool) != Value::Null
    });
    let failed = last_failure(&spool);
    assert_eq!(
        (&failed["http_status"], &failed["events"]),
        (&503.into(), &7.into())
    );
    assert_eq!(
        (&failed["message"], &failed["api_code"]),
        (&"HTTP 503".into(), &Value::Null)
    );
    let words = "HTTP 503, for a request of 7 events, ";
    service.wait_for_answer("/readyz", 503, &format!("the last failure: {words}"));
    assert!(text(&spool, "status", &[]).contains(&format!("failed    {words}")));
    assert!(text(&spool, "doctor", &[]).contains(words));

    // A new process knows it, and goes on to know it when requests succeed.
    service.kill();
    assert_eq!(last_failure(&spool), failed);
    api.clear_faults();
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    spool.client().resume().unwrap();
    api.wait_for_events(7);
    spool.client().enqueue_users(7..8);
    api.wait_for_events(8);
    assert_eq!(last_failure(&spool), failed);

    // The next failure takes its place.
    api.refuse_address();
    spool.client().enqueue_users(8..10);
    service.wait_for_answer(
        "/readyz",
        503,
        "(A_1004, HTTP 401), for a request of 2 events",
    );
    assert_eq!(last_failure(&spool)["api_code"], "A_1004");
}

#[test]
fn a_failure_without_an_answer_says_what_was_observed() {
    let spool = ConfiguredSpool::new(&unused_endpoint(), "s3cr3t-t0k3n");
    spool.client().enqueue_users(0..1);
    spool.output("flush", &["--timeout", "1"]);
    let failed = last_failure(&spool);
    assert_eq!(failed["http_status"], Value::Null);
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("refused"), "{message}");
    let table = text(&spool, "status", &[]);
    assert!(table.contains("for a request of 1 event, "), "{table}");
    assert!(!table.contains("s3cr3t"), "{table}");
}
