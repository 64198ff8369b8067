//! What `status`, `status --check` and `doctor` advise in each state of a spool.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::{ClientExt, copy_spool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::{secs, wait_until};
use rustix::process::Signal;
use serde_json::json;

use super::{Shell, advised, assert_advice_works, commands_in};
use crate::cli::{status, stdout, wait_for_status};

#[test]
fn every_advice_about_a_spool_without_a_sender_or_with_rejected_events_works_as_typed() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    spool.client().enqueue_users(0..3);
    fs::set_permissions(spool.token_file(), Permissions::from_mode(0o644)).unwrap();
    let limits = "--warn-pending 1 --warn-age 0s --warn-free 999999999";
    let wanted = [
        "start the process that sends; to deliver now: ",
        "start the process that sends; what it needs: ",
        "see why: ",
        "free some space: df -h ",
        "let only its user read it: chmod 0600 ",
    ];
    // An advised flush delivers what waits, so what is advised before is looked at first.
    assert_advice_works(&shell, &spool, limits, &wanted);
    assert_eq!(api.ledger().accepted_events, 2);
    assert_advice_works(
        &shell,
        &spool,
        "--warn-rejected 1",
        &["see what was rejected: "],
    );
}

#[test]
fn every_advice_about_a_forwarded_spool_without_a_forwarder_hands_over_what_waits() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.configure(&format!(
        "bearer_token_file = {:?}\nstore = {:?}",
        spool.token_file(),
        server.url(&database)
    ));
    let shell = Shell::of(&spool);
    let endpoint = api.endpoint();
    let init = format!("meditopia fleet init --config config.toml --endpoint {endpoint}");
    shell.provoke(&init, 0, "");
    shell.provoke("meditopia forward --config config.toml --once", 0, "");
    spool.client().enqueue_users(0..3);

    let by_spool = stdout(&shell.run("meditopia status spool"));
    let with_store = "start the process that forwards (meditopia forward spool, with its store); what it needs: meditopia doctor spool";
    assert!(by_spool.contains(with_store), "{by_spool}");
    let refused = shell.provoke("meditopia flush --config config.toml", 1, "is forwarded to");
    let forward = format!("run meditopia forward {}", spool.spool().display());
    assert!(refused.text.contains(&forward), "{}", refused.text);

    let limits = "--warn-sender 0s --warn-pending 1";
    let wanted = [
        "start the process that forwards; to hand over now: ",
        "start the process that forwards (",
    ];
    assert_advice_works(&shell, &spool, limits, &wanted);
    assert_eq!(spool.client().stats().unwrap().pending, 0);
    let handed_over = "SELECT sum(events) FROM meditopia.parcel";
    assert_eq!(server.sql(&database, handed_over), "3");
}

#[test]
fn every_advice_about_a_pause_works_as_typed_and_ends_it_once_the_cause_is_gone() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let pause = |cause: &dyn Fn(), reason: &str, advice: &str, end: &dyn Fn()| {
        cause();
        spool.client().enqueue_users(0..2);
        let _ = spool.output("flush", &["--timeout", "5"]);
        wait_for_status(&spool.spool(), |status| status["paused"] == reason);
        assert_advice_works(&shell, &spool, "", &[advice]);
        end();
        let _ = spool.output("flush", &["--timeout", "5"]);
        wait_for_status(&spool.spool(), |status| status["paused"].is_null());
        assert_eq!(spool.client().stats().unwrap().pending, 0);
    };
    let resume = || {
        shell.run("meditopia resume --config config.toml");
    };
    let held = || {
        let said = stdout(&shell.run("meditopia hold --config config.toml"));
        let commands = commands_in(&said);
        assert_eq!(
            commands,
            ["meditopia resume --config config.toml"],
            "{said}"
        );
    };
    pause(&held, "hold", "to send again: ", &resume);
    pause(
        &|| api.refuse_address(),
        "ip",
        "ask Meditopia to allow this host",
        &|| {
            api.allow_address();
            resume();
        },
    );
    pause(
        &|| spool.write_token("stale"),
        "auth",
        "put a valid bearer token where",
        &|| {
            spool.write_token(api.token());
            resume();
        },
    );
    let login_page = || api.set_fault(json!({ "fault": "login_page" }));
    pause(
        &login_page,
        "misrouted",
        "check the endpoint and what is in between",
        &|| {
            api.clear_faults();
            resume();
        },
    );
}

