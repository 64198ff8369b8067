//! The sandbox held to the API's rules, to a truthful ledger, and to the life of its process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c_host;
mod sandbox;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use c_host::Program;
use sandbox::Sandbox;
use sandbox::wire::{Caller, event_of, events_of, numbered, request, request_with};
use serde_json::{Value, json};

#[test]
fn a_good_request_is_answered_204_without_a_body_and_its_events_are_listed_in_order() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);

    let first = caller.post(&sandbox, &numbered(100));
    assert_eq!((first.status, first.body.as_str()), (204, ""));
    assert!(!first.head.contains("content-type"), "{}", first.head);
    caller.post(&sandbox, &events_of(["x"]));

    let events = sandbox.events();
    let users: Vec<&str> = events
        .iter()
        .map(|event| event.fields.partner_user_id.as_str())
        .collect();
    let expected: Vec<String> = (0..100)
        .map(|number| format!("u-{number}"))
        .chain(["x".to_owned()])
        .collect();
    assert_eq!(users, expected);
    assert!(events.iter().map(|event| event.sequence).eq(1..=101));
    assert_eq!((events[99].request, events[100].request), (1, 2));
    assert_eq!(events[100].text, event_of("x"));
}

#[test]
fn the_bearer_token_is_checked_before_everything_else() {
    let sandbox = Sandbox::builder().token("good").start();
    sandbox.refuse_address();
    let mut caller = Caller::new(&sandbox);
    let mut ask = |headers: &str| {
        caller.say(&request_with(headers, "not JSON"));
        caller.hear().refusal()
    };

    assert_eq!(ask(""), (401, "A_1000".into()));
    for malformed in [
        "good",
        "Bearer",
        "Bearer ",
        "Basic good",
        "Bearer good more",
    ] {
        assert_eq!(
            ask(&format!("authorization: {malformed}\r\n")),
            (401, "A_1001".into()),
            "{malformed}"
        );
    }
    assert_eq!(ask("authorization: Bearer bad\r\n"), (401, "A_1002".into()));
    assert_eq!(
        ask("authorization: Bearer good\r\n"),
        (401, "A_1004".into())
    );
    sandbox.allow_address();
    assert_eq!(
        ask("authorization: Bearer good\r\n"),
        (422, "A_1100".into())
    );
    assert_eq!(
        ask("authorization: bearer good\r\ncontent-type: application/json\r\n"),
        (422, "A_1101".into())
    );
}

#[test]
fn a_token_can_be_revoked_and_replaced_while_it_runs() {
    let mut sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    let old = request(&sandbox, &numbered(1));
    sandbox.revoke_token();
    caller.say(&old);
    assert_eq!(caller.hear().refusal(), (401, "A_1002".into()));

    sandbox.set_token("new");
    caller.say(&old);
    assert_eq!(caller.hear().refusal(), (401, "A_1002".into()));
    assert_eq!(caller.post(&sandbox, &numbered(1)).status, 204);
    assert!(
        sandbox.try_put("token", &json!({})).is_err(),
        "nothing said is not a revocation"
    );
    assert_eq!(caller.post(&sandbox, &numbered(1)).status, 204);
}

#[test]
fn a_revoked_token_can_be_restored_by_who_does_not_know_it() {
    let mut sandbox = Sandbox::start();
    sandbox.set_token("second");
    let mut caller = Caller::new(&sandbox);
    sandbox.put("token", &json!({ "revoked": true }));
    assert_eq!(caller.post(&sandbox, &numbered(1)).code(), "A_1002");
    assert_eq!(sandbox.get::<Value>("token"), json!({ "token": null }));
    sandbox.put("token", &json!({ "revoked": false }));
    assert_eq!(caller.post(&sandbox, &numbered(1)).status, 204);
    for both in [
        json!({ "token": "a", "revoked": true }),
        json!({ "revoked": null }),
    ] {
        assert!(sandbox.try_put("token", &both).is_err(), "{both}");
    }
}

