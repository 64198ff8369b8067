//! What the library adds to the process of an application in C: threads, signal handlers,
//! descriptors, output, and what it reads from the environment.

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::privileges::report_skip;
use meditopia_testkit::process::{assert_success, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Variables that other libraries read.
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

fn check_footprint(role: &str) {
    let api = Sandbox::start();
    let program = CProgram::compile("footprint.c").with_config(&api, &[("role", role)]);

    let stdout = stdout_of(program.command(&[role]).envs(ENVIRONMENT));

    assert_eq!(stdout, "");
    // The program closes with a timeout of 0, which leaves events to the next sender.
    let spool = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    spool.client().flush_ok(secs(30));
    assert_eq!(api.ledger().distinct_events, 260);
}

#[test]
fn a_process_that_only_enqueues_gets_no_thread() {
    check_footprint("enqueue");
}

#[test]
fn threads_of_the_library_start_with_the_first_enqueue_take_no_signal_and_leave_nothing_behind() {
    check_footprint("both");
}

/// The API that the quickstart is written for.
fn api_of_quickstart() -> Sandbox {
    let api = Sandbox::start();
    api.set_unknown(serde_json::json!([{ "prefix": "unknown" }]));
    api
}

fn assert_quickstart_printed(stdout: &str) {
    let first = stdout.lines().next().unwrap();
    assert_eq!(first, "delivered 298, rejected 2, pending 0, in doubt 0");
    assert_eq!(stdout.lines().count(), 5, "{stdout}");
}

#[test]
fn the_quickstart_works_when_it_is_linked_with_the_static_library() {
    let api = api_of_quickstart();
    let program = CProgram::compile_static("bindings/c/quickstart.c").with_config(&api, &[]);
    assert_quickstart_printed(&program.run(&[]));
}

#[test]
fn valgrind_finds_no_wrong_access_and_no_leak_in_the_quickstart() {
    let api = api_of_quickstart();
    let program = CProgram::compile_from_root("bindings/c/quickstart.c").with_config(&api, &[]);
    let valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        // Otherwise a thread that polls can starve the thread that it waits for.
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
    assert_quickstart_printed(std::str::from_utf8(&output.stdout).unwrap());
}
