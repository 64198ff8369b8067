//! An application that closes all descriptors in each way that programs know, then opens files of its own, and
//! goes on: what is acknowledged arrives, and its files hold nothing of the library and stay open, in a
//! forked child, too.

use std::fs;
use std::path::Path;
use std::time::Instant;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{WAIT_LIMIT, wait_until};
use serde_json::json;

const LANES: u64 = 2;
/// Enqueued before each closing, and after it.
const EVENTS: u64 = 30;
/// Files that the application opens after a closing: more than the library had open.
const OWN_FILES: u64 = 24;

/// How the application closes descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CloseLoop,
    CloseRange,
    CloseFrom,
    DupOver,
    ForkAndClose,
}

/// What the sender does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Idle,
    Sending,
}

struct Application<'a> {
    api: &'a Sandbox,
    client: StatusClient,
    dir: &'a Path,
    user: String,
    enqueued: u64,
}

impl Application<'_> {
    fn enqueue(&mut self, events: u64) {
        for _ in 0..events {
            self.client.enqueue(&self.user, self.enqueued);
            self.enqueued += 1;
        }
    }

    fn close(&mut self, way: Way, foreign: &Path, round: u64) {
        let line = match way {
            Way::CloseLoop => "close_all".to_owned(),
            Way::CloseRange => "close_range".to_owned(),
            Way::CloseFrom => "closefrom".to_owned(),
            Way::DupOver => format!("dup_over {}", foreign.display()),
            Way::ForkAndClose => {
                let child = format!("{}-child {round}", self.user);
                format!("fork_close {} {child}", self.dir.display())
            }
        };
        let closed = self.client.ask(&line);
        closed.assert_status("OK");
        assert!(way != Way::DupOver || closed.count > 0);
    }

    fn check_own_files(&mut self) {
        let whole = self.client.ask("check_own").count;
        assert_eq!(whole, OWN_FILES, "files of the application that are whole");
    }

    fn flush_until_it_succeeds(&mut self) {
        let begun = Instant::now();
        loop {
            let said = self.client.ask("flush 10000");
            if said.status == "OK" {
                return;
            }
            assert!(begun.elapsed() < WAIT_LIMIT, "the sender stopped: {said:?}");
        }
    }

    fn live(&mut self, way: Way, meanwhile: Meanwhile, rounds: u64) {
        let foreign = self.dir.join("foreign");
        fs::write(&foreign, "of the application").unwrap();
        for round in 0..rounds {
            self.enqueue(EVENTS);
            match meanwhile {
                Meanwhile::Idle => self.flush_until_it_succeeds(),
                Meanwhile::Sending => {
                    wait_until("a request is in flight", || {
                        self.api.ledger().outcome("open") > 0
                    });
                }
            }
            self.close(way, &foreign, round);
            let own = format!("own {} {OWN_FILES}", self.dir.display());
            if way != Way::ForkAndClose {
                self.client.ask(&own).assert_status("OK");
            }
            self.enqueue(EVENTS);
            if way != Way::ForkAndClose {
                self.check_own_files();
                // What the library still has registered must not be closed in a child.
                self.close(Way::ForkAndClose, &foreign, round);
                self.check_own_files();
            }
            self.flush_until_it_succeeds();
            if way != Way::ForkAndClose {
                self.check_own_files();
            }
            assert_eq!(fs::read(&foreign).unwrap(), b"of the application");
            if way == Way::DupOver {
                // The application closes its descriptors at some time.
                self.client.ask("close_all").assert_status("OK");
            }
        }
    }
}

fn close_descriptors_everywhere(limit: Option<&str>) {
    let api = Sandbox::start();
    api.set_fault(json!({"fault": "delay", "ms": 10, "when": "before"}));
    let lanes = LANES.to_string();
    let options = [
        ("flush_interval_ms", "10"),
        ("lanes", &lanes),
        ("batch_max", "10"),
    ];
    let program = CProgram::compile("status_client.c").with_config(&api, &options);
    let shim = program.compile_preload("closed_descriptors.c");
    let rounds = trial_count(1, 20);
    let (mut acknowledged, mut closings) = (0, 0);
    let mut expected = Vec::new();
    for way in [
        Way::CloseLoop,
        Way::CloseRange,
        Way::CloseFrom,
        Way::DupOver,
        Way::ForkAndClose,
    ] {
        for meanwhile in [Meanwhile::Idle, Meanwhile::Sending] {
            let dir = tempfile::tempdir().unwrap();
            let mut command = program.command(&limit.into_iter().collect::<Vec<_>>());
            command.env("LD_PRELOAD", &shim);
            let mut application = Application {
                api: &api,
                client: StatusClient::start(command),
                dir: dir.path(),
                user: format!("{way:?}-{meanwhile:?}"),
                enqueued: 0,
            };
            application.live(way, meanwhile, rounds);
            acknowledged += application.enqueued + rounds;
            closings += rounds;
            expected.push((application.user.clone(), application.enqueued));
            expected.push((format!("{}-child", application.user), rounds));
        }
    }
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    for (user, count) in expected {
        assert!(
            arrived[&user].iter().copied().eq(0..count),
            "{user}: {:?}",
            arrived[&user]
        );
    }
    arrivals.assert_only_whole_requests_came_twice();
    let repeats = arrivals.repeats() as u64;
    let limit = limit.map_or(String::new(), |limit| format!(", ulimit -n {limit}"));
    add_row(
        &format!("the application closes all descriptors and opens files of its own{limit}"),
        Outcome {
            trials: closings,
            acknowledged,
            delivered: acknowledged,
            duplicated: repeats,
            ..Outcome::default()
        },
        format_args!("{} requests", closings * LANES),
    );
    assert!(repeats <= closings * LANES, "{repeats} requests came twice");
}

