//! Real prefork hosts: a master that opens the client, workers that use it after the fork, workers
//! that are killed, recycled and reloaded under load.
//!
//! A host writes each event down when its enqueue has returned. All of these have to arrive, those of
//! a worker in their order, and no segment may be left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::{ChildProcess, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Requests that are on their way to a server at once.
const CALLERS: u64 = 4;
/// A worker is killed, or all are reloaded, after every so many answers.
const TROUBLE_EVERY: u64 = 100;

/// A spool and what a host has been told about its events.
struct Case {
    name: String,
    api: Sandbox,
    program: CProgram,
}

impl Case {
    fn new(name: &str, role: &str) -> Self {
        let api = Sandbox::start();
        let program = CProgram::compile("prefork.c")
            .with_config(&api, &[("role", role), ("flush_interval_ms", "20")]);
        Self {
            name: format!("{name}, role = {role}"),
            api,
            program,
        }
    }

    fn acknowledged_file(&self) -> PathBuf {
        self.program.dir().join("acknowledged")
    }

    /// How many events of each user were acknowledged; a user's are numbered from 0 on.
    fn acknowledged(&self) -> BTreeMap<String, u64> {
        let mut users = BTreeMap::new();
        for line in fs::read_to_string(self.acknowledged_file())
            .unwrap()
            .lines()
        {
            let (user, number) = line.split_once(' ').unwrap();
            let next: &mut u64 = users.entry(user.to_owned()).or_default();
            assert_eq!(number, next.to_string(), "{user}");
            *next += 1;
        }
        users
    }

    /// A host on the same spool, in the test.
    fn host(&self) -> TestSpool {
        TestSpool::for_sandbox(&self.api).with("spool", self.program.spool().to_str().unwrap())
    }

    fn library(&self) -> PathBuf {
        self.program.dir().join("libmeditopia.so")
    }

    /// The host has ended: delivers what it left, checks all of it and adds the row.
    fn assert_all_came(&self, trials: u64, kills: u64) {
        let report = self.host().client().flush_ok(secs(120));
        assert_eq!((report.pending, report.in_doubt), (0, 0));

        let acknowledged = self.acknowledged();
        let arrivals = Arrivals::from_sandbox(&self.api);
        let arrived = arrivals.first_appearances();
        let came = |user: &str| arrived.get(user).map_or(0, |numbers| numbers.len() as u64);
        let outcome = Outcome {
            trials,
            acknowledged: acknowledged.values().sum(),
            delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
            lost: acknowledged
                .iter()
                .map(|(user, events)| events.saturating_sub(came(user)))
                .sum(),
            duplicated: arrivals.repeats() as u64,
            ..Outcome::default()
        };
        // Each killed process may have been the sender, with a batch on its way.
        meditopia_testkit::fault_table::add_row(&self.name, outcome, kills);
        assert_eq!(outcome.lost, 0);
        assert!(outcome.duplicated <= kills);
        arrivals.assert_only_whole_requests_came_twice();
        for (user, numbers) in &arrived {
            let told = acknowledged.get(user).copied().unwrap_or(0);
            // One may have been written and its process killed before it wrote that down.
            assert!(
                (told..=told + 1).contains(&(numbers.len() as u64)),
                "{user}"
            );
            assert!(
                numbers.iter().copied().eq(0..numbers.len() as u64),
                "{user}: {numbers:?}"
            );
        }
        assert_eq!(segments(&self.program), Vec::<String>::new(), "left behind");
    }

    /// Calls the server under `command` while its workers are killed and reloaded.
    fn serve(&self, requests: u64, command: &mut Command) {
        let mut master = ChildProcess(command.stderr(Stdio::piped()).spawn().unwrap());
        let pid = i32::try_from(master.0.id()).unwrap();
        let mut complaints = BufReader::new(master.0.stderr.take().unwrap()).lines();
        let url = complaints
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                let (_, rest) = line.split_once("Listening at: ")?;
                Some(rest.split(' ').next().unwrap().to_owned())
            })
            .expect("it listens");
        let drained = std::thread::spawn(move || {
            let lines: Vec<String> = complaints.map_while(Result::ok).collect();
            lines
        });

        let (answers, kills) = (AtomicU64::new(0), AtomicU64::new(0));
        // Where the workers only enqueue, another process sends: this one.
        let sender = self.name.ends_with("enqueue").then(|| {
            let host = self.host().with("role", "both");
            let client = host.with("flush_interval_ms", "20").client();
            client.enqueue_for("sender", 0);
            client
        });
        let deadline = Instant::now() + secs(600);
        // Workers are killed by their pids, which they tell: one at a time, by who saw it last.
        let last_killed = AtomicI32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    while answers.load(Ordering::Relaxed) < requests {
                        assert!(Instant::now() < deadline, "{}: no answers", self.name);
                        let Some(worker) = call(&url) else {
                            continue;
                        };
                        let number = answers.fetch_add(1, Ordering::Relaxed) + 1;
                        if number % (4 * TROUBLE_EVERY) == 0 {
                            signal(pid, libc::SIGHUP);
                        } else if number % TROUBLE_EVERY == 0
                            && last_killed.swap(worker, Ordering::Relaxed) != worker
                        {
                            signal(worker, libc::SIGKILL);
                            kills.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // Nothing has been flushed: its own workers send, or the sender beside them. A worker that was
        // started just now does so from its first request on, so there are some more.
        let acknowledged = self.acknowledged().values().sum::<u64>();
        while self.api.ledger().accepted_events < acknowledged {
            assert!(Instant::now() < deadline, "{}: not sent", self.name);
            call(&url);
        }
        drop(sender);
        signal(pid, libc::SIGTERM);
        assert!(master.0.wait().unwrap().success());
        let complaints = drained.join().unwrap();
        for line in &complaints {
            assert!(
                !line.contains("Error") && !line.contains("not so"),
                "{complaints:#?}"
            );
        }
        let kills = kills.into_inner();
        assert!(kills > 0);
        self.assert_all_came(answers.into_inner(), kills);
    }
}

