//! One drill: a spool, the service that sends from it, the local API, and what is said of a fault.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::test_clocks::TestClocks;
use meditopia_testkit::wait::{WAIT_LIMIT, wait_until};

use crate::alerts::{self, Scrape};
use crate::table;

/// Where a drill looks, in the order of the table's columns.
const NEEDS_YES: i32 = 3;
/// `recover` cannot know what a damaged header named.
const MAY_HAVE_LOST: i32 = 4;

const PLACES: [&str; 6] = ["status", "--check", "doctor", "/readyz", "alert", "log"];

pub struct Drill {
    name: &'static str,
    pub api: Sandbox,
    pub spool: ConfiguredSpool,
    pub service: Option<Service>,
    pub client: Client,
    /// How many events are acknowledged: each has a number of its own.
    acknowledged: usize,
    struck: Instant,
    before: Scrape,
    said: [Vec<String>; 6],
    ended_by: String,
    /// What each program of the drill runs on, if not on the clocks of the host.
    clocks: Option<TestClocks>,
    /// So much later than it is the commands are run.
    later: Duration,
}

impl Drill {
    /// A spool of which ten events were delivered by `meditopia run`.
    pub fn start(name: &'static str) -> Self {
        let api = Sandbox::start();
        let spool = ConfiguredSpool::new(api.endpoint(), api.token());
        Self::start_on(name, "", api, spool, None)
    }

    /// The same on clocks that are set.
    pub fn start_on_clocks(name: &'static str) -> Self {
        let api = Sandbox::start();
        let spool = ConfiguredSpool::new(api.endpoint(), api.token());
        let clocks = TestClocks::in_directory(&spool.path(""));
        Self::start_on(name, "", api, spool, Some(clocks))
    }

    /// The same with more lines in the configuration, on a spool of the caller's.
    pub fn start_on(
        name: &'static str,
        lines: &str,
        api: Sandbox,
        spool: ConfiguredSpool,
        clocks: Option<TestClocks>,
    ) -> Self {
        let mut drill = Self::without_sender(name, lines, api, spool, clocks);
        drill.start_service();
        drill.service().wait_for_log("elected");
        drill.enqueue(10);
        drill.api.wait_for_events(10);
        drill
    }

    /// The same, and nobody has ever sent from it.
    pub fn start_without_sender(name: &'static str) -> Self {
        let api = Sandbox::start();
        let spool = ConfiguredSpool::new(api.endpoint(), api.token());
        let clocks = TestClocks::in_directory(&spool.path(""));
        Self::without_sender(name, "", api, spool, Some(clocks))
    }

    fn without_sender(
        name: &'static str,
        lines: &str,
        api: Sandbox,
        spool: ConfiguredSpool,
        clocks: Option<TestClocks>,
    ) -> Self {
        let token = spool.token_file();
        spool.configure(&format!(
            "bearer_token_file = {token:?}\nflush_interval_ms = 200\n{lines}"
        ));
        Self {
            name,
            api,
            client: spool.client(),
            spool,
            service: None,
            acknowledged: 0,
            struck: Instant::now(),
            before: Scrape::of_nobody(),
            said: Default::default(),
            ended_by: String::new(),
            clocks,
            later: Duration::ZERO,
        }
    }

    /// Enqueues this many events, each of another user.
    pub fn enqueue(&mut self, events: usize) {
        let from = self.acknowledged;
        self.client.enqueue_users(from..from + events);
        self.acknowledged += events;
    }

    /// From here on everything is said of the fault.
    pub fn strike(&mut self) {
        self.before = self.scrape();
        self.struck = Instant::now();
    }

    /// From here on the commands are run so much later, by their clocks. No process may send.
    pub fn wait(&mut self, minutes: u64) {
        self.later = Duration::from_secs(minutes * 60);
        self.set_wall(self.later.as_secs().cast_signed());
    }

    /// Sets the wall clock of all programs of the drill.
    pub fn set_wall(&self, seconds: i64) {
        self.clocks.as_ref().unwrap().set_wall(seconds);
    }