#[test]
fn a_shell_learns_where_to_deliver_from_the_environment_it_is_given() {
    let sandbox = Sandbox::builder().token("it's $HOME").start();
    let script = r#"eval "$(curl -s "$0/environment")"; printf '%s %s' "$MEDITOPIA_ENDPOINT" "$MEDITOPIA_BEARER_TOKEN""#;
    let ran = Command::new("sh")
        .args(["-c", script, sandbox.control()])
        .output()
        .unwrap();
    let expected = format!("{} it's $HOME", sandbox.endpoint());
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
}

#[test]
fn users_become_unknown_and_known_one_by_one() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(json!(["a", { "prefix": "bad-" }]));
    let change = |document: Value| sandbox.try_patch("users", &document);
    change(json!({ "unknown": [{ "user": "a", "status": 422 }, "b"], "known": ["nobody"] }))
        .unwrap();
    let mut caller = Caller::new(&sandbox);
    let mut status_of = |user: &str| caller.post(&sandbox, &events_of([user])).status;
    assert_eq!(
        ["a", "b", "bad-1", "c"].map(&mut status_of),
        [422, 404, 404, 204]
    );

    change(json!({ "known": ["a", "b"] })).unwrap();
    assert_eq!(["a", "b", "bad-1"].map(&mut status_of), [204, 204, 404]);
    let refused = change(json!({ "known": ["bad-1"] })).unwrap_err();
    assert!(
        refused.contains(r#""bad-1" is unknown by the prefix "bad-""#),
        "{refused}"
    );
    change(json!({ "known": [{ "prefix": "bad-" }] })).unwrap();
    assert_eq!(status_of("bad-1"), 204);
    assert_eq!(sandbox.get::<Value>("users"), json!({ "unknown": [] }));
    for bad in [
        json!({ "unknwon": ["a"] }),
        json!({ "known": [{ "user": "a", "prefix": "b" }] }),
    ] {
        assert!(change(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_request_carries_1_to_100_events() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    assert_eq!(
        caller.post(&sandbox, &numbered(0)).refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(
        caller.post(&sandbox, &numbered(101)).refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(caller.post(&sandbox, &numbered(100)).status, 204);
    assert_eq!(sandbox.ledger().accepted_events, 100);
}

#[test]
fn one_bad_event_refuses_the_whole_request_without_being_named() {
    let sandbox = Sandbox::builder().unknown_user("u-17").start();
    let mut caller = Caller::new(&sandbox);

    let unknown = caller.post(&sandbox, &numbered(100));
    assert_eq!(unknown.refusal(), (404, "A_1104".into()));
    assert!(!unknown.body.contains("17"), "{}", unknown.body);

    let invalid = caller.post(&sandbox, &numbered(10).replacen("video", "login", 1));
    assert_eq!(invalid.refusal(), (422, "A_1103".into()));
    assert_eq!(sandbox.ledger().accepted_events, 0);

    sandbox.set_unknown_users(Vec::<String>::new());
    assert_eq!(caller.post(&sandbox, &numbered(100)).status, 204);
}

#[test]
fn users_may_be_unknown_by_prefix_and_each_in_its_own_way() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(
        json!(["u-1", { "prefix": "bad-", "status": 422, "code": "A_1200", "message": "No." }]),
    );
    let mut caller = Caller::new(&sandbox);
    assert_eq!(
        caller.post(&sandbox, &events_of(["u-1"])).refusal(),
        (404, "A_1104".into())
    );
    let refused = caller.post(&sandbox, &events_of(["u-2", "bad-9"]));
    assert_eq!(refused.refusal(), (422, "A_1200".into()));
    assert!(refused.body.contains("No."));
    assert_eq!(
        caller
            .post(&sandbox, &events_of(["u-2", "u-10", "bad"]))
            .status,
        204
    );
}

#[test]
fn any_other_method_or_path_is_an_html_page() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    for line in [
        "GET /default/v1/events",
        "POST /",
        "POST /default/v1/event",
        "PUT /default/v1/events",
    ] {
        caller.say(&format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        ));
        let heard = caller.hear();
        assert_eq!(heard.status, 404, "{line}");
        assert!(
            heard.head.contains("content-type: text/html") && heard.body.starts_with("<html>"),
            "{line}"
        );
    }
    assert_eq!(sandbox.ledger().outcome("not_found"), 4);
}

// ---- the ledger ----

#[test]
fn the_ledger_counts_duplicates_and_sees_the_same_bytes_again() {
    let sandbox = Sandbox::builder().unknown_user("bad").start();
    let mut caller = Caller::new(&sandbox);
    for body in [numbered(3), numbered(3), numbered(4), events_of(["bad"])] {
        caller.post(&sandbox, &body);
    }
    Caller::new(&sandbox).post(&sandbox, &numbered(3));

    let summary = sandbox.ledger();
    assert_eq!(
        (summary.requests, summary.accepted_requests, summary.refused),
        (5, 4, 1)
    );
    assert_eq!((summary.accepted_events, summary.distinct_events), (13, 4));
    assert_eq!(
        (summary.connections, summary.faults, summary.code("A_1104")),
        (2, 0, 1)
    );

    let requests = sandbox.requests();
    let attempts: Vec<u32> = requests.iter().map(|request| request.attempt).collect();
    assert_eq!(attempts, [1, 2, 1, 1, 3]);
    assert_eq!(requests[0].body_hash, requests[4].body_hash);
    assert_ne!(requests[0].connection, requests[4].connection);
    assert_eq!(requests[3].code.as_deref(), Some("A_1104"));
    assert_eq!(
        (requests[0].user_agent.as_str(), requests[0].events),
        ("test/1", 3)
    );
}

#[test]
fn a_cleared_ledger_is_empty_and_its_numbers_go_on() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    caller.post(&sandbox, &numbered(5));
    sandbox.clear_ledger();
    assert_eq!(sandbox.ledger().requests, 0);
    assert!(sandbox.events().is_empty());

    caller.post(&sandbox, &numbered(2));
    assert_eq!(sandbox.events()[0].sequence, 6);
    assert_eq!(sandbox.requests()[0].request, 2);
    assert_eq!(sandbox.requests()[0].attempt, 1);
}

#[test]
fn a_long_ledger_is_listed_whole_and_by_page() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    for _ in 0..35 {
        caller.post(&sandbox, &numbered(100));
    }
    assert!(
        sandbox
            .events()
            .iter()
            .map(|event| event.sequence)
            .eq(1..=3_500)
    );

    let page = |query: &str| {
        let url = format!("{}/ledger/events?{query}", sandbox.control());
        let text = ureq::get(url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["sequence"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        numbers
    };
    assert!(page("after=1990&limit=1010").into_iter().eq(1_991..=3_000));
    assert!(page("after=3499").into_iter().eq([3_500]));
    assert!(page("after=3500").is_empty());
    assert!(page("limit=0").is_empty());
}

#[test]
fn a_body_that_never_arrives_whole_is_listed_and_accepts_nothing() {
    let sandbox = Sandbox::start();
    let mut caller = Caller::new(&sandbox);
    let whole = request(&sandbox, &numbered(3));
    caller.say(&whole[..whole.len() - 1]);
    caller.stream.shutdown(Shutdown::Write).unwrap();
    let summary = sandbox.wait_for_requests(1);
    assert_eq!(
        (summary.outcome("incomplete"), summary.accepted_events),
        (1, 0)
    );
}

// ---- the process ----

/// Starts the bare command and reads its first line.
fn start(argument: &str, input: Stdio) -> (Child, Value) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .args(["sandbox", argument])
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = process.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    (process, serde_json::from_str(&line).unwrap())
}

/// Whether it ends by itself, and without an error; one that does not is ended.
fn ends_well(mut process: Child) -> bool {
    let mut output = process.stdout.take().unwrap();
    let (at_end, ended) = mpsc::channel();
    std::thread::spawn(move || at_end.send(output.read_to_end(&mut Vec::new())));
    if ended.recv_timeout(Duration::from_secs(30)).is_err() {
        process.kill().unwrap();
    }
    process.wait().unwrap().success()
}

fn tell_to_stop(said: &Value) {
    let control = said["control"].as_str().unwrap();
    let answer = ureq::post(format!("{control}/stop")).send_empty().unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn it_says_where_it_listens_and_ends_with_its_standard_input() {
    let (mut process, said) = start("--token=mine", Stdio::piped());
    assert_eq!(said["token"], "mine");
    let control = said["control"].as_str().unwrap();
    let url = control.replace("/sandbox", "/default/v1/events");
    assert_eq!(said["url"].as_str(), Some(url.as_str()));
    drop(process.stdin.take());
    assert!(ends_well(process));
}

#[test]
fn it_ends_when_it_is_told_to_in_the_middle_of_an_answer_too() {
    let slow = r#"--faults={"faults":[{"fault":"delay","ms":3600000}]}"#;
    let (process, said) = start(slow, Stdio::piped());
    let address = said["url"].as_str().unwrap().split('/').nth(2).unwrap();
    let mut waiting = TcpStream::connect(address).unwrap();
    let asked = request_with("", &numbered(1));
    waiting.write_all(asked.as_bytes()).unwrap();
    tell_to_stop(&said);
    assert!(ends_well(process));
}

#[test]
fn it_may_stay_when_its_standard_input_has_ended() {
    let (process, said) = start("--stay", Stdio::null());
    tell_to_stop(&said);
    assert!(ends_well(process));
}

#[test]
fn a_bad_order_at_the_start_is_an_error_that_says_what_is_wrong() {
    let output = Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .args(["sandbox", r#"--faults={"faults":[{"fault":"explode"}]}"#])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("entry 0: unknown variant `explode`"));
    assert!(output.stdout.is_empty());
}

// ---- a command of its own ----

/// Runs `sh -c script` under a sandbox with `options`.
fn hosting(options: &[&str], script: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .arg("sandbox")
        .args(options)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a C program as the sandbox's command: it delivers with the library.
fn hosting_a_client(options: &[&str]) -> Output {
    let program = Program::of("delivers.c");
    Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .arg("sandbox")
        .args(options)
        .arg("--")
        .arg(program.path())
        .args(["known-1", "bad-1", "known-2", "bad-2", "worse", "known-1"])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_command_is_told_where_to_deliver_and_what_arrived_is_told_after_it() {
    let output = hosting_a_client(&[
        "--unknown-prefix=bad-",
        "--unknown-prefix=wor",
        "--expect-events=2",
    ]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "accepted events: 2 different, of 2 users, and 1 repeated",
        "refused requests with A_1104: ",
        r#"first event: {"token":"t","partner_user_id":"known-1","#,
        r#"last event:  {"token":"t","partner_user_id":"known-1","#,
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn events_that_were_expected_in_vain_are_an_error_with_both_numbers() {
    let output = hosting(&["--expect-events=7"], "exit 0");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("7 different events were expected, 0 were accepted"),
        "{said}"
    );
    assert!(hosting(&["--expect-events=0"], "exit 0").status.success());
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    assert_eq!(hosting(&[], "exit 0").status.code(), Some(0));
    assert_eq!(hosting(&[], "exit 42").status.code(), Some(42));
    assert_eq!(hosting(&[], "kill -9 $$").status.code(), Some(128 + 9));
}

#[test]
fn a_command_has_the_output_for_itself_until_it_ends() {
    let output = hosting(
        &["--token=mine"],
        "echo $MEDITOPIA_BEARER_TOKEN $MEDITOPIA_ENDPOINT",
    );
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("mine http://127.0.0.1:"), "{told}");
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "requests: 0, of which 0 accepted",
            "accepted events: 0 different, of 0 users, and 0 repeated"
        ]
    );
}

#[test]
fn a_command_that_cannot_be_started_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .args(["sandbox", "--", "/nowhere/quickstart"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/nowhere/quickstart: No such file"), "{said}");
}

#[test]
fn a_sandbox_that_is_ended_ends_its_command() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .args(["sandbox", "--", "sh", "-c", "echo $$; exec sleep 3600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let kill = Command::new("kill").arg(process.id().to_string()).status();
    assert!(kill.unwrap().success());
    // The end of the output comes when both have ended, however late; the command holds it too.
    output.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(128 + 9));
}
