//! The files that are deployed beside the command: units for systemd, alerts and a dashboard for
//! Prometheus.
//!
//! No unit is started, because that takes systemd as process 1. The tests check that systemd
//! accepts the units, and that a real delivery makes no system call outside their filters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::{meditopia_command, repository_path};
use rustix::process::Signal;

/// The highest exposure that `systemd-analyze security` may report, in tenths. It calls 2.0 "OK".
const EXPOSURE_MAX: &str = "--threshold=20";

/// Runs a command that has to succeed; returns everything that it prints.
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{:?}: {e}; run .ci/setup", command.get_program());
    });
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{command:?}:\n{printed}");
    printed
}

/// The units as an installation has them, those of a spool as instances for the user `daemon`.
fn installed_units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let command = meditopia_command();
    let mut instances = Vec::new();
    for entry in fs::read_dir(repository_path("bindings/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name != "README.md" {
            let unit = fs::read_to_string(&path).unwrap();
            let instance = dir.path().join(name.replace('@', "@daemon"));
            let unit = unit.replace("/usr/bin/meditopia", command.to_str().unwrap());
            fs::write(&instance, unit).unwrap();
            instances.push(instance);
        }
    }
    assert_eq!(instances.len(), 4);
    (dir, instances)
}

#[test]
fn systemd_accepts_the_units() {
    let (_dir, units) = installed_units();
    let complaints = output_of(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args(&units),
    );
    assert_eq!(complaints, "");
}

#[test]
fn the_systemd_services_are_hardened() {
    let (_dir, units) = installed_units();
    for unit in units {
        if unit.extension().unwrap() == "service" {
            output_of(
                Command::new("systemd-analyze")
                    .args(["security", "--offline=true", "--no-pager", EXPOSURE_MAX])
                    .arg(&unit),
            );
        }
    }
}

/// Every set of system calls that systemd knows, with its direct members.
fn syscall_sets() -> BTreeMap<String, Vec<String>> {
    let text = output_of(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]));
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        // A comment begins with #.
        if line.starts_with('@') {
            line.clone_into(&mut current);
        } else if !line.trim().starts_with('#') && line.starts_with(' ') {
            sets.entry(current.clone())
                .or_default()
                .push(line.trim().to_owned());
        }
    }
    sets
}

fn calls_of(set: &str, sets: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let members = sets.get(set).unwrap_or_else(|| panic!("no set {set}"));
    let expand = |member: &String| match member.starts_with('@') {
        true => calls_of(member, sets),
        false => BTreeSet::from([member.clone()]),
    };
    members.iter().flat_map(expand).collect()
}

/// The system calls that the filter of a unit allows.
fn allowed_calls(unit: &str) -> BTreeSet<String> {
    let unit = fs::read_to_string(repository_path(unit)).unwrap();
    let sets = syscall_sets();
    let mut allowed = BTreeSet::new();
    for line in unit.lines() {
        let Some(filter) = line.strip_prefix("SystemCallFilter=") else {
            continue;
        };
        let removes = filter.starts_with('~');
        for set in filter.trim_start_matches('~').split(' ') {
            for call in calls_of(set, &sets) {
                if removes {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
    }
    assert!(allowed.contains("write") && !allowed.contains("mount"));
    allowed
}

/// The system calls in the output of `strace -f -o`.
fn traced_calls(trace: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap();
    let call = |line: &str| {
        let (_pid, rest) = line.split_once(' ')?;
        let (name, _) = rest
            .trim_start()
            .trim_start_matches("<... ")
            .split_once(['(', ' '])?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_name && !name.is_empty()).then(|| name.to_owned())
    };
    text.lines().filter_map(call).collect()
}

/// The same command under `strace`.
fn under_strace(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(trace)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    strace
}

#[test]
fn a_delivery_makes_no_system_call_outside_the_filter_of_its_unit() {
    let api = Sandbox::builder().unknown_user("u-7").start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let trace = spool.path("trace");

    spool.client().enqueue_users(0..200);
    output_of(&mut under_strace(&spool.command("flush", &[]), &trace));
    let of_flush = traced_calls(&trace);

    let command = spool.command("run", &["--listen", "127.0.0.1:0"]);
    let mut service = Service::start(under_strace(&command, &trace));
    service.wait_for_log("elected");
    spool.client().enqueue_users(200..400);
    api.wait_for_events(398);
    service.wait_for_answer("/metrics", 200, "meditopia_events_delivered_total");
    // strace itself would only detach.
    let children = service.read_proc(&format!("task/{}/children", service.pid()));
    let pid = children.trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM)
        .unwrap();
    assert!(service.wait_for_end().success());
    let of_run = traced_calls(&trace);

    for (unit, called) in [
        ("bindings/systemd/meditopia-flush@.service", of_flush),
        ("bindings/systemd/meditopia@.service", of_run),
    ] {
        assert!(
            called.contains("sendmsg") || called.contains("write"),
            "{called:?}"
        );
        assert!(called.len() > 30, "{called:?}");
        let allowed = allowed_calls(unit);
        // SQLite calls fchown only as root, and no unit runs as root.
        let as_root = rustix::process::geteuid().is_root();
        let outside: Vec<&String> = called
            .difference(&allowed)
            .filter(|call| !(as_root && *call == "fchown"))
            .collect();
        println!("{unit}: {} different calls", called.len());
        assert!(outside.is_empty(), "{unit}: {outside:?}");
    }
}

#[test]
fn each_prometheus_alert_fires_when_it_should_and_not_before() {
    let dir = repository_path("bindings/prometheus");
    output_of(
        Command::new("promtool")
            .args(["check", "rules", "meditopia.rules.yml"])
            .current_dir(&dir),
    );
    output_of(
        Command::new("promtool")
            .args(["test", "rules", "meditopia.test.yml"])
            .current_dir(&dir),
    );
    let rules = fs::read_to_string(dir.join("meditopia.rules.yml")).unwrap();
    let cases = fs::read_to_string(dir.join("meditopia.test.yml")).unwrap();
    let guide = fs::read_to_string(repository_path("docs/operating.md")).unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 9);
    for alert in alerts {
        assert!(
            cases.contains(&format!("alertname: {alert}")),
            "{alert} has no case"
        );
        assert!(
            guide.contains(&format!("`{alert}`")),
            "the guide does not say what to do for {alert}"
        );
    }
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("meditopia_"))
        .collect()
}

#[test]
fn alerts_and_dashboard_use_only_metrics_that_the_service_has() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let service = spool.start_service(&[]);
    service.wait_for_answer("/metrics", 200, "meditopia_sender_seen_timestamp_seconds{");
    let (_, text) = service.get("/metrics");
    let there = metrics_in(&text);
    let dashboard =
        fs::read_to_string(repository_path("bindings/prometheus/dashboard.json")).unwrap();
    let _: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let rules =
        fs::read_to_string(repository_path("bindings/prometheus/meditopia.rules.yml")).unwrap();
    for used in [metrics_in(&dashboard), metrics_in(&rules)] {
        assert!(used.len() > 5);
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn every_alert_and_every_panel_keeps_hosts_apart_whose_spools_have_the_same_path() {
    for file in ["meditopia.rules.yml", "dashboard.json"] {
        let text = fs::read_to_string(repository_path("bindings/prometheus").join(file)).unwrap();
        let groups: Vec<&str> = text.split(" by (").skip(1).collect();
        assert!(groups.len() > 10, "{file}");
        for group in groups {
            let kept = group.split(')').next().unwrap();
            assert!(kept.starts_with("instance, spool"), "{file}: by ({kept})");
        }
    }
}
