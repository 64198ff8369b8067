//! Drills beside a running service: what each surface says to an operator, and that the advice, typed as it
//! stands, ends the incident with a complete ledger.

use std::fs;
use std::process::Output;

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use crate::fixtures::configured;

/// A spool of which nothing was sent yet.
fn spool_for(api: &Sandbox) -> ConfiguredSpool {
    let spool = configured(api);
    let token = spool.token_file();
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {token:?}"
    ));
    spool
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What follows `advice` on the line of `said` that has it, run as a shell would; `more` is behind it.
fn type_advice(said: &str, advice: &str, more: &[&str]) -> Output {
    let at = said
        .find(advice)
        .unwrap_or_else(|| panic!("{advice}: {said}"));
    let words = said[at..].lines().next().unwrap().split_whitespace();
    let mut command = std::process::Command::new(meditopia_command());
    command.args(words.skip(1)).args(more).env_clear();
    command.output().unwrap()
}

/// The sample of a gauge of the spool.
fn sample(service: &Service, metric: &str) -> Option<f64> {
    let (_, text) = service.get("/metrics");
    let line = text.lines().find(|line| line.starts_with(metric))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_poison_event_pauses_delivery_everywhere_visibly_and_the_advice_as_typed_ends_it() {
    let api = Sandbox::start();
    api.set_unknown(json!([{ "user": "poison", "status": 500, "code": "X_1" }]));
    let spool = spool_for(&api);
    let client = spool.client();
    client.enqueue_users(0..40);
    client.enqueue_for("poison", 40);
    client.enqueue_users(41..60);
    let service = spool.start_service(&[]);
    // Ten server errors in a row, without the waits between them.
    wait_until("delivery pauses", || {
        let (status, body) = service.get("/readyz");
        let is_paused = status == 503 && body.contains("paused (server_error)");
        if !is_paused {
            client.resume().unwrap();
        }
        is_paused
    });

    let status = text(&spool.output("status", &[]));
    assert!(status.contains("server_error"), "{status}");
    assert!(
        status.contains("60 in doubt") || status.contains("60"),
        "{status}"
    );
    let check = spool.output("status", &["--check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    let doctor = spool.output("doctor", &[]);
    assert!(
        !doctor.status.success() && text(&doctor).contains("server_error"),
        "{doctor:?}"
    );
    service.wait_for_answer("/readyz", 503, "paused (server_error)");
    service.wait_for_log("HTTP 500 10 times in a row to the same batch of 60 events");

    let found = type_advice(&status, "meditopia in-doubt bisect", &["--yes"]);
    assert!(found.status.success(), "{found:?}");
    assert!(text(&found).contains("poison"), "{found:?}");
    service.wait_for_answer("/readyz", 200, "sending");
    let listed = type_advice(&text(&found), "meditopia rejected list", &["--json"]);
    assert!(text(&listed).contains("\"poison\""), "{listed:?}");
    wait_until("all others are delivered", || {
        sample(&service, "meditopia_events_pending") == Some(0.0)
    });
    let delivered: std::collections::BTreeSet<String> = api
        .events()
        .into_iter()
        .map(|event| event.fields.partner_user_id)
        .collect();
    assert_eq!(delivered.len(), 59);
    assert_eq!(spool.output("status", &["--check"]).status.code(), Some(0));
}

#[test]
fn a_damaged_journal_rings_until_an_operator_acknowledges_it() {
    let api = Sandbox::start();
    let spool = spool_for(&api);
    let client = spool.client();
    client.enqueue_users(0..3);
    drop(client);
    let names = fs::read_dir(spool.spool().join("journal")).unwrap();
    let segment = names.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"u-1").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let service = spool.start_service(&[]);
    api.wait_for_events(2);
    service.wait_for_log("set aside under damaged/");
    // The alert MeditopiaDamaged is this gauge above 0: bindings/prometheus/meditopia.test.yml.
    let unacknowledged = || sample(&service, "meditopia_damage_unacknowledged");
    wait_until("the gauge has it", || unacknowledged() == Some(1.0));
    service.wait_for_answer("/readyz", 200, "sending");
    let status = text(&spool.output("status", &[]));
    assert!(status.contains("1 damaged records"), "{status}");
    assert!(status.contains("meditopia damaged list"), "{status}");
    let damaged = |name: &str| {
        let mut command = std::process::Command::new(meditopia_command());
        command
            .args(["damaged", name])
            .arg(spool.spool())
            .env_clear();
        command.output().unwrap()
    };
    let list = text(&damaged("list"));
    assert!(list.contains("<= 1"), "{list}");
    let acknowledged = damaged("acknowledge");
    assert!(acknowledged.status.success(), "{acknowledged:?}");
    wait_until("the gauge is silent", || unacknowledged() == Some(0.0));
    assert_eq!(
        sample(&service, "meditopia_journal_damaged_records_total"),
        Some(1.0)
    );
    let after = text(&spool.output("status", &[]));
    assert!(!after.contains("meditopia damaged list"), "{after}");
}
