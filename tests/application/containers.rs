//! Containers that share one volume with a spool, each with pids and a path of its own: there is one
//! sender at any moment, and a process is not mistaken for a dead one with the same pid.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::{Arrivals, Event, assert_survived_deaths};
use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::process::state_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::writes_ledger;
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

const SEED: u64 = 23;

#[test]
fn two_containers_on_one_volume_have_one_sender() {
    let deaths = trial_count(20, 200) as usize;
    if !can_run_under(&UNSHARE) {
        return;
    }
    let api = Sandbox::builder().seed(SEED).start();
    api.set_fault(json!({"fault": "delay", "ms": [0, 20], "when": "after"}));
    let volume = tempfile::tempdir().unwrap();
    let spool = volume.path().join("spool");
    let images: Vec<_> = (0..2).map(|_| Image::new(&api, volume.path())).collect();
    let mut containers: Vec<_> = images.iter().map(|image| image.start("both")).collect();
    let mut acknowledged: Vec<Event> = Vec::new();

    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut number = 0;
    for _ in 0..deaths {
        for _ in 0..rng.u64(50..400) {
            let user = format!("u-{}", rng.u8(0..4));
            let container = &containers[rng.usize(0..2)];
            assert!(container.enqueuer.enqueue(&user, number));
            acknowledged.push((user, number));
            number += 1;
        }
        let mut elected: Vec<u32> = Vec::new();
        wait_until("one is elected", || {
            let pids = containers.iter().map(|container| container.pid);
            elected = pids.filter(|pid| writes_ledger(*pid, &spool)).collect();
            !elected.is_empty()
        });
        assert_eq!(elected.len(), 1, "two senders on one store");
        let index = containers
            .iter()
            .position(|container| container.pid == elected[0])
            .unwrap();
        containers[index].kill();
        containers[index] = images[index].start("both");
    }
    // Waits for the container that is elected now.
    client_at(&api, &volume.path().join("spool")).flush_ok(secs(60));

    let fault = "death of the sender in one of two containers";
    assert_survived_deaths(fault, &api, deaths, &acknowledged).assert_one_connection_at_a_time();
}

#[test]
fn a_process_with_the_pid_of_the_dead_sender_is_not_mistaken_for_it() {
    if !can_run_under(&UNSHARE) {
        return;
    }
    let api = Sandbox::start();
    let volume = tempfile::tempdir().unwrap();
    let spool = volume.path().join("spool");
    let image = Image::new(&api, volume.path());
    let segments = || -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(spool.join("journal")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };

    // The first request is never answered, so all events are still pending when their process dies.
    api.set_fault(json!({"fault": "delay", "ms": 600_000, "when": "before"}));
    let dead = image.start("both");
    for number in 0..20 {
        assert!(dead.enqueuer.enqueue("dead", number));
    }
    wait_until("a request is sent", || api.ledger().requests > 0);
    wait_until("the heartbeat names the sender", || {
        dead.enqueuer.sender().0 != -1
    });
    assert_eq!(dead.enqueuer.sender().0, 1, "its pid in its own namespace");
    dead.kill();
    let segments_of_dead = segments();
    api.clear_faults();

    let idle = image.start("enqueue");
    assert!(idle.enqueuer.enqueue("idle", 0));
    let sender = image.start("both");
    assert!(sender.enqueuer.enqueue("sender", 0));
    api.wait_for_events(22);

    wait_until("the segments of the dead process are removed", || {
        segments().is_disjoint(&segments_of_dead)
    });
    assert_eq!(segments().len(), 2, "those of the two living processes");
    let arrivals = Arrivals::from_sandbox(&api);
    assert!(
        arrivals.first_appearances()["dead"]
            .iter()
            .copied()
            .eq(0..20)
    );
    assert_eq!(arrivals.duplicates(), 0);
}

/// What containers are started from: a program, and the path at which it sees the volume.
struct Image {
    volume: PathBuf,
    mount_point: PathBuf,
    program: CProgram,
}

impl Image {
    fn new(api: &Sandbox, volume: &Path) -> Self {
        let program = CProgram::compile("enqueuer.c");
        let mount_point = program.dir().join("volume");
        fs::create_dir(&mount_point).unwrap();
        let spool = mount_point.join("spool");
        let options = [
            ("spool", spool.to_str().unwrap()),
            ("flush_interval_ms", "20"),
        ];
        Self {
            volume: volume.to_owned(),
            mount_point,
            program: program.with_config(api, &options),
        }
    }

    fn start(&self, role: &str) -> Container {
        let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        let mut runner: Vec<&str> = UNSHARE.to_vec();
        runner.extend(["sh", "-c", script, "sh"]);
        runner.extend([
            self.volume.to_str().unwrap(),
            self.mount_point.to_str().unwrap(),
        ]);
        let enqueuer = Enqueuer::spawn(&mut self.program.command_under(&runner, &[role]));
        let children = format!("/proc/{0}/task/{0}/children", enqueuer.pid());
        let mut pid = 0;
        wait_until("the shell has become the program", || {
            let child = fs::read_to_string(&children).unwrap();
            pid = child.trim().parse().unwrap_or(0);
            let executable = fs::read_link(format!("/proc/{pid}/exe"));
            executable.is_ok_and(|path| path.ends_with("program"))
        });
        Container { enqueuer, pid }
    }
}

/// A process that is alone in its pid namespace.
struct Container {
    enqueuer: Enqueuer,
    /// The pid of the program outside of the container.
    pid: u32,
}

impl Container {
    /// Kills the container; returns when its program has ended.
    fn kill(&self) {
        self.enqueuer.kill();
        // The process that inherits the program may be slow to reap it.
        wait_until("it has ended", || {
            matches!(state_of(self.pid), None | Some('Z'))
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
    TestSpool::for_sandbox(api)
        .with("spool", spool.to_str().unwrap())
        .client()
}
