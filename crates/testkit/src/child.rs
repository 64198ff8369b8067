//! Tests that need a process of their own.
//!
//! Cargo runs the tests of one program as threads of one process. A test that counts threads or
//! descriptors, or that changes something of the whole process, must not share it with others.

use std::any::type_name;
use std::process::Command;

/// Set in the environment of the child.
const IN_CHILD: &str = "MEDITOPIA_TEST_CHILD";

/// Runs the test that calls this again in a new process, where `body` runs.
///
/// Everything in the test must be in `body`, a closure that is written in the test function itself:
/// the path of the closure names the test.
#[track_caller]
pub fn run_in_child<F: FnOnce()>(body: F) {
    if std::env::var_os(IN_CHILD).is_some() {
        return body();
    }
    let test = test_of_closure(type_name::<F>());
    let output = Command::new(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, "1")
        .output()
        .expect("the test program starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    print!("{stdout}");
    assert!(output.status.success(), "{test}:\n{stdout}{stderr}");
    assert!(
        stdout.contains("1 passed"),
        "the child ran no test {test}:\n{stdout}"
    );
}

/// The name of a test, from a type name such as `application::threads::a_test::{{closure}}`.
fn test_of_closure(path: &'static str) -> &'static str {
    let (_, path) = path.split_once("::").expect("a path in a crate");
    path.trim_end_matches("::{{closure}}")
}
