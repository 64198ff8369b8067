//! `meditopia try`: what it shows, what it needs, and that it leaves nothing and touches nothing else.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::process::{ChildProcess, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::wait::wait_until;
use meditopia_testkit::{meditopia, meditopia_command};

use crate::cli::FAILED;

/// What a shell adds to the number of a signal.
const ENDED_BY_SIGNAL: i32 = 128;
const SIGINT: i32 = 2;

/// A directory for temporary files, and the command that uses it.
struct Place {
    temporary: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            temporary: tempfile::tempdir().unwrap(),
        }
    }

    /// `meditopia try` without HOME or any other variable but TMPDIR.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meditopia();
        command.arg("try").args(arguments);
        command.env("TMPDIR", self.temporary.path());
        command.stdin(Stdio::null());
        command
    }

    /// The same, with its output in a pipe; returns once it has printed a line that begins with `until`.
    fn start(&self, arguments: &[&str], until: &str) -> (ChildProcess, Vec<String>) {
        let spawned = self.command(arguments).stdout(Stdio::piped()).spawn();
        let mut process = ChildProcess(spawned.unwrap());
        let output = process.0.stdout.take().unwrap();
        let mut lines = Vec::new();
        let mut output = BufReader::new(output).lines();
        while let Some(line) = output.next() {
            lines.push(line.unwrap());
            if lines.last().unwrap().starts_with(until) {
                // What it still prints has a reader.
                std::thread::spawn(|| output.count());
                return (process, lines);
            }
        }
        panic!("no line begins with {until:?}: {lines:#?}");
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.temporary.path())
            .unwrap()
            .next()
            .is_none()
    }
}

fn send(signal: &str, process: &Child) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// What stands between the heading that begins with `start` and the next one.
fn section<'a>(told: &'a str, start: &str) -> &'a str {
    let (_, behind) = told.split_once(start).expect(start);
    behind.split_once("\n\n").unwrap().0
}

#[test]
fn trying_shows_that_the_bad_event_is_found_and_that_its_neighbours_arrive() {
    let place = Place::new();
    let told = stdout_of(&mut place.command(&[]));
    let queued = section(&told, "2. ");
    for event in ["anna", "stranger", "ben"] {
        assert!(queued.contains(&format!("\n   {event} ")), "{told}");
    }
    let requests = section(&told, "3. ");
    assert!(
        requests.contains("\n   anna, stranger, ben  HTTP 404 A_1104"),
        "{told}"
    );
    for (user, answer) in [("anna", "204"), ("stranger", "404 A_1104 "), ("ben", "204")] {
        let alone = requests
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{user}  ")));
        let alone = alone.unwrap_or_else(|| panic!("{user} is not alone in a request: {told}"));
        assert!(alone.contains(&format!("HTTP {answer}")), "{told}");
    }
    let fates = section(&told, "4. ");
    assert!(fates.contains("anna      delivered"), "{told}");
    assert!(
        fates.contains("stranger  rejected: A_1104 User not found."),
        "{told}"
    );
    assert!(fates.contains("ben       delivered"), "{told}");
    assert!(
        fates.contains("2 delivered, 1 rejected; nothing pending"),
        "{told}"
    );
    assert!(place.is_empty());
}

#[test]
fn trying_works_where_nothing_can_be_written_and_nothing_is_set() {
    let place = Place::new();
    // Not even root can write there.
    let told = stdout_of(place.command(&[]).current_dir("/proc"));
    assert!(told.contains("2 delivered, 1 rejected"), "{told}");
    // In /tmp, as TMPDIR is not set either.
    let told = stdout_of(meditopia().arg("try").stdin(Stdio::null()));
    assert!(told.contains("2 delivered, 1 rejected"), "{told}");
}

#[test]
fn trying_needs_no_network_but_loopback() {
    let runner = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"];
    let up = "ip link set lo up && exec \"$@\"";
    if !can_run_under(&[&runner[..], &[up, "sh"]].concat()) {
        return;
    }
    let place = Place::new();
    let mut command = Command::new(runner[0]);
    command.args(&runner[1..]).args([up, "sh"]);
    command.arg(meditopia_command()).arg("try");
    command
        .env("TMPDIR", place.temporary.path())
        .stdin(Stdio::null());
    let told = stdout_of(&mut command);
    assert!(told.contains("2 delivered, 1 rejected"), "{told}");
}

