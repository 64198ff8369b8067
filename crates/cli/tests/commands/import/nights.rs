//! The nightly import of the operator's guide, for cron and for systemd, over three nights.

use std::fs;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::repository_path;
use meditopia_testkit::sandbox::Sandbox;

use super::{Fixture, arrived_once, gzip, printed};

const CONFIG: &str = "/etc/meditopia/shop.toml";
const BAD: &str = "/var/lib/meditopia/shop/bad";
const INPUT: &str = "/srv/exports/events.csv";

/// The block of the guide with this language, in its section about nightly imports.
fn block(language: &str) -> String {
    let guide = fs::read_to_string(repository_path("docs/operating.md")).unwrap();
    let (_, section) = guide.split_once("### A nightly import\n").unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// The command of the recipe, which is the same for both.
fn recipe() -> Vec<String> {
    let of_cron = block("crontab");
    let (_, of_cron) = of_cron.split_once("meditopia ").unwrap();
    let of_systemd = block("ini");
    let (_, of_systemd) = of_systemd
        .split_once("ExecStart=/usr/bin/meditopia ")
        .unwrap();
    let of_systemd = of_systemd.lines().next().unwrap();
    assert_eq!(of_cron.trim(), of_systemd);
    of_systemd.split(' ').map(str::to_owned).collect()
}

struct Job {
    fixture: Fixture,
    command: Vec<String>,
}

impl Job {
    fn new(api: &Sandbox) -> Self {
        let fixture = Fixture::new(api);
        let spool = fixture.spool.path();
        fixture.input("token", api.token());
        fixture.input(
            "shop.toml",
            format!(
                "spool = {spool:?}\nbearer_token_file = {:?}\n",
                fixture.inputs.path().join("token")
            ),
        );
        fs::create_dir(fixture.inputs.path().join("bad")).unwrap();
        let here = |path: &str| fixture.inputs.path().join(path).display().to_string();
        let command = recipe()
            .into_iter()
            .map(|word| match &*word {
                CONFIG => here("shop.toml"),
                BAD => here("bad"),
                INPUT => here("events.csv"),
                _ => word,
            })
            .collect();
        Self { fixture, command }
    }

    fn command(&self) -> Command {
        let mut command = meditopia_testkit::meditopia();
        command.args(&self.command).stdin(Stdio::null());
        // A job starts where it cannot write.
        command.current_dir("/proc");
        command
    }

    fn run(&self) -> Output {
        let output = self.command().output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        output
    }

    fn bad_files(&self) -> usize {
        let bad = self.fixture.inputs.path().join("bad");
        fs::read_dir(bad).unwrap().count()
    }
}

/// The export of a night.
fn export(night: &str, rows: usize) -> String {
    let rows = (0..rows).map(|number| format!("t,{night},video,{number}\n"));
    "token,partner_user_id,event,event_value\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn the_nightly_import_of_the_guide_works_for_three_nights_through_a_bad_row_a_crash_and_a_redelivery()
 {
    const ROWS: usize = 10_000;
    let api = Sandbox::start();
    let job = Job::new(&api);

    // A bad row: it is listed, and the job is done.
    let first = export("first", 500) + "t,,video,500\n";
    job.fixture.input("events.csv", &first);
    let output = job.run();
    let said = printed(&output);
    assert!(
        said.contains("queued 500 of 501 records; 1 bad (listed in "),
        "{said}"
    );
    assert!(
        said.contains("500 delivered, 0 rejected; nothing pending"),
        "{said}"
    );
    assert_eq!(job.bad_files(), 1);

    // Another bad row, and a crash in the middle; the next start of the same job goes on.
    job.fixture
        .input("events.csv", export("second", ROWS) + "t,,video,1\n");
    let place = job.fixture.inputs.path().join("events.csv");
    let mut crashed = job.command();
    crashed.args(["--commit-bytes", "20000"]);
    crashed.stdout(Stdio::null()).stderr(Stdio::null());
    let mut crashed = crashed.spawn().unwrap();
    job.fixture
        .wait_for_committed(place.to_str().unwrap(), 1_000);
    crashed.kill().unwrap();
    crashed.wait().unwrap();
    assert!(job.fixture.committed_records(place.to_str().unwrap()) < ROWS as u64);
    let said = printed(&job.run());
    assert!(said.contains("queued before, 1 bad"), "{said}");
    assert_eq!(job.bad_files(), 2);

    // The first night's file is redelivered, as it was and packed: nothing is sent twice.
    for again in [first.clone().into_bytes(), gzip(first.as_bytes())] {
        job.fixture.input("events.csv", again);
        let said = printed(&job.run());
        assert!(
            said.contains("queued 0 of 501 records; 500 queued before, 1 bad"),
            "{said}"
        );
    }
    // A night on which all is well says nothing, so cron sends no mail.
    job.fixture.input("events.csv", export("third", 300));
    assert_eq!(printed(&job.run()), "");
    assert_eq!(job.bad_files(), 2);

    let users = arrived_once(&api);
    let arrived = ["first", "second", "third"].map(|night| users[night].len());
    assert_eq!(arrived, [500, ROWS, 300]);
}

#[test]
fn systemd_accepts_the_units_of_the_nightly_import() {
    let dir = tempfile::tempdir().unwrap();
    let unit = block("ini");
    let (service, timer) = unit
        .split_once("# /etc/systemd/system/meditopia-import.timer\n")
        .unwrap();
    let command = meditopia_testkit::meditopia_command();
    let service = service.replace("/usr/bin/meditopia", command.to_str().unwrap());
    let service = service.replace("User=shop", "User=daemon");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let units = [
        write("meditopia-import.service", &service),
        write("meditopia-import.timer", timer),
    ];
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    let verified = verify.args(&units).output().unwrap();
    assert_eq!(
        (verified.status.code(), printed(&verified)),
        (Some(0), String::new())
    );
}
