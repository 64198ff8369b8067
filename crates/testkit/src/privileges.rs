//! What not every user may do: whether this process may, and commands as another user.

use std::io::Write;
use std::process::Command;

/// Says that a test skips itself, also in the log of a run in which it passes: the test harness
/// captures only what goes through `print!` and `eprint!`.
pub fn report_skip(why: &str) {
    let line = format!("not tested: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a command succeeds when it is run by `runner`, such as `unshare --pid`. If not, the test
/// that needs it skips itself, and this says so.
pub fn can_run_under(runner: &[&str]) -> bool {
    let tried = Command::new(runner[0])
        .args(&runner[1..])
        .arg("true")
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        report_skip(&format!("{runner:?} does not work here"));
    }
    can
}

/// The words that go before a command to run it as the user `uid` with this umask. Without root, they
/// only set the umask.
pub fn runner_as_user(uid: u32, umask: &str) -> Vec<String> {
    let as_user = [
        "setpriv".to_owned(),
        format!("--reuid={uid}"),
        format!("--regid={uid}"),
        "--clear-groups".to_owned(),
    ];
    let with_umask = [
        "sh".to_owned(),
        "-c".to_owned(),
        format!("umask {umask}; exec \"$@\""),
        "sh".to_owned(),
    ];
    let as_user = as_user.into_iter().filter(|_| is_root());
    as_user.chain(with_umask).collect()
}