#[test]
fn every_advice_about_an_api_that_is_away_works_as_typed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 60 }));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let _service: Service = spool.start_service(&[]);
    spool.client().enqueue_users(0..3);
    wait_for_status(&spool.spool(), |status| status["retry"]["lasting"] == true);
    assert_advice_works(
        &Shell::of(&spool),
        &spool,
        "",
        &["for the cause see its log, or run"],
    );
}

#[test]
fn every_advice_about_a_sender_that_is_stopped_works_as_typed() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let mut service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    service.signal(Signal::STOP);
    spool.client().enqueue_users(0..3);
    wait_for_status(&spool.spool(), |status| {
        status["sender"]["state"] == "stopped"
    });
    let advice = advised(&shell, "--config config.toml", "");
    let typed = |start: &str| {
        let all = advice.iter().flat_map(|advice| commands_in(advice));
        let command = all.into_iter().find(|command| command.starts_with(start));
        shell.type_in(&command.unwrap_or_else(|| panic!("no {start}: {advice:#?}")));
    };
    assert!(
        advice
            .iter()
            .any(|text| text.contains("to let it go on: kill -CONT")
                && text.contains("so that the next one follows: kill -KILL")),
        "{advice:#?}"
    );
    typed("kill -CONT");
    wait_for_status(&spool.spool(), |status| status["pending"] == 0);
    service.signal(Signal::STOP);
    spool.client().enqueue_users(3..5);
    wait_for_status(&spool.spool(), |status| {
        status["sender"]["state"] == "stopped"
    });
    typed("kill -KILL");
    service.wait_for_end();
    shell.type_in("meditopia flush --config config.toml");
    assert_eq!(api.ledger().accepted_events, 5);
}

#[test]
fn every_advice_about_many_refused_users_works_as_typed() {
    let api = Sandbox::start();
    api.set_unknown(json!([{ "prefix": "u-" }]));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.configure(&format!(
        "brake_users = 2\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let shell = Shell::of(&spool);
    spool.client().enqueue_users(0..12);
    let _ = spool.output("flush", &[]);
    wait_for_status(&spool.spool(), |status| {
        status["paused"] == "mass_rejection"
    });
    let wanted = [
        "if the API rightly refuses these users",
        "if something else is wrong, such as the account",
    ];
    assert_advice_works(&shell, &spool, "", &wanted);
    // One of the two ways was to let all of them be rejected.
    let flushed = spool.output("flush", &[]);
    assert_eq!(flushed.status.code(), Some(0), "{flushed:?}");
    assert_eq!(spool.client().rejected_rows().len(), 12);
}

#[test]
fn every_advice_about_an_event_on_which_the_api_fails_works_as_typed() {
    let api = Sandbox::start();
    api.set_unknown(json!([{ "user": "u-3", "status": 500, "code": "X_1" }]));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let token = spool.token_file();
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {token:?}"
    ));
    let shell = Shell::of(&spool);
    let client = spool.client();
    client.enqueue_users(0..6);
    let _service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| {
        let is_paused = status["paused"] == "server_error";
        if !is_paused {
            // Ten server errors in a row, without the waits between them.
            client.resume().unwrap();
        }
        is_paused
    });
    assert_advice_works(&shell, &spool, "", &["the API fails on one batch"]);
    api.wait_for_events(5);
    assert_eq!(client.rejected_users(), ["u-3"]);
}

#[test]
fn every_advice_about_damaged_records_and_lost_events_works_as_typed() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let client = spool.client();
    client.enqueue_users(0..3);
    let journal = fs::read_dir(spool.spool().join("journal")).unwrap();
    let segment = journal.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"u-1").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    api.refuse_address();
    assert_eq!(spool.output("flush", &[]).status.code(), Some(7));
    let listed = shell.provoke(
        "meditopia damaged list spool",
        0,
        "damaged records and lost events are not acknowledged yet: ",
    );
    assert_eq!(listed.commands().len(), 1);
    assert_advice_works(
        &shell,
        &spool,
        "",
        &["look at the disk, and at what can be read there: "],
    );
    // Acknowledged as it was advised, and still paused.
    api.allow_address();
    shell.run("meditopia hold --config config.toml");
    drop(client);
    let queues = fs::read_dir(spool.spool().join("queues")).unwrap();
    for queue in queues.map(|entry| entry.unwrap().path()) {
        let mut bytes = fs::read(&queue).unwrap();
        if let Some(at) = bytes.windows(3).position(|bytes| bytes == b"u-2") {
            bytes[at] ^= 1;
            fs::write(&queue, bytes).unwrap();
        }
    }
    assert_eq!(
        shell
            .run("meditopia recover --config config.toml --yes")
            .status
            .code(),
        Some(4)
    );
    assert_advice_works(
        &shell,
        &spool,
        "",
        &["enqueue them again if the application still has them"],
    );
    let after = advised(&shell, "--config config.toml", "");
    let still = after.iter().find(|text| text.contains("acknowledge"));
    assert_eq!(still, None);
}