/// One request; the pid of the worker that answered, if it lived long enough.
fn call(url: &str) -> Option<i32> {
    let answer = ureq::get(url)
        .config()
        .timeout_global(Some(Duration::from_secs(20)))
        .proxy(None)
        .build()
        .call();
    let text = answer.ok()?.body_mut().read_to_string().ok()?;
    text.parse().ok()
}

fn signal(process: i32, number: i32) {
    // SAFETY: a signal to a process that this test has started.
    unsafe { libc::kill(process, number) };
}

fn segments(program: &CProgram) -> Vec<String> {
    let entries = fs::read_dir(program.spool().join("journal")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn in_crate(path: &str) -> PathBuf {
    meditopia_testkit::repository_root().join(path)
}

/// Where `.ci/setup` has put it.
fn gunicorn() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("venv/bin/gunicorn");
    assert!(path.exists(), "{}: run `make setup`", path.display());
    path
}

fn under_gunicorn(role: &str, master_enqueues: &str) {
    let case = Case::new("gunicorn --preload", role);
    let mut command = Command::new(gunicorn());
    command
        .args([
            "--preload",
            "--workers=4",
            "--bind=127.0.0.1:0",
            "app:application",
        ])
        // A worker beats in a file there; a disk that is slow just now must not look like a hang.
        .args(["--timeout=120", "--worker-tmp-dir=/dev/shm"])
        .current_dir(in_crate("tests/application/programs"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIBRARY", case.library())
        .env("CONFIG", case.program.config())
        .env("ACKNOWLEDGED", case.acknowledged_file())
        .env("MASTER_ENQUEUES", master_enqueues);
    case.serve(
        meditopia_testkit::fault_table::trial_count(1_000, 100_000),
        &mut command,
    );
}

#[test]
fn workers_of_gunicorn_enqueue_with_a_client_that_was_used_before_the_fork() {
    under_gunicorn("enqueue", "1");
}

#[test]
fn workers_of_gunicorn_send_by_themselves_from_their_first_enqueue_on() {
    under_gunicorn("both", "0");
}

fn under_c(role: &str, master: &str) {
    let case = Case::new("prefork server in C", role);
    let acknowledged = case.acknowledged_file();
    let mut command = case
        .program
        .command(&[acknowledged.to_str().unwrap(), "4", "150", master]);
    case.serve(
        meditopia_testkit::fault_table::trial_count(2_000, 100_000),
        &mut command,
    );
}

#[test]
fn workers_of_a_server_in_c_enqueue_with_a_client_that_was_used_before_the_fork() {
    under_c("enqueue", "master");
}

#[test]
fn workers_of_a_server_in_c_send_by_themselves_from_their_first_enqueue_on() {
    under_c("both", "workers");
}

/// Children of one program; every third is killed in the middle of its events.
fn in_children(name: &str, program: impl Fn(&Case) -> Command) {
    for role in ["enqueue", "both"] {
        let case = Case::new(name, role);
        let (processes, events) = (
            meditopia_testkit::fault_table::trial_count(8, 100),
            meditopia_testkit::fault_table::trial_count(200, 1_000),
        );
        let mut command = program(&case);
        command.args([processes.to_string(), events.to_string()]);
        assert_eq!(stdout_of(&mut command), "");
        case.assert_all_came(processes, processes / 3);
    }
}

#[test]
fn children_of_python_multiprocessing_enqueue_with_their_parents_client() {
    in_children("multiprocessing, fork", |case| {
        let mut command = Command::new("python3");
        command
            .arg(in_crate("tests/application/programs/pool.py"))
            .args([
                case.library(),
                case.program.config(),
                case.acknowledged_file(),
            ])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
}

#[test]
fn children_of_php_enqueue_with_their_parents_client() {
    in_children("pcntl_fork", |case| {
        let mut command = Command::new("php");
        command
            .args(["-d", "ffi.enable=true"])
            .arg(in_crate("tests/application/programs/fork.php"))
            .arg(case.library())
            .arg(in_crate("include/meditopia_ffi.h"))
            .args([case.program.config(), case.acknowledged_file()]);
        command
    });
}
