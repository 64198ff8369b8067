//! `meditopia sandbox` as a process: how it starts and ends, and how it runs a command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::raw_http::{numbered_events_json, request_text_with};
use serde_json::Value;

/// Starts the sandbox without a command; returns its first line of output.
fn start(argument: &str, input: Stdio) -> (Child, Value) {
    let mut process = meditopia()
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

/// Whether the process ends by itself and without an error. If not, kills it.
fn ends_well(mut process: Child) -> bool {
    let mut output = process.stdout.take().unwrap();
    let (end, ended) = mpsc::channel();
    std::thread::spawn(move || end.send(output.read_to_end(&mut Vec::new())));
    if ended.recv_timeout(Duration::from_secs(30)).is_err() {
        process.kill().unwrap();
    }
    process.wait().unwrap().success()
}

fn request_stop(first_line: &Value) {
    let control = first_line["control"].as_str().unwrap();
    let answer = ureq::post(format!("{control}/stop")).send_empty().unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn the_sandbox_prints_where_it_listens_and_ends_with_its_standard_input() {
    let (mut process, first_line) = start("--token=mine", Stdio::piped());
    assert_eq!(first_line["token"], "mine");
    let control = first_line["control"].as_str().unwrap();
    let url = control.replace("/sandbox", "/default/v1/events");
    assert_eq!(first_line["url"].as_str(), Some(url.as_str()));
    drop(process.stdin.take());
    assert!(ends_well(process));
}

#[test]
fn the_sandbox_stops_on_request_even_during_an_answer() {
    let slow = r#"--faults={"faults":[{"fault":"delay","ms":3600000}]}"#;
    let (process, first_line) = start(slow, Stdio::piped());
    let address = first_line["url"]
        .as_str()
        .unwrap()
        .split('/')
        .nth(2)
        .unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let request = request_text_with("", &numbered_events_json(1));
    connection.write_all(request.as_bytes()).unwrap();
    request_stop(&first_line);
    assert!(ends_well(process));
}

#[test]
fn the_sandbox_with_stay_keeps_running_when_its_standard_input_ends() {
    let (process, first_line) = start("--stay", Stdio::null());
    request_stop(&first_line);
    assert!(ends_well(process));
}

#[test]
fn the_sandbox_refuses_an_invalid_fault_and_says_what_is_wrong() {
    let output = meditopia()
        .args(["sandbox", r#"--faults={"faults":[{"fault":"explode"}]}"#])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("entry 0: unknown variant `explode`"));
    assert!(output.stdout.is_empty());
}

/// Runs `sh -c script` as the command of a sandbox with `options`.
fn run_script(options: &[&str], script: &str) -> Output {
    meditopia()
        .arg("sandbox")
        .args(options)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a C program that delivers with the library as the command of a sandbox.
fn run_c_client(options: &[&str]) -> Output {
    let program = CProgram::compile("delivers.c");
    meditopia()
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
fn a_command_of_the_sandbox_delivers_to_it_and_a_summary_follows() {
    let output = run_c_client(&[
        "--unknown-prefix=bad-",
        "--unknown-prefix=wor",
        "--expect-events=2",
    ]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "accepted events: 2 different, of 2 users, and 1 identical to earlier ones,",
        "refused requests with A_1104: ",
        r#"first event: {"token":"t","partner_user_id":"known-1","#,
        r#"last event:  {"token":"t","partner_user_id":"known-1","#,
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
}

#[test]
fn the_sandbox_fails_with_both_numbers_if_expected_events_are_missing() {
    let output = run_script(&["--expect-events=7"], "exit 0");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("7 different events were expected, 0 were accepted"),
        "{errors}"
    );
    assert!(
        run_script(&["--expect-events=0"], "exit 0")
            .status
            .success()
    );
}

#[test]
fn the_sandbox_ends_with_the_exit_code_of_its_command() {
    assert_eq!(run_script(&[], "exit 0").status.code(), Some(0));
    assert_eq!(run_script(&[], "exit 42").status.code(), Some(42));
    assert_eq!(run_script(&[], "kill -9 $$").status.code(), Some(128 + 9));
}

#[test]
fn a_command_of_the_sandbox_has_the_output_for_itself_until_it_ends() {
    let output = run_script(
        &["--token=mine"],
        "echo $MEDITOPIA_BEARER_TOKEN $MEDITOPIA_ENDPOINT",
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("mine http://127.0.0.1:"), "{printed}");
    let lines: Vec<&str> = printed.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "requests: 0, of which 0 accepted",
            "accepted events: 0 different, of 0 users, and 0 identical to earlier ones,",
            "  of which 0 in repeated requests",
            "No request came. The program has to take its configuration from the environment, and to flush or close",
            "before it ends; docs/testing.md shows it in each language."
        ]
    );
}

#[test]
fn the_sandbox_names_a_command_that_cannot_be_started() {
    let output = meditopia()
        .args(["sandbox", "--", "/nowhere/quickstart"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("/nowhere/quickstart: No such file"),
        "{errors}"
    );
}

#[test]
fn a_sandbox_that_is_terminated_kills_its_command() {
    let mut process = meditopia()
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
    // The command inherits the output, so the output ends only when both processes have ended.
    output.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(128 + 9));
}
