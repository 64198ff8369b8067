//! Where a spool lies: removed and made anew under its sender, copied, moved, seen by two containers
//! under two paths. Never do two senders work on one store, nor one on a store that is not at its path.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::{Arrivals, Event, assert_survived_deaths};
use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::process::{has_open, open_descriptors, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

const SEED: u64 = 23;

#[test]
fn a_sender_whose_spool_was_replaced_never_touches_the_new_one() {
    for aside in [true, false] {
        let api = Sandbox::start();
        let program =
            CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
        let old = Enqueuer::start(&program, "both");
        assert!(old.enqueue("old", 0));
        api.wait_for_events(1);
        assert!(has_open(old.pid(), &program.spool().join("store.db")));

        let gone = program.dir().join("gone");
        fs::rename(program.spool(), &gone).unwrap();
        if !aside {
            fs::remove_dir_all(&gone).unwrap();
        }
        let new = Enqueuer::start(&program, "enqueue");
        for number in 0..50 {
            assert!(new.enqueue("new", number));
        }
        wait_until("it has let go of the old store", || !has_a_store(old.pid()));
        let client = client_at(&api, &program.spool());
        assert_eq!(client.flush_ok(secs(30)).delivered, 50);
        for number in 50..100 {
            assert!(new.enqueue("new", number));
        }
        assert_eq!(client.flush_ok(secs(30)).delivered, 50);

        let arrivals = Arrivals::from_sandbox(&api);
        assert!(
            arrivals.first_appearances()["new"]
                .iter()
                .copied()
                .eq(0..100)
        );
        assert_eq!(arrivals.duplicates(), 0);
        assert!(!has_a_store(old.pid()));
    }
}

#[test]
fn a_copy_is_refused_until_adopted_and_then_sends_what_waits_in_it() {
    // Another file system where there is one, and the same one for sure.
    for parent in [
        Path::new("/dev/shm"),
        Path::new("/tmp"),
        Path::new("/var/tmp"),
    ] {
        if parent.is_dir() {
            let elsewhere = tempfile::tempdir_in(parent).unwrap();
            a_copy_is_refused_until_adopted(elsewhere.path());
        }
    }
}

fn a_copy_is_refused_until_adopted(elsewhere: &Path) {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_users(0..2);
    client.flush_ok(secs(10));
    client.enqueue_users(2..7);
    drop(client);
    let copy = elsewhere.join("spool");
    stdout_of(Command::new("cp").arg("-a").arg(host.path()).arg(&copy));

    let host = host.with("spool", copy.to_str().unwrap());
    let refused = Client::open(host.config()).err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}");
    assert!(refused.message().contains("meditopia adopt"), "{refused}");
    assert_eq!(api.ledger().accepted_events, 2);

    let mut adopt = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    stdout_of(
        adopt
            .arg("adopt")
            .arg(&copy)
            .args(["--endpoint", api.endpoint()])
            // Variables of the tests are no options, which it would say.
            .env_clear(),
    );
    assert_eq!(host.client().flush_ok(secs(10)).delivered, 5);
    assert_eq!(Arrivals::from_sandbox(&api).duplicates(), 0);
}

#[test]
fn a_spool_that_is_moved_within_its_file_system_goes_on() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_users(0..5);
    drop(client);
    let moved = host.path().with_file_name("moved");
    fs::rename(host.path(), &moved).unwrap();

    assert_eq!(client_at(&api, &moved).flush_ok(secs(10)).delivered, 5);
}

#[test]
fn two_containers_on_one_volume_have_one_sender() {
    let deaths = trial_count(20, 200) as usize;
    if !can_run_under(&UNSHARE) {
        return;
    }
    let api = Sandbox::builder().seed(SEED).start();
    api.set_fault(json!({"fault": "delay", "ms": [0, 20], "when": "after"}));
    let volume = tempfile::tempdir().unwrap();
    let store = volume.path().join("spool/store.db");
    let places: Vec<_> = (0..2)
        .map(|_| Container::place(&api, volume.path()))
        .collect();
    let mut containers: Vec<_> = places.iter().map(|p| Container::start(p, "both")).collect();
    let mut acknowledged: Vec<Event> = Vec::new();

    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut number = 0;
    for _ in 0..deaths {
        for _ in 0..rng.u64(50..400) {
            let user = format!("u-{}", rng.u8(0..4));
            let container = &containers[rng.usize(0..2)];
            assert!(container.worker.enqueue(&user, number));
            acknowledged.push((user, number));
            number += 1;
        }
        let mut elected: Vec<u32> = Vec::new();
        wait_until("one is elected", || {
            let pids = containers.iter().map(|container| container.program);
            elected = pids.filter(|pid| has_open(*pid, &store)).collect();
            !elected.is_empty()
        });
        assert_eq!(elected.len(), 1, "two senders on one store");
        let index = containers
            .iter()
            .position(|c| c.program == elected[0])
            .unwrap();
        containers[index].end();
        containers[index] = Container::start(&places[index], "both");
    }
    // By the one that is elected now.
    client_at(&api, &volume.path().join("spool")).flush_ok(secs(60));

    let fault = "death of the sender in one of two containers";
    assert_survived_deaths(fault, &api, deaths, &acknowledged).assert_one_connection_at_a_time();
}