#[test]
fn an_application_that_closes_all_descriptors_in_any_way_keeps_its_own_files_and_all_events_arrive()
{
    close_descriptors_everywhere(None);
}

#[test]
fn an_application_with_64_descriptors_that_closes_all_keeps_its_own_files_and_all_events_arrive() {
    close_descriptors_everywhere(Some("64"));
}

#[test]
fn a_sender_whose_ledger_gets_another_file_under_its_number_while_it_is_opened_goes_on() {
    let api = Sandbox::start();
    let options = [("flush_interval_ms", "10")];
    let program = CProgram::compile("status_client.c").with_config(&api, &options);
    let shim = program.compile_preload("stolen_descriptor.c");
    let content = "of the application ".repeat(100);
    let foreign = program.dir().join("foreign");
    fs::write(&foreign, &content).unwrap();
    let mut client = StatusClient::start(program.command(&[]));
    client.enqueue("u-1", 0);
    client.flush().assert_status("OK");
    drop(client);
    let calls = 1..9;
    for call in calls.clone() {
        let mut command = program.command(&[]);
        command.env("LD_PRELOAD", &shim);
        command.env("STOLEN_BEFORE", call.to_string());
        command.env("STOLEN_FOR", &foreign);
        let mut client = StatusClient::start(command);
        client.enqueue("u-1", call);
        let begun = Instant::now();
        while client.ask("flush 10000").status != "OK" {
            assert!(begun.elapsed() < WAIT_LIMIT, "stolen before call {call}");
        }
    }
    let arrived = Arrivals::from_sandbox(&api).first_appearances();
    assert!(arrived["u-1"].iter().copied().eq(0..calls.end));
}

/// A client of a program whose files the application closes in a way that is not in the table above.
fn start(api: &Sandbox) -> (CProgram, StatusClient) {
    let options = [("flush_interval_ms", "10")];
    let program = CProgram::compile("status_client.c").with_config(api, &options);
    let mut command = program.command(&[]);
    let shim = program.compile_preload("closed_descriptors.c");
    command.env("LD_PRELOAD", &shim);
    (program, StatusClient::start(command))
}

fn flush_until_it_succeeds(client: &mut StatusClient) {
    let begun = Instant::now();
    while client.ask("flush 5000").status != "OK" {
        assert!(begun.elapsed() < WAIT_LIMIT, "the sender stopped");
    }
}

#[test]
fn an_application_that_opens_its_spools_files_under_the_numbers_of_closed_ones_has_no_lock_and_keeps_its_own()
 {
    let api = Sandbox::start();
    let (program, mut client) = start(&api);
    let mut number = 0;
    let mut enqueue = |client: &mut StatusClient| {
        for _ in 0..EVENTS {
            client.enqueue("u-1", number);
            number += 1;
        }
    };
    let spool = program.spool().display().to_string();
    for round in 0..2 {
        enqueue(&mut client);
        flush_until_it_succeeds(&mut client);
        let reopened = client.ask(&format!("reopen {spool}")).count;
        // The directory, the lock, a segment and the ledger.
        assert!(reopened >= 4, "{reopened}");
        enqueue(&mut client);
        // It is elected, because nobody has the lock any more.
        let mut other = StatusClient::start(program.command(&[]));
        other.enqueue("u-2", round);
        flush_until_it_succeeds(&mut other);
        drop(other);
        enqueue(&mut client);
        flush_until_it_succeeds(&mut client);
        // One that the sender had for a moment, when it was reopened, does not count.
        assert!(client.ask("check_reopened").count >= 4);
        client.ask("close_all").assert_status("OK");
    }
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    assert!(arrived["u-1"].iter().copied().eq(0..number), "{arrived:?}");
    arrivals.assert_only_whole_requests_came_twice();
}

#[test]
fn the_standard_streams_that_an_application_has_closed_stay_closed() {
    let api = Sandbox::start();
    let (_program, mut client) = start(&api);
    client.enqueue("u-1", 0);
    assert_eq!(client.ask("fork_standard u-2 0").count, 0);
    flush_until_it_succeeds(&mut client);
    assert_eq!(api.ledger().accepted_events, 2);
}
