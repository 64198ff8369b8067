//! Real prefork servers: a master opens the client, workers use it after the fork, and workers are
//! killed, recycled and reloaded under load.
//!
//! Each server writes an event to a file when its enqueue has returned. All these events must
//! arrive, the events of each worker in their order, and no segment may be left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::{ChildProcess, stdout_of};
use meditopia_testkit::repository_path;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// How many threads send requests to a server.
const CALLERS: u64 = 4;
/// After this many answers, a worker is killed or all workers are reloaded.
const DISTURB_EVERY: u64 = 100;

/// A spool, and the file of what was acknowledged on it.
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

    /// How many events of each user were acknowledged. The events of a user are numbered from 0 on.
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

    /// The same spool, for clients of this process.
    fn spool(&self) -> TestSpool {
        TestSpool::for_sandbox(&self.api).with("spool", self.program.spool().to_str().unwrap())
    }

    fn library(&self) -> PathBuf {
        self.program.dir().join("libmeditopia.so")
    }

    /// Delivers what the server has left, checks all events, and adds the row.
    fn assert_all_arrived(&self, trials: u64, kills: u64) {
        let report = self.spool().client().flush_ok(secs(120));
        assert_eq!((report.pending, report.in_doubt), (0, 0));

        let acknowledged = self.acknowledged();
        let arrivals = Arrivals::from_sandbox(&self.api);
        let arrived = arrivals.first_appearances();
        let arrived_of = |user: &str| arrived.get(user).map_or(0, |numbers| numbers.len() as u64);
        let outcome = Outcome {
            trials,
            acknowledged: acknowledged.values().sum(),
            delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
            lost: acknowledged
                .iter()
                .map(|(user, events)| events.saturating_sub(arrived_of(user)))
                .sum(),
            duplicated: arrivals.repeats() as u64,
            ..Outcome::default()
        };
        // Each killed process may have been the sender, with a batch in flight.
        add_row(&self.name, outcome, kills);
        assert_eq!(outcome.lost, 0);
        assert!(outcome.duplicated <= kills);
        arrivals.assert_only_whole_requests_came_twice();
        for (user, numbers) in &arrived {
            let known = acknowledged.get(user).copied().unwrap_or(0);
            // A worker may be killed after an enqueue and before it has written the event to the
            // file.
            assert!(
                (known..=known + 1).contains(&(numbers.len() as u64)),
                "{user}"
            );
            assert!(
                numbers.iter().copied().eq(0..numbers.len() as u64),
                "{user}: {numbers:?}"
            );
        }
        assert_eq!(self.program.segments(), Vec::<String>::new(), "left behind");
    }

    /// Starts a server and sends requests to it while its workers are killed and reloaded.
    fn serve(&self, requests: u64, command: &mut Command) {
        let mut master = ChildProcess(command.stderr(Stdio::piped()).spawn().unwrap());
        let pid = i32::try_from(master.0.id()).unwrap();
        let mut stderr = BufReader::new(master.0.stderr.take().unwrap()).lines();
        let url = stderr
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                let (_, rest) = line.split_once("Listening at: ")?;
                Some(rest.split(' ').next().unwrap().to_owned())
            })
            .expect("it listens");
        let drained = std::thread::spawn(move || {
            let lines: Vec<String> = stderr.map_while(Result::ok).collect();
            lines
        });

        let (answers, kills) = (AtomicU64::new(0), AtomicU64::new(0));
        // If the workers only enqueue, this process sends.
        let sender = self.name.ends_with("enqueue").then(|| {
            let spool = self.spool().with("role", "both");
            let client = spool.with("flush_interval_ms", "20").client();
            client.enqueue_for("sender", 0);
            client
        });
        let deadline = Instant::now() + secs(600);
        // Workers answer with their pids. A worker must not be killed twice.
        let last_killed = AtomicI32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    while answers.load(Ordering::Relaxed) < requests {
                        assert!(Instant::now() < deadline, "{}: no answers", self.name);
                        let Some(worker) = request(&url) else {
                            continue;
                        };
                        let number = answers.fetch_add(1, Ordering::Relaxed) + 1;
                        if number % (4 * DISTURB_EVERY) == 0 {
                            signal(pid, libc::SIGHUP);
                        } else if number % DISTURB_EVERY == 0
                            && last_killed.swap(worker, Ordering::Relaxed) != worker
                        {
                            signal(worker, libc::SIGKILL);
                            kills.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // Nothing was flushed: the workers send, or the sender of this process. A new worker sends
        // only from its first request on, so the test goes on with requests.
        let acknowledged = self.acknowledged().values().sum::<u64>();
        while self.api.ledger().accepted_events < acknowledged {
            assert!(Instant::now() < deadline, "{}: not sent", self.name);
            request(&url);
        }
        drop(sender);
        signal(pid, libc::SIGTERM);
        assert!(master.0.wait().unwrap().success());
        let log = drained.join().unwrap();
        for line in &log {
            assert!(
                !line.contains("Error") && !line.contains("check failed"),
                "{log:#?}"
            );
        }
        let kills = kills.into_inner();
        assert!(kills > 0);
        self.assert_all_arrived(answers.into_inner(), kills);
    }
}

