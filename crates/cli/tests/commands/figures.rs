//! The figures of a spool are exact in every state, and add up: in the table, the JSON, the check, the metrics, the
//! lists and what a flush says.

use std::path::Path;

use meditopia::internals::client::ImportEnd;
use meditopia::internals::clock::wall_ms;
use meditopia::internals::event::{Batch, encode_json};
use meditopia::{Client, Fields};
use meditopia_testkit::meditopia;
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::{Value, json};

use crate::cli::{output, run, run_json, status, stdout, wait_for_status};

/// What became of the events of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    delivered: u64,
    pending: u64,
    in_doubt: u64,
    kept: u64,
}

/// The number that begins the row of the table, or 0 for "none".
fn row(table: &str, name: &str) -> u64 {
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name:<8}  ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{table}"));
    let number: String = line
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .filter(char::is_ascii_digit)
        .collect();
    match line.starts_with("none") {
        true => 0,
        false => number.parse().expect(line),
    }
}

/// The value of a gauge or counter without labels.
fn metric(text: &str, name: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.expect(name).parse().unwrap()
}

/// Reads the figures wherever they are told, which has to be the same everywhere, and checks that the events that were
/// enqueued are all among them.
#[track_caller]
fn assert_adds_up(state: &str, client: &Client, spool: &Path, enqueued: u64) -> Figures {
    let json = status(spool);
    let of_json = |member: &str| json[member].as_u64().expect(member);
    let counts = json["rejected_kept"].as_array().unwrap();
    let figures = Figures {
        delivered: of_json("delivered"),
        pending: of_json("pending"),
        in_doubt: of_json("in_doubt"),
        kept: counts
            .iter()
            .map(|count| count["events"].as_u64().unwrap())
            .sum(),
    };
    assert_eq!(
        figures.delivered + figures.pending + figures.kept,
        enqueued,
        "{state}: {json:#}"
    );
    assert!(figures.in_doubt <= figures.pending, "{state}: {json:#}");
    assert_eq!(json["store_unreadable"], false, "{state}: {json:#}");

    let table = run(&["status"], spool);
    for (name, figure) in [
        ("pending", figures.pending),
        ("in doubt", figures.in_doubt),
        ("rejected", figures.kept),
        ("in all", figures.delivered),
    ] {
        assert_eq!(row(&table, name), figure, "{state}: {name} in\n{table}");
    }
    let said = json["pause_message"].as_str();
    if let Some((_, kept)) = said
        .and_then(|said| said.split_once("; "))
        .filter(|_| said.unwrap().contains(" kept; "))
    {
        assert!(
            kept.contains(&format!("{} event", figures.pending)),
            "{state}: {kept}"
        );
    }

    let checked = stdout(&output(&["status", "--check", "--json"], spool));
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let of_check = &checked["figures"];
    assert_eq!(
        (
            of_check["pending"].as_u64(),
            of_check["in_doubt"].as_u64(),
            of_check["rejected"].as_u64(),
            of_check["delivered"].as_u64()
        ),
        (
            Some(figures.pending),
            Some(figures.in_doubt),
            Some(figures.kept),
            Some(figures.delivered)
        ),
        "{state}: {checked:#}"
    );

    let metrics = client.stats().unwrap().to_prometheus();
    for (name, figure) in [
        ("meditopia_events_pending", figures.pending),
        ("meditopia_events_in_doubt", figures.in_doubt),
        ("meditopia_events_delivered_total", figures.delivered),
        ("meditopia_store_unreadable", 0),
    ] {
        assert_eq!(metric(&metrics, name), figure, "{state}: {name}");
    }

    for (list, figure) in [
        (["pending", "list", "--json"], figures.pending),
        (["in-doubt", "list", "--json"], figures.in_doubt),
        (["rejected", "list", "--json"], figures.kept),
    ] {
        let rows = run_json(&list, spool).len() as u64;
        assert_eq!(rows, figure, "{state}: {list:?}");
    }
    figures
}

