//! `meditopia run` by this repository's unit under a systemd that is process 1: ready, status, reload,
//! watchdog, credential, restart and stop, as systemd sees them.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use meditopia_testkit::privileges::report_skip;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::wait::wait_until;
use meditopia_testkit::{meditopia_command, repository_path};

const UNIT: &str = "meditopia@shop.service";
/// The status of the script where the machine has no overlay or no cgroup2.
const NOT_HERE: i32 = 77;
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// A systemd in namespaces of its own. All of it ends with this value.
struct Machine {
    unshare: Child,
    /// The pid of systemd outside.
    init: String,
    _dir: tempfile::TempDir,
}

impl Machine {
    /// `None` where no systemd can be booted.
    fn boot(api: &Sandbox) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(SYSTEMD).exists() {
            report_skip("systemd as process 1: needs root and systemd");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = repository_path("crates/cli/tests/service/boot_systemd.sh");
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let work = dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let mut unshare = Command::new("unshare")
            .args([
                "--fork",
                "--kill-child",
                "--pid",
                "--mount",
                "--uts",
                "--ipc",
                "--cgroup",
            ])
            .arg("bash")
            .args([
                &script,
                &work,
                &meditopia_command(),
                &repository_path("bindings/systemd"),
            ])
            .arg(api.address().port().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let mut init = String::new();
        let mut ended = None;
        wait_until("systemd is process 1", || {
            ended = unshare.try_wait().unwrap();
            if ended.is_some() {
                return true;
            }
            let pids = std::fs::read_to_string(&children).unwrap_or_default();
            init = pids.trim().to_owned();
            let name = std::fs::read_to_string(format!("/proc/{init}/comm"));
            name.is_ok_and(|name| name == "systemd\n")
        });
        if let Some(status) = ended {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert_eq!(status.code(), Some(NOT_HERE), "{log}");
            report_skip(&format!("systemd as process 1: {log}"));
            return None;
        }
        let machine = Self {
            unshare,
            init,
            _dir: dir,
        };
        wait_until("systemd answers and the service is active", || {
            machine.show("ActiveState") == "active"
        });
        Some(machine)
    }

    fn inside(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init, "--all"])
            .args(program);
        command
    }

    fn systemctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.inside(&["systemctl"]);
        command.args(arguments).output().unwrap()
    }

    fn show(&self, property: &str) -> String {
        let shown = self.systemctl(&["show", UNIT, "--value", "--property", property]);
        String::from_utf8(shown.stdout).unwrap().trim().to_owned()
    }

    fn wait_for(&self, property: &str, value: &str) {
        wait_until(&format!("{property} is {value}"), || {
            self.show(property) == value
        });
    }

    fn journal(&self) -> String {
        let mut command = self.inside(&["journalctl", "--no-pager", "--unit", UNIT]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn wait_for_journal(&self, text: &str) {
        wait_until(&format!("the journal has {text:?}"), || {
            self.journal().contains(text)
        });
    }

    /// Writes a file inside.
    fn write(&self, path: &str, text: &str) {
        let mut command = self.inside(&["tee", path]);
        let mut tee = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tee.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(tee.wait().unwrap().success());
    }

    /// Enqueues an event as an application of the spool's user does.
    fn enqueue(&self, user: &str) {
        let event = format!(
            "{{\"token\":\"t\",\"partner_user_id\":\"{user}\",\"event\":\"video\",\"received_at\":\"2024-08-06 15:04:05\"}}\n"
        );
        let file = format!("/tmp/{user}.ndjson");
        self.write(&file, &event);
        let import = [
            "meditopia",
            "import",
            &file,
            "--spool",
            "/var/lib/meditopia/shop/spool",
        ];
        let imported = self.inside(&import).output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
    }

    fn signal_main(&self, signal: &str) {
        let sent = self.systemctl(&["kill", "--kill-who=main", "--signal", signal, UNIT]);
        assert!(sent.status.success(), "{sent:?}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

#[test]
fn a_service_under_systemd_has_its_credential_reloads_and_comes_back_from_a_hang_and_a_kill() {
    let api = Sandbox::start();
    let Some(machine) = Machine::boot(&api) else {
        return;
    };
    // Ready, with its status, and with the token that only systemd could read.
    wait_until("the status says that it sends", || {
        machine.show("StatusText").starts_with("sending")
    });
    machine.enqueue("u-1");
    api.wait_for_events(1);

    // A reload ends when it is applied, and says each option.
    let config = |lines: &str| {
        let port = api.address().port();
        let endpoint = format!("endpoint = \"http://127.0.0.1:{port}/default/v1/events\"\n");
        machine.write("/etc/meditopia/shop.toml", &(endpoint + lines));
        let reloaded = machine.systemctl(&["reload", UNIT]);
        assert!(reloaded.status.success(), "{reloaded:?}");
    };
    config("flush_interval_ms = 30\nlog_level = \"debug\"\naccount = \"other\"\n");
    machine.wait_for_journal("reload: changed flush_interval_ms, log_level");
    machine.wait_for_journal("reload: account cannot change while the process runs");
    config("flush_interval_ms = 30\nlog_level = \"debug\"\n");
    machine.wait_for_journal(
        "reload: no option has changed; the service manager passes a new credential",
    );
    assert!(!machine.journal().contains("sandbox-token"));

    // A process that hangs misses its watchdog, and another one follows.
    machine.signal_main("STOP");
    machine.wait_for("NRestarts", "1");
    machine.wait_for("ActiveState", "active");
    machine.wait_for_journal("Watchdog timeout");
    machine.enqueue("u-2");
    api.wait_for_events(2);
    machine.signal_main("KILL");
    machine.wait_for("NRestarts", "2");
    machine.wait_for("ActiveState", "active");
    machine.enqueue("u-3");
    api.wait_for_events(3);

    // A stop is an end without failure; a wrong configuration is not tried again.
    assert!(machine.systemctl(&["stop", UNIT]).status.success());
    assert_eq!(
        [
            machine.show("ActiveState"),
            machine.show("Result"),
            machine.show("ExecMainStatus")
        ],
        ["inactive", "success", "0"]
    );
    machine.write("/etc/meditopia/shop.toml", "lanes = 99\n");
    assert!(!machine.systemctl(&["start", UNIT]).status.success());
    assert_eq!(machine.show("ExecMainStatus"), "2");
    assert_eq!(machine.show("NRestarts"), "0");
}

#[test]
fn what_the_page_of_the_units_tells_to_type_starts_a_service_that_delivers() {
    let api = Sandbox::start();
    let Some(machine) = Machine::boot(&api) else {
        return;
    };
    // The spool stays, because it knows the endpoint; all else is as on a new host.
    let stopped = machine.systemctl(&["stop", UNIT]);
    assert!(stopped.status.success(), "{stopped:?}");
    let units = "/lib/systemd/system/meditopia@.service";
    let removed = machine
        .inside(&["rm", "-r", "/etc/meditopia", units])
        .status();
    assert!(removed.unwrap().success());
    for entry in std::fs::read_dir(repository_path("bindings/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        machine.write(
            &format!("/tmp/{name}"),
            &std::fs::read_to_string(&path).unwrap(),
        );
    }
    machine.write("/tmp/my-token", "sandbox-token");
    let page = std::fs::read_to_string(repository_path("bindings/systemd/README.md")).unwrap();
    let (_, block) = page.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let typed = machine
        .inside(&["sh", "-eu", "-c", &format!("cd /tmp\n{block}")])
        .output()
        .unwrap();
    assert!(typed.status.success(), "{typed:?}");
    let printed = String::from_utf8_lossy(&typed.stdout);
    assert!(printed.contains("Active: active (running)"), "{printed}");
    machine.enqueue("u-1");
    api.wait_for_events(1);
}
