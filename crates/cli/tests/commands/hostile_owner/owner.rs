//! A user who means harm, and the commands that root runs on that user's spool.

use crate::cli::{stderr, stdout};
use meditopia_testkit::meditopia;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::wait_until;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Users without a name.
pub(super) const OWNER: u32 = 12_345;
pub(super) const NEIGHBOUR: u32 = 12_346;
/// What only root may know.
pub(super) const SECRET: &str = "s3cret-of-root";
pub(super) const EVENT: &str =
    r#"{"token":"t","partner_user_id":"s3cret-of-root","event":"video"}"#;

/// Every command with a spool, and how it is called; `SPOOL` stands for how the spool is named.
pub(super) const COMMANDS: &[(&str, &[&str])] = &[
    ("run", &["run", "SPOOL"]),
    ("flush", &["flush", "SPOOL", "--timeout", "1"]),
    (
        "forward",
        &[
            "forward",
            "SPOOL",
            "--once",
            "--timeout",
            "1",
            "--store",
            "postgres://nobody@127.0.0.1:9/none",
        ],
    ),
    ("adopt", &["adopt", "SPOOL"]),
    ("status", &["status", "SPOOL"]),
    ("find", &["find", "--user", "u-1", "SPOOL"]),
    ("pending", &["pending", "list", "SPOOL"]),
    ("receipts", &["receipts", "list", "SPOOL"]),
    ("in-doubt", &["in-doubt", "list", "SPOOL"]),
    (
        "in-doubt",
        &["in-doubt", "set-aside", "--all", "--yes", "SPOOL"],
    ),
    (
        "in-doubt",
        &["in-doubt", "bisect", "--yes", "--timeout=1", "SPOOL"],
    ),
    ("damaged", &["damaged", "list", "SPOOL"]),
    ("damaged", &["damaged", "show", "SPOOL"]),
    (
        "damaged",
        &["damaged", "requeue", "--all", "--yes", "SPOOL"],
    ),
    ("damaged", &["damaged", "acknowledge", "SPOOL"]),
    ("rejected", &["rejected", "list", "SPOOL"]),
    ("rejected", &["rejected", "show", "SPOOL"]),
    (
        "rejected",
        &["rejected", "requeue", "--all", "--yes", "SPOOL"],
    ),
    (
        "rejected",
        &["rejected", "discard", "--all", "--yes", "SPOOL"],
    ),
    ("rejected", &["rejected", "export", "SPOOL"]),
    ("forget", &["forget", "--user", "u-1", "--yes", "SPOOL"]),
    ("hold", &["hold", "SPOOL"]),
    ("resume", &["resume", "SPOOL"]),
    ("doctor", &["doctor", "SPOOL"]),
    ("import", &["import", "-", "--format", "ndjson", "SPOOL"]),
    (
        "import",
        &["import", "-", "--dry-run", "--format", "ndjson", "SPOOL"],
    ),
    ("recover", &["recover", "--yes", "SPOOL"]),
];
/// They have no spool of a user's, and read and write with the rights of who runs them, as cp does.
pub(super) const WITHOUT_SPOOL: [&str; 6] =
    ["try", "fleet", "sandbox", "completions", "man", "help"];

/// A user with a home, a spool in it that goes to `api`, and links to a directory of root's.
pub(super) struct Hostile {
    pub(super) spool: TestSpool,
    pub(super) roots: tempfile::TempDir,
}

impl Hostile {
    pub(super) fn new(endpoint: &str) -> Self {
        let spool = TestSpool::for_endpoint(endpoint);
        spool.client().enqueue_users(0..3);
        let roots = tempfile::tempdir().unwrap();
        let hostile = Self { spool, roots };
        give_to(&hostile.home(""), OWNER);
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(hostile.home(""), mode).unwrap();
        hostile.link("out", hostile.roots.path());
        hostile
    }

    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.spool.path().parent().unwrap().join(name)
    }

    /// A file that only root can read.
    pub(super) fn of_root(&self, name: &str, text: &str) -> PathBuf {
        let path = self.roots.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A file of the user's.
    pub(super) fn of_user(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home(name);
        fs::write(&path, text).unwrap();
        lchown(&path, Some(OWNER), Some(OWNER)).unwrap();
        path
    }

    /// A link of the user's.
    pub(super) fn link(&self, name: &str, target: &Path) -> PathBuf {
        let link = self.home(name);
        symlink(target, &link).unwrap();
        lchown(&link, Some(OWNER), Some(OWNER)).unwrap();
        link
    }

    /// Everything in root's directory.
    pub(super) fn names_of_root(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.roots.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// One more event, as the user's application enqueues it.
    pub(super) fn enqueue_one(&self) {
        let mut import = meditopia();
        import.args(["import", "-", "--format", "ndjson", "--again", "--spool"]);
        import.arg(self.spool.path()).stdin(Stdio::piped());
        let mut import = import.current_dir(self.home("")).spawn().unwrap();
        writeln!(import.stdin.take().unwrap(), "{EVENT}").unwrap();
        assert!(import.wait().unwrap().success());
    }

    pub(super) fn pending(&self) -> u64 {
        let status = meditopia()
            .args(["status", "--json"])
            .arg(self.spool.path())
            .output();
        let status: serde_json::Value = serde_json::from_str(&stdout(&status.unwrap())).unwrap();
        status["pending"].as_u64().unwrap()
    }
}

pub(super) fn give_to(dir: &Path, user: u32) {
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        lchown(path, Some(user), Some(user)).unwrap();
    }
}

pub(super) fn can_test() -> bool {
    if !is_root() {
        report_skip("this process does not run as root");
    }
    is_root()
}

/// The command with `words`, in which `SPOOL` is replaced by `spool`.
pub(super) fn command(words: &[&str], spool: &[&str]) -> Command {
    let mut command = meditopia();
    for word in words {
        match *word {
            "SPOOL" => command.args(spool),
            word => command.arg(word),
        };
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command that has to fail without a word of what only root may know; what it says.
pub(super) fn refused(command: &mut Command) -> String {
    let streams = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A service that is not refused would run for ever.
    let mut process = ChildProcess(streams.spawn().unwrap());
    let mut status = None;
    wait_until("the end of the command", || {
        status = process.0.try_wait().unwrap();
        status.is_some()
    });
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    process
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    process
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_end(&mut errors)
        .unwrap();
    let output = Output {
        status: status.unwrap(),
        stdout: out,
        stderr: errors,
    };
    assert!(!output.status.success(), "{command:?}: {output:?}");
    let said = stderr(&output) + &stdout(&output);
    assert!(!said.contains(SECRET), "{command:?}: {said}");
    said
}

pub(super) fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