#[test]
fn trying_touches_no_spool_and_no_api_that_the_environment_names() {
    let place = Place::new();
    let real = Sandbox::start();
    let spool = place.temporary.path().join("real-spool");
    let told = stdout_of(
        place
            .command(&["csv"])
            .env("MEDITOPIA_ENDPOINT", real.endpoint())
            .env("MEDITOPIA_BEARER_TOKEN", real.token())
            .env("MEDITOPIA_SPOOL", &spool)
            .env("MEDITOPIA_ACCOUNT", "production")
            .env("http_proxy", format!("http://{}", real.address()))
            .env("HTTP_PROXY", format!("http://{}", real.address())),
    );
    assert!(told.contains("2 delivered, 1 rejected"), "{told}");
    assert_eq!(real.ledger().requests, 0);
    assert!(place.is_empty(), "{}", spool.display());
}

#[test]
fn trying_with_serve_lets_the_api_and_the_three_events_stay_until_ctrl_c() {
    let place = Place::new();
    let (mut process, lines) = place.start(&["--serve"], "   CSV");
    let told = lines.join("\n");
    let word_behind = |what: &str| {
        let (_, behind) = told.split_once(what).expect(what);
        behind.split_whitespace().next().unwrap().to_owned()
    };
    let page = word_behind("Its page");
    let mut answer = ureq::get(&page).call().unwrap();
    assert!(
        answer
            .body_mut()
            .read_to_string()
            .unwrap()
            .contains("<html")
    );
    let spool = word_behind("meditopia status");
    let found = stdout_of(meditopia().args(["find", &spool, "--user", "stranger"]));
    assert!(found.contains("A_1104"), "{found}");
    assert_eq!(
        word_behind("Ctrl-C here, or: kill"),
        process.0.id().to_string()
    );
    send("INT", &process.0);
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    assert!(place.is_empty());
    assert!(ureq::get(&page).call().is_err());
}

#[test]
fn trying_leaves_nothing_behind_whenever_it_is_ended() {
    // Once it has made its directory, once it has told of the queue, and while it serves.
    for (arguments, until) in [
        (&["--serve"][..], None),
        (&[], None),
        (&[], Some("2. ")),
        (&["--serve"], Some("3. ")),
        (&["--serve"], Some("The API goes on")),
    ] {
        for signal in ["INT", "TERM"] {
            let place = Place::new();
            let mut process = match until {
                Some(until) => place.start(arguments, until).0,
                None => {
                    let child = place.command(arguments).stdout(Stdio::null()).spawn();
                    wait_until("it has begun", || !place.is_empty());
                    ChildProcess(child.unwrap())
                }
            };
            send(signal, &process.0);
            let status = process.0.wait().unwrap();
            // It may have come to its end, or to the wait for this signal, before.
            let number = if signal == "INT" { SIGINT } else { 15 };
            let expected = [Some(0), Some(ENDED_BY_SIGNAL + number)];
            assert!(
                expected.contains(&status.code()),
                "{arguments:?} {until:?}: {status}"
            );
            assert!(place.is_empty(), "{arguments:?} {until:?} {signal}");
        }
    }
}

#[test]
fn trying_leaves_nothing_behind_when_its_reader_has_enough_or_its_disk_is_full() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = place.command(&["--serve"]).stdout(writer).status().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(place.is_empty());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&[]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(FAILED));
    assert!(place.is_empty());
}

#[test]
fn trying_says_what_to_do_where_there_is_no_place_for_its_spool() {
    let nowhere = Path::new("/proc/nowhere");
    let output = meditopia()
        .arg("try")
        .env("TMPDIR", nowhere)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(FAILED));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("cannot make a directory in /proc/nowhere"),
        "{said}"
    );
    assert!(said.contains("let TMPDIR name a directory"), "{said}");
}

#[test]
fn trying_at_a_terminal_tells_the_same_in_colours() {
    let place = Place::new();
    let mut script = Command::new("script");
    let command = format!("exec '{}' try", meditopia_command().display());
    script.args(["-q", "-e", "-c", &command, "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR");
    script
        .env("TMPDIR", place.temporary.path())
        .stdin(Stdio::null());
    let shown = stdout_of(&mut script);
    assert!(shown.contains("\u{1b}["), "{shown:?}");
    let mut plain = String::new();
    for (index, part) in shown.split("\u{1b}[").enumerate() {
        let text = if index == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
        plain.push_str(text);
    }
    assert!(
        plain.contains("stranger  rejected: A_1104 User not found."),
        "{plain}"
    );
    assert!(plain.contains("anna      delivered"), "{plain}");
    assert!(place.is_empty());
}