#[test]
fn a_process_with_the_pid_of_the_dead_sender_is_taken_for_itself() {
    if !can_run_under(&UNSHARE) {
        return;
    }
    let api = Sandbox::start();
    let volume = tempfile::tempdir().unwrap();
    let spool = volume.path().join("spool");
    let place = Container::place(&api, volume.path());
    let journal = || -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(spool.join("journal")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };

    // Its first request is never answered, so that all it has enqueued waits when it dies.
    api.set_fault(json!({"fault": "delay", "ms": 600_000, "when": "before"}));
    let dead = Container::start(&place, "both");
    for number in 0..20 {
        assert!(dead.worker.enqueue("dead", number));
    }
    wait_until("it sends", || api.ledger().requests > 0);
    wait_until("it says who sends", || dead.worker.sender().0 != -1);
    assert_eq!(dead.worker.sender().0, 1, "its pid, as it sees it");
    dead.end();
    let of_the_dead = journal();
    api.clear_faults();

    let idle = Container::start(&place, "enqueue");
    assert!(idle.worker.enqueue("idle", 0));
    let sender = Container::start(&place, "both");
    assert!(sender.worker.enqueue("sender", 0));
    api.wait_for_events(22);

    wait_until("the segments of the dead are gone", || {
        journal().is_disjoint(&of_the_dead)
    });
    assert_eq!(journal().len(), 2, "of the two that live");
    let arrivals = Arrivals::from_sandbox(&api);
    assert!(
        arrivals.first_appearances()["dead"]
            .iter()
            .copied()
            .eq(0..20)
    );
    assert_eq!(arrivals.duplicates(), 0);
}

/// A process alone in its pid namespace, with the volume at a place of its own.
struct Container {
    worker: Enqueuer,
    /// The program's pid outside.
    program: u32,
}

impl Container {
    /// Where `volume` stands in containers, and the program that they run.
    fn place(api: &Sandbox, volume: &Path) -> (PathBuf, PathBuf, CProgram) {
        let mut program = CProgram::compile("enqueuer.c");
        let mount_point = program.dir().join("volume");
        fs::create_dir(&mount_point).unwrap();
        let spool = mount_point.join("spool");
        let options = [
            ("spool", spool.to_str().unwrap()),
            ("flush_interval_ms", "20"),
        ];
        program = program.with_config(api, &options);
        (volume.to_owned(), mount_point, program)
    }

    fn start((volume, mount_point, program): &(PathBuf, PathBuf, CProgram), role: &str) -> Self {
        let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        let mut runner: Vec<&str> = UNSHARE.to_vec();
        runner.extend(["sh", "-c", script, "sh"]);
        runner.extend([volume.to_str().unwrap(), mount_point.to_str().unwrap()]);
        let worker = Enqueuer::spawn(&mut program.command_under(&runner, &[role]));
        let children = format!("/proc/{0}/task/{0}/children", worker.pid());
        let mut program = 0;
        wait_until("the program has taken the shell's place", || {
            let child = fs::read_to_string(&children).unwrap();
            program = child.trim().parse().unwrap_or(0);
            let runs = fs::read_link(format!("/proc/{program}/exe"));
            runs.is_ok_and(|path| path.ends_with("program"))
        });
        Self { worker, program }
    }

    /// Kills it; returns when nothing of it is left.
    fn end(&self) {
        self.worker.kill();
        // Whoever adopts it may reap it in its own time.
        wait_until("it has ended", || {
            matches!(
                meditopia_testkit::process::state_of(self.program),
                None | Some('Z')
            )
        });
    }
}

const UNSHARE: [&str; 6] = [
    "unshare",
    "--mount",
    "--pid",
    "--mount-proc",
    "--fork",
    "--kill-child",
];

fn client_at(api: &Sandbox, spool: &Path) -> Client {
    let host = TestSpool::for_sandbox(api).with("spool", spool.to_str().unwrap());
    host.client()
}

/// Whether a process has any store open, be it one that is gone.
fn has_a_store(pid: u32) -> bool {
    let links = open_descriptors(pid).into_iter().map(fs::read_link);
    links
        .flatten()
        .any(|open| open.to_string_lossy().contains("store.db"))
}