#[test]
fn every_advice_about_a_disk_works_as_typed() {
    let Some(disk) = SmallDisk::mount(24) else {
        return;
    };
    let api = Sandbox::start();
    let spool = on_disk(&disk, &api);
    disk.fill();
    let shell = Shell::of(&spool);
    let nearly = ["free some space before events are refused: df -h "];
    assert_advice_works(&shell, &spool, "", &nearly);
    find_full(&spool, || disk.fill());
    let full = ["free some space; every acknowledged event is kept: df -h "];
    assert_advice_works(&shell, &spool, "", &full);
    disk.free();

    let disk = SmallDisk::mount_with_inodes(24, 200).unwrap();
    let spool = on_disk(&disk, &api);
    disk.fill_inodes();
    let shell = Shell::of(&spool);
    let nearly = ["remove some files before events are refused: df -i "];
    assert_advice_works(&shell, &spool, "", &nearly);
    find_full(&spool, || ());
    let full = ["remove some files; every acknowledged event is kept: df -i "];
    assert_advice_works(&shell, &spool, "", &full);
}

/// A spool with its configuration on a disk of its own.
fn on_disk(disk: &SmallDisk, api: &Sandbox) -> ConfiguredSpool {
    let dir = disk.spool();
    let spool = ConfiguredSpool::new_in(dir.parent().unwrap(), api.endpoint(), api.token());
    spool.client().enqueue_users(0..3);
    let _ = spool.output("flush", &["--timeout", "1"]);
    spool
}

/// A sender finds no room: its reserve is released, and `fill` uses that up as well.
fn find_full(spool: &ConfiguredSpool, fill: impl Fn()) {
    let client = spool.client();
    let _service = spool.start_service(&[]);
    wait_until("the disk is found full", || {
        fill();
        let _ = client.hold();
        status(&spool.spool())["disk_full"] == true
    });
}

#[test]
fn every_advice_about_a_damaged_store_and_a_copy_works_as_typed() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let client = spool.client();
    client.enqueue_users(0..3);
    let _ = client.flush(secs(0));
    drop(client);
    let flushed = spool.output("flush", &[]);
    assert_eq!(flushed.status.code(), Some(0), "{flushed:?}");
    damage_ledger(&spool.spool());
    assert_advice_works(
        &shell,
        &spool,
        "",
        &["copy the spool, stop its sender, then: "],
    );
    let looked = stdout(&shell.run("meditopia recover --config config.toml"));
    let commands = commands_in(&looked);
    assert_eq!(
        commands,
        ["meditopia recover --config config.toml --yes"],
        "{looked}"
    );
    let recovered = shell.run(&commands[0]);
    assert!(
        [Some(0), Some(4)].contains(&recovered.status.code()),
        "{recovered:?}"
    );

    let copy = spool.path("a copy; it's one");
    copy_spool(&spool.spool(), &copy);
    fs::remove_dir_all(spool.spool()).unwrap();
    let all = advised(&shell, r#""a copy; it's one""#, "");
    for text in [
        "if no other copy will ever send: ",
        "if the original is gone: ",
    ] {
        assert!(all.iter().any(|advice| advice.contains(text)), "{all:#?}");
    }
    let table = stdout(&shell.run(r#"meditopia status "a copy; it's one""#));
    let next = table
        .lines()
        .find(|line| line.starts_with("next "))
        .unwrap();
    let commands = commands_in(next);
    assert_eq!(commands.len(), 1, "{next}");
    let adopted = shell.run(&commands[0]);
    assert!(
        [Some(0), Some(3)].contains(&adopted.status.code()),
        "{adopted:?}"
    );
}