    fn scrape(&self) -> Scrape {
        match &self.service {
            Some(service) => Scrape::of(&service.get("/metrics").1),
            None => Scrape::of_nobody(),
        }
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    pub fn start_service(&mut self) {
        self.service = Some(self.another_service());
    }

    pub fn another_service(&self) -> Service {
        let mut command = self.spool.command("run", &["--listen", "127.0.0.1:0"]);
        self.clocks
            .iter()
            .for_each(|clocks| clocks.prepare(&mut command));
        Service::start(command)
    }

    /// What `meditopia` prints with these arguments and the drill's configuration.
    pub fn output(&self, arguments: &[&str]) -> Output {
        let (name, arguments) = arguments.split_first().unwrap();
        let mut command = self.spool.command(name, arguments);
        self.clocks
            .iter()
            .for_each(|clocks| clocks.prepare(&mut command));
        command.output().unwrap()
    }

    /// `status` says `text`.
    pub fn status(&mut self, text: &str) {
        self.wait_for(0, text, |drill| {
            said_if(&drill.output(&["status"]), 0, text)
        });
    }

    /// `status --check` grades so, and says `text`.
    pub fn check(&mut self, grade: i32, text: &str) {
        self.check_with(&[], grade, text);
    }

    /// The same with limits of its own.
    pub fn check_with(&mut self, limits: &[&str], grade: i32, text: &str) {
        let name = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][grade as usize];
        let arguments = [&["status", "--check"], limits].concat();
        let limits: String = limits
            .iter()
            .map(|limit| format!(" with {limit}"))
            .collect();
        self.wait_for(1, &format!("{name}{limits}: {text}"), |drill| {
            said_if(&drill.output(&arguments), grade, text)
        });
    }

    /// `doctor` ends with this status, and says `text`.
    pub fn doctor(&mut self, status: i32, text: &str) {
        self.wait_for(2, &format!("{status}: {text}"), |drill| {
            said_if(&drill.output(&["doctor"]), status, text)
        });
    }

    /// `/readyz` answers so.
    pub fn ready(&mut self, status: u16, text: &str) {
        self.wait_for(3, &format!("{status}: {text}"), |drill| {
            let (code, body) = drill.service().get("/readyz");
            match code == status && body.contains(text) {
                true => Ok(()),
                false => Err(format!("{code} {body}")),
            }
        });
    }

    /// Everybody is told of a pause for this reason; `doctor` says `found`.
    pub fn paused(&mut self, reason: &str, found: &str) {
        self.check(2, &format!("paused: {reason}"));
        self.doctor(2, found);
        self.ready(503, &format!("paused ({reason})"));
    }

    /// Everybody is told that the API does not take what waits; `doctor` ends with `status` and says `found`.
    pub fn api_away(&mut self, status: i32, found: &str) {
        self.check(1, "waiting for a retry");
        self.doctor(status, found);
        self.ready(503, "waiting for a retry");
        self.alerts(
            &[
                "MeditopiaOldestEventAge",
                "MeditopiaApiAway",
                "MeditopiaNothingAccepted",
            ],
            Duration::from_secs(75 * 60),
        );
    }

    /// Only this alert fires if nothing changes for `after`.
    pub fn alert(&mut self, name: &str, after: Duration) {
        self.alerts(&[name], after);
    }

    pub fn alerts(&mut self, names: &[&str], after: Duration) {
        let fires = alerts::firing(&self.before, &self.scrape(), after);
        assert_eq!(fires, names, "{}", self.name);
        let text = match names {
            [] => "none".to_owned(),
            names => format!("{} within {} min", names.join(", "), after.as_secs() / 60),
        };
        self.said[4].push(text);
    }

    /// A metric gets this value.
    pub fn metric(&self, name: &str, value: f64) {
        wait_until(&format!("{}: {name} is {value}", self.name), || {
            self.scrape().sample(name) == Some(value)
        });
    }

    /// Whatever fails is tried until delivery pauses for this reason, without the waits in between.
    pub fn fail_until_paused(&self, reason: &str) {
        let paused = format!("paused ({reason})");
        wait_until(&format!("{}: {paused}", self.name), || {
            let (status, body) = self.service().get("/readyz");
            let is_paused = status == 503 && body.contains(&paused);
            if !is_paused {
                self.client.resume().unwrap();
            }
            is_paused
        });
    }

    /// The log says `text`.
    pub fn log(&mut self, text: &str) {
        self.wait_for(5, text, |drill| match &drill.service {
            Some(service) if service.log().contains(text) => Ok(()),
            Some(service) => Err(service.log()),
            None => Err("no service runs".to_owned()),
        });
    }

