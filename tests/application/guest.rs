//! A good guest: what a host in C sees of the library in its process, and what it does not see.

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::privileges::report_skip;
use meditopia_testkit::process::{assert_success, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// What other libraries would follow.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("MEDITOPIA_ENDPOINT", "http://127.0.0.1:1/"),
    ("MEDITOPIA_SPOOL", "/nonexistent"),
    ("http_proxy", "http://127.0.0.1:1/"),
    ("HTTP_PROXY", "http://127.0.0.1:1/"),
    ("ALL_PROXY", "http://127.0.0.1:1/"),
    ("SSL_CERT_FILE", "/nonexistent"),
    ("TMPDIR", "/nonexistent"),
    ("RUST_LOG", "trace"),
];

fn be_a_guest(role: &str) {
    let api = Sandbox::start();
    let program = CProgram::compile("guest.c").with_config(&api, &[("role", role)]);

    let said = stdout_of(program.command(&[role]).envs(ENVIRONMENT));

    assert_eq!(said, "");
    // What a close without patience left is there for the next one.
    let host = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    host.client().flush_ok(secs(30));
    assert_eq!(api.ledger().distinct_events, 260);
}

#[test]
fn a_host_that_only_enqueues_gets_no_thread() {
    be_a_guest("enqueue");
}

#[test]
fn threads_start_with_the_first_enqueue_take_no_signal_and_leave_nothing_behind() {
    be_a_guest("both");
}

/// The API of the quickstart, and what it prints against it.
fn api_of_quickstart() -> Sandbox {
    let api = Sandbox::start();
    api.set_unknown(serde_json::json!([{ "prefix": "unknown" }]));
    api
}

fn assert_quickstart(said: &str) {
    let first = said.lines().next().unwrap();
    assert_eq!(first, "delivered 298, rejected 2, pending 0, in doubt 0");
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[test]
fn a_program_that_holds_the_static_library_does_the_same() {
    let api = api_of_quickstart();
    let program = CProgram::compile_static("bindings/c/quickstart.c").with_config(&api, &[]);
    assert_quickstart(&program.run(&[]));
}

#[test]
fn a_checker_finds_no_wrong_access_and_no_leak() {
    let api = api_of_quickstart();
    let program = CProgram::compile_from_root("bindings/c/quickstart.c").with_config(&api, &[]);
    let valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        // A thread that polls must not starve the one that it waits for.
        "--fair-sched=try",
    ];
    let mut command = program.command_under(&valgrind, &[]);
    let output = match command.output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            report_skip("valgrind is not installed");
            return;
        }
        output => output.unwrap(),
    };
    assert_success(&command, &output);
    assert_quickstart(std::str::from_utf8(&output.stdout).unwrap());
}