/// A flush that is refused says how many events are kept: all that wait, taken over or not.
#[track_caller]
fn assert_flush_says_kept(client: &Client, pending: u64) {
    let (report, outcome) = client.flush(secs(5));
    let error = outcome.expect_err("paused");
    let kept = match pending {
        1 => "; 1 event is kept; ".to_owned(),
        events => format!("; {events} events are kept; "),
    };
    assert!(error.message().contains(&kept), "{error}");
    assert_eq!(report.pending, pending, "{report:?}");
}

#[test]
fn the_figures_add_up_in_every_state_in_text_json_check_metrics_and_lists() {
    let mut api = Sandbox::builder().unknown_user("u-1").start();
    let token = api.token().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, &token).unwrap();
    let spool = TestSpool::for_endpoint(api.endpoint())
        .with("bearer_token_file", file.to_str().unwrap())
        .with("lanes", "1");
    let path = spool.path();
    let client = spool.client();
    let check = |state: &str, enqueued| assert_adds_up(state, &client, &path, enqueued);
    check("fresh", 0);
    client.enqueue_users(0..3);
    assert_eq!(check("waiting", 3).pending, 3);
    client.flush_ok(secs(60));
    let figures = check("rejected", 3);
    assert_eq!((figures.delivered, figures.kept), (2, 1));

    // Sent and not answered; and then answered in a way that settles nothing.
    api.set_fault(json!({ "fault": "delay", "ms": 3_600_000 }));
    client.enqueue_users(10..12);
    let mut sender = meditopia();
    sender
        .args(["flush", "--spool"])
        .arg(&path)
        .env("MEDITOPIA_BEARER_TOKEN_FILE", &file);
    let mut sender = ChildProcess(sender.spawn().unwrap());
    wait_for_status(&path, |status| status["in_doubt"] == 2);
    assert_eq!(check("in flight", 5).in_doubt, 2);
    sender.0.kill().unwrap();
    sender.0.wait().unwrap();
    assert_eq!(check("a sender that died", 5).in_doubt, 2);
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 600 }));
    let _ = client.flush(secs(1));
    client.enqueue_users(20..21);
    let figures = check("in doubt", 6);
    assert_eq!((figures.pending, figures.in_doubt), (3, 2));
    api.clear_faults();
    client.resume().unwrap();
    client.flush_ok(secs(60));
    assert_eq!(check("settled", 6).pending, 0);

    // Each pause, with events that no sender has taken over.
    let mut enqueued = 6;
    let mut pause = |reason: &str, begin: &dyn Fn()| {
        begin();
        client.enqueue_users(30..32);
        let _ = client.flush(secs(5));
        wait_for_status(&path, |status| status["paused"] == reason);
        client.enqueue_users(40..42);
        enqueued += 4;
        assert_eq!(check(reason, enqueued).pending, 4);
        assert_flush_says_kept(&client, 4);
        check(reason, enqueued);
        enqueued
    };
    let go_on = |enqueued: u64| {
        client.resume().unwrap();
        client.flush_ok(secs(60));
        assert_eq!(check("after a pause", enqueued).pending, 0);
    };
    let upto = pause("hold", &|| run(&["hold"], &path).clear());
    go_on(upto);
    let upto = pause("ip", &|| api.refuse_address());
    api.allow_address();
    go_on(upto);
    let upto = pause("misrouted", &|| {
        api.set_fault(json!({ "fault": "login_page" }));
    });
    api.clear_faults();
    go_on(upto);
    let upto = pause("auth", &|| api.revoke_token());
    api.set_token("another");
    std::fs::write(&file, "another").unwrap();
    go_on(upto);
}

