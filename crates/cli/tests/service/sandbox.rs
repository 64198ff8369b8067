//! `meditopia sandbox` as a process: how it starts and ends, and the command that it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::raw_http::{numbered_events_json, request_text_with};
use serde_json::Value;

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
    let asked = request_text_with("", &numbered_events_json(1));
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
    let program = CProgram::compile("delivers.c");
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