    fn wait_for(&mut self, place: usize, shown: &str, look: impl Fn(&Self) -> Result<(), String>) {
        let begun = Instant::now();
        while let Err(seen) = look(self) {
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "{}: waited until {} says {shown:?}:\n{seen}",
                self.name,
                PLACES[place]
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let after = (self.struck.elapsed() + self.later).as_secs_f64();
        let shown = shown.replace('|', "\\|");
        self.said[place].push(format!("{shown} (after {after:.1} s)"));
    }

    /// Types the command that `status` gives as what to do next and that begins like this, in a shell.
    pub fn type_next(&mut self, begins: &str) {
        self.type_next_with(begins, "");
    }

    /// The same, with `text` in its line. If it asks for a confirmation, that is given as its message says.
    pub fn type_next_with(&mut self, begins: &str, text: &str) {
        let said = self.output(&["status"]);
        let said = String::from_utf8(said.stdout).unwrap();
        let command = said
            .lines()
            .filter(|line| line.starts_with("next") && line.contains(text))
            .find_map(|line| line.split_once(begins))
            .map(|(_, rest)| format!("{begins}{}", rest.split("; ").next().unwrap()))
            .unwrap_or_else(|| panic!("{}: no command {begins} in\n{said}", self.name));
        self.type_command(&command);
    }

    /// Types a command that the guide has.
    pub fn type_from_guide(&mut self, name: &str) {
        let config = self.spool.path("config.toml");
        self.type_command(&format!("meditopia {name} --config {}", config.display()));
    }

    fn type_command(&mut self, command: &str) {
        let mut typed = command.to_owned();
        if self.type_in_shell(&typed).status.code() == Some(NEEDS_YES) {
            typed += " --yes";
            let output = self.type_in_shell(&typed);
            assert_ne!(
                output.status.code(),
                Some(NEEDS_YES),
                "{}: {typed}",
                self.name
            );
        }
        self.ended_by(&format!("`{}`, as typed", self.shortened(&typed)));
    }

    /// Runs a line in a shell in which `meditopia` is found.
    pub fn type_in_shell(&self, line: &str) -> Output {
        let dir = meditopia_command();
        let dir = dir.parent().unwrap().display().to_string();
        let path = format!("{dir}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-c", line])
            .env_clear()
            .env("PATH", path)
            .output()
            .unwrap();
        let code = output.status.code();
        let is_good = matches!(code, Some(0 | NEEDS_YES | MAY_HAVE_LOST));
        assert!(is_good, "{}: {line}: {output:?}", self.name);
        output
    }

    /// The command without the directories of this test, and with N for each number.
    fn shortened(&self, command: &str) -> String {
        let dir = self.spool.path("").display().to_string();
        let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        let words = command.replace(&dir, "");
        let words = words
            .split(' ')
            .map(|word| if is_number(word) { "N" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    /// What ended the fault.
    pub fn ended_by(&mut self, what: &str) {
        let and = if self.ended_by.is_empty() { "" } else { "; " };
        self.ended_by += &format!("{and}{what}");
    }

    /// Waits until all is delivered or rejected, counts every event, and holds the table to it.
    pub fn end(mut self, rejected: usize, lost: usize) {
        // It goes on without anybody's help.
        self.enqueue(1);
        self.end_without_more(rejected, lost);
    }

    pub fn end_without_more(self, rejected: usize, lost: usize) {
        let expected = self.acknowledged - rejected - lost;
        let arrived = |api: &Sandbox| {
            let events = api.events().into_iter();
            let users: BTreeSet<_> = events.map(|event| event.fields.partner_user_id).collect();
            users.len()
        };
        let name = self.name;
        wait_until(&format!("{name}: {expected} events have arrived"), || {
            arrived(&self.api) >= expected
        });
        assert_eq!(arrived(&self.api), expected, "{name}");
        let kept = self.client.rejected_rows().len();
        assert_eq!(kept, rejected, "{name}: rejected");
        let mut ledger = format!("{expected} delivered");
        for (count, what) in [(rejected, "rejected"), (lost, "set aside and counted")] {
            if count > 0 {
                ledger += &format!(", {count} {what}");
            }
        }
        let mut row: table::Row = Default::default();
        row[0] = name.to_owned();
        for (cell, said) in row[1..].iter_mut().zip(&self.said) {
            *cell = said.join("; ");
        }
        row[7].clone_from(&self.ended_by);
        row[8] = ledger;
        table::hold(&row);
    }
}

fn said_if(output: &Output, status: i32, text: &str) -> Result<(), String> {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    match output.status.code() == Some(status) && said.contains(text) {
        true => Ok(()),
        false => Err(format!("{:?}\n{said}", output.status.code())),
    }
}

/// Reads a file that a test puts back later.
pub fn take(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}