/// Makes one request. Returns the pid of the worker, or `None` if it was killed before it answered.
fn request(url: &str) -> Option<i32> {
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
    // SAFETY: `kill` takes no memory; the process was started by this test.
    unsafe { libc::kill(process, number) };
}

/// The path that `.ci/setup` installs gunicorn at.
fn gunicorn() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("venv/bin/gunicorn");
    assert!(path.exists(), "{}: run `make setup`", path.display());
    path
}

fn serve_with_gunicorn(role: &str, master_enqueues: &str) {
    let case = Case::new("gunicorn --preload", role);
    let mut command = Command::new(gunicorn());
    command
        .args([
            "--preload",
            "--workers=4",
            "--bind=127.0.0.1:0",
            "app:application",
        ])
        // Each worker touches a file there, and gunicorn kills a worker that does not. A slow disk
        // must not look like a worker that hangs.
        .args(["--timeout=120", "--worker-tmp-dir=/dev/shm"])
        .current_dir(repository_path("tests/application/programs"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIBRARY", case.library())
        .env("CONFIG", case.program.config())
        .env("ACKNOWLEDGED", case.acknowledged_file())
        .env("MASTER_ENQUEUES", master_enqueues);
    case.serve(trial_count(1_000, 100_000), &mut command);
}

#[test]
fn workers_of_gunicorn_enqueue_with_a_client_that_was_used_before_the_fork() {
    serve_with_gunicorn("enqueue", "1");
}

#[test]
fn workers_of_gunicorn_send_by_themselves_from_their_first_enqueue_on() {
    serve_with_gunicorn("both", "0");
}

fn serve_with_c(role: &str, master: &str) {
    let case = Case::new("prefork server in C", role);
    let acknowledged = case.acknowledged_file();
    let mut command = case
        .program
        .command(&[acknowledged.to_str().unwrap(), "4", "150", master]);
    case.serve(trial_count(2_000, 100_000), &mut command);
}

#[test]
fn workers_of_a_server_in_c_enqueue_with_a_client_that_was_used_before_the_fork() {
    serve_with_c("enqueue", "master");
}

#[test]
fn workers_of_a_server_in_c_send_by_themselves_from_their_first_enqueue_on() {
    serve_with_c("both", "workers");
}

/// Runs a program that forks children and kills every third in the middle of its events.
fn in_children(name: &str, program: impl Fn(&Case) -> Command) {
    for role in ["enqueue", "both"] {
        let case = Case::new(name, role);
        let (processes, events) = (trial_count(8, 100), trial_count(200, 1_000));
        let mut command = program(&case);
        command.args([processes.to_string(), events.to_string()]);
        assert_eq!(stdout_of(&mut command), "");
        case.assert_all_arrived(processes, processes / 3);
    }
}

#[test]
fn children_of_python_multiprocessing_enqueue_with_their_parents_client() {
    in_children("multiprocessing, fork", |case| {
        let mut command = Command::new("python3");
        command
            .arg(repository_path("tests/application/programs/pool.py"))
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
            .arg(repository_path("tests/application/programs/fork.php"))
            .arg(case.library())
            .arg(repository_path("include/meditopia_ffi.h"))
            .args([case.program.config(), case.acknowledged_file()]);
        command
    });
}