#[test]
fn the_figures_add_up_while_an_operator_decides_about_many_rejected_and_expired_events() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "bad-"}]));
    let spool = TestSpool::for_sandbox(&api).with("brake_users", "3");
    let path = spool.path();
    let client = spool.client();
    for user in 0..30 {
        client.enqueue_for(&format!("bad-{user}"), user);
    }
    let _ = client.flush(secs(30));
    assert_eq!(status(&path)["paused"], "mass_rejection");
    client.enqueue_users(0..2);
    let figures = assert_adds_up("mass_rejection", &client, &path, 32);
    assert!(figures.kept >= 3, "{figures:?}");
    assert_flush_says_kept(&client, figures.pending);
    api.set_unknown(json!([]));
    run(&["resume"], &path);
    run(&["rejected", "requeue", "--all"], &path);
    let requeued = assert_adds_up("requeued", &client, &path, 32);
    assert_eq!(requeued.kept, 0);
    client.flush_ok(secs(60));
    assert_eq!(
        assert_adds_up("delivered", &client, &path, 32).delivered,
        32
    );

    let spool = TestSpool::for_sandbox(&api).with("event_ttl_s", "1");
    let client = spool.client();
    client.enqueue_users(0..4);
    let begun = std::time::Instant::now();
    wait_until("the events are too old", || begun.elapsed() > secs(2));
    let (report, _) = client.flush(secs(60));
    assert_eq!(report.expired, 4);
    let figures = assert_adds_up("expired", &client, &spool.path(), 4);
    assert_eq!(figures.kept, 4);
    run(&["rejected", "discard", "--all", "--yes"], &spool.path());
    assert_adds_up("discarded", &client, &spool.path(), 0);
}

#[test]
fn what_waits_is_counted_exactly_before_during_and_after_a_take_over_of_short_and_long_events() {
    const EACH: u64 = 4_000;
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let path = spool.path();
    let client = spool.client();
    let long = "x".repeat(1_500);
    for value in ["1", &long] {
        for number in 0..EACH {
            client
                .enqueue(&Fields {
                    token: "token",
                    partner_user_id: &format!("u-{}", number % 50),
                    event: "video",
                    event_value: Some(value),
                    received_at: None,
                })
                .unwrap();
        }
    }
    let all = 2 * EACH;
    let said = || {
        let seen = status(&path);
        let table = run(&["status"], &path);
        let checked = stdout(&output(&["status", "--check"], &path));
        let check = checked.split("pending=").nth(1).unwrap();
        let check: u64 = check.split(';').next().unwrap().parse().unwrap();
        (
            seen["pending"].as_u64().unwrap(),
            row(&table, "pending"),
            check,
        )
    };
    assert_eq!(said(), (all, all, all));
    assert_eq!(client.stats().unwrap().pending, all);

    // A sender takes over and delivers, slowly; whoever looks meanwhile sees each event once.
    api.set_fault(json!({ "fault": "delay", "ms": 30 }));
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| spool.client().flush(secs(2)));
        while !flush.is_finished() {
            let stats = client.stats().unwrap();
            assert_eq!(stats.pending + stats.delivered, all, "{stats:?}");
        }
        let (report, _) = flush.join().unwrap();
        assert_eq!(report.pending + report.delivered, all, "{report:?}");
        assert!(report.delivered > 0 && report.pending > 0, "{report:?}");
    });
    // What was in flight then may have been answered since.
    let mut left = (0, 0, 0);
    wait_until("the end of what was in flight", || {
        left = said();
        let pending = client.stats().unwrap().pending;
        left == (pending, pending, pending)
    });
    assert!(left.0 > 0);
}

#[test]
fn the_figures_count_what_an_import_has_committed_and_nothing_that_it_has_only_gathered() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    let check = |state, enqueued| assert_adds_up(state, &client, &spool.path(), enqueued);
    let mut import = client.import("night").unwrap();
    let mut batch = Batch::new();
    let event = br#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    encode_json(event, import.rules(), wall_ms(), &mut batch).unwrap();
    import.push(&batch).unwrap();
    check("gathered", 0);
    import.commit("1", ImportEnd::More).unwrap();
    import.push(&batch).unwrap();
    check("committed and gathered", 1);
    client.flush_ok(secs(60));
    assert_eq!(
        check("delivered in the middle of an import", 1).delivered,
        1
    );
    import.commit("2", ImportEnd::Ended).unwrap();
    assert_eq!(check("imported", 2).pending, 1);
}
