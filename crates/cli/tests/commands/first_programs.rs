//! The programs that `meditopia try` prints: pasted into a shell, each delivers an event, whether the API is the one of
//! the pasted lines, the one that `try` left running, or one that was started again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::process::{ChildProcess, assert_success, stdout_of};
use meditopia_testkit::wait::wait_until;
use meditopia_testkit::{built_library, meditopia, meditopia_command, repository_path};
use serde_json::Value;

/// The languages with the line that runs the program of each.
const PHP: (&str, &str) = ("php", "php first.php");
const PYTHON: (&str, &str) = ("python", "python3 first.py");
const C: (&str, &str) = ("c", "./first");
const CPP: (&str, &str) = ("cpp", "./first");
const CSV: (&str, &str) = ("csv", "meditopia import --flush first.csv");

/// A machine on which command, library, headers and packages are installed, as far as a shell sees it.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["libmeditopia.so", "libmeditopia.so.0"] {
            symlink(built_library("libmeditopia.so"), dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("tmp")).unwrap();
        let machine = Self { dir };
        fs::create_dir(machine.project()).unwrap();
        machine
    }

    /// The same, with a PHP project that has the package.
    fn with_composer() -> Self {
        let machine = Self::new();
        fs::remove_dir(machine.project()).unwrap();
        let made = Command::new("sh")
            .arg(repository_path("bindings/php/tests/project.sh"))
            .args([repository_path("bindings/php"), machine.project()])
            .env("MEDITOPIA_LIBRARY", built_library("libmeditopia.so"))
            .output();
        let made = made.unwrap();
        assert!(made.status.success(), "{made:?}");
        machine
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn meditopia(&self, arguments: &[&str]) -> Command {
        let mut command = meditopia();
        command
            .args(arguments)
            .env("TMPDIR", self.dir.path().join("tmp"))
            .stdin(Stdio::null());
        command
    }

    /// What the lines do that somebody pastes into a shell in the project.
    fn paste(&self, lines: &str) -> Output {
        let command = meditopia_command();
        let path = std::env::var("PATH").unwrap();
        let installed = command.parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", lines])
            .current_dir(self.project())
            .env_clear()
            .env("PATH", format!("{installed}:{path}"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("CPATH", repository_path("include"))
            .env("LIBRARY_PATH", self.dir.path())
            .env("LD_LIBRARY_PATH", self.dir.path())
            .env("PYTHONPATH", repository_path("bindings/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert_success(&shell, &output);
        output
    }
}

/// `meditopia try LANGUAGE --serve`, and the lines that it tells to paste.
struct Serving {
    _process: ChildProcess,
    lines: String,
    control: String,
    port: String,
}

impl Serving {
    /// At a port that may still be taken for a moment, by what another test has started.
    fn start_again_at(machine: &Machine, program: (&str, &str), port: &str) -> Self {
        let mut started = None;
        wait_until("the port is free", || {
            started = Self::start(machine, program, port);
            started.is_some()
        });
        started.unwrap()
    }

    /// None if it ends before it has told what to paste.
    fn start(machine: &Machine, (language, run): (&str, &str), port: &str) -> Option<Self> {
        let mut process = machine
            .meditopia(&["try", language, "--serve", "--port", port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(process.stdout.as_mut().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap() == run {
                break;
            }
        }
        let process = ChildProcess(process);
        let told = lines.join("\n");
        let (_, pasted) = told.split_once("\ncat > ")?;
        let endpoint = told.split("MEDITOPIA_ENDPOINT=").nth(1).unwrap();
        let authority = endpoint.split('/').nth(2).unwrap();
        Some(Self {
            _process: process,
            lines: format!("cat > {pasted}\n"),
            control: format!("http://{authority}/sandbox"),
            port: authority.split(':').nth(1).unwrap().to_owned(),
        })
    }

    /// How many events have arrived of the user of the programs.
    fn arrived(&self) -> usize {
        let events = format!("{}/ledger/events", self.control);
        let mut answer = ureq::get(events).call().unwrap();
        let events = answer.body_mut().read_to_string().unwrap();
        let user = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["event"]["partner_user_id"] == "user-1"
        };
        events.lines().filter(|line| user(line)).count()
    }
}

fn assert_that_the_lines_work(machine: &Machine, program: (&str, &str)) {
    let told = stdout_of(&mut machine.meditopia(&["try", program.0]));
    let (_, pasted) = told.split_once("\ncat > ").expect("a program");
    let (pasted, _) = pasted.split_once("\n\nmeditopia try --serve").unwrap();
    let output = machine.paste(&format!("cat > {pasted}"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("accepted events: 1 different, of 1 users, and 0 identical to earlier ones"),
        "{said}"
    );

    let serving = Serving::start(machine, program, "0").unwrap();
    machine.paste(&serving.lines);
    assert_eq!(serving.arrived(), 1, "{}", serving.lines);
    let (lines, port) = (serving.lines.clone(), serving.port.clone());
    drop(serving);

    let restarted = Serving::start_again_at(machine, program, &port);
    machine.paste(&lines);
    assert_eq!(restarted.arrived(), 1, "{lines}");
}

#[test]
fn the_php_program_that_try_prints_delivers() {
    assert_that_the_lines_work(&Machine::with_composer(), PHP);
}

#[test]
fn the_python_program_that_try_prints_delivers() {
    assert_that_the_lines_work(&Machine::new(), PYTHON);
}

#[test]
fn the_c_program_that_try_prints_delivers() {
    assert_that_the_lines_work(&Machine::new(), C);
}

#[test]
fn the_cpp_program_that_try_prints_delivers() {
    assert_that_the_lines_work(&Machine::new(), CPP);
}

#[test]
fn the_csv_file_that_try_prints_is_delivered() {
    assert_that_the_lines_work(&Machine::new(), CSV);
}
