//! `meditopia forget`: what was enqueued of a user is gone from the spool, to the byte, and nothing else is.

use std::fs;
use std::path::Path;
use std::process::Command;

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::{Value, json};

use crate::cli::{FAILED, NEEDS_YES, USAGE, run, run_failing, run_json, wait_for_status};
use crate::live_spool::LiveSpool;

const LEFT: i32 = 6;

/// The files below the spool in which `text` stands.
fn files_with(spool: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        // Gone meanwhile, or a socket.
        let bytes = fs::read(&path).unwrap_or_default();
        let mut windows = bytes.windows(text.len());
        if windows.any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The number of the ledger in use.
fn last_ledger(spool: &Path) -> u64 {
    let names = fs::read_dir(spool.join("ledger")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbers = names.filter_map(|name| name.split('.').next()?.parse().ok());
    numbers.max().unwrap()
}

fn forget(spool: &Path, user: &str) -> Value {
    let all = run_json(&["forget", "--json", "--yes", "--user", user], spool);
    all[0].clone()
}

fn events_of(api: &Sandbox, user: &str) -> usize {
    let events = api.events().into_iter();
    let of_user = events.filter(|event| event.fields.partner_user_id == user);
    of_user.count()
}

#[test]
fn a_user_is_erased_to_the_byte_while_the_events_of_all_others_are_delivered_in_order() {
    let api = Sandbox::start();
    api.set_unknown_users(["gone-and-bad"]);
    let live = LiveSpool::start(&api);
    let spool = live.path();
    for number in 0..3 {
        live.client.enqueue_for("gone-and-bad", number);
        live.client.enqueue_for("gone-and-good", number);
        live.wait_for_enqueued(50);
    }
    wait_for_status(&spool, |status| status["rejected"] == 3);
    live.wait_for_enqueued(300);
    wait_until("a receipt names the user", || {
        !run_json(
            &["receipts", "list", "--json", "--user=gone-and-good"],
            &spool,
        )
        .is_empty()
    });

    let told = forget(&spool, "gone-and-bad");
    assert_eq!(told["rejected"], 3, "{told}");
    assert_eq!(told["complete"], true, "{told}");
    assert_eq!(files_with(&spool, "gone-and-bad"), [""; 0]);
    let told = forget(&spool, "gone-and-good");
    assert!(told["receipts"].as_u64() >= Some(1), "{told}");
    assert_eq!(told["complete"], true, "{told}");
    assert_eq!(files_with(&spool, "gone-and-good"), [""; 0]);

    assert!(
        run_json(
            &["receipts", "list", "--json", "--user=gone-and-good"],
            &spool
        )
        .is_empty()
    );
    let others = run_json(&["receipts", "list", "--json", "--user=live-1"], &spool);
    assert!(!others.is_empty(), "the receipts of others stay");
    live.end_with_all_delivered(&api);
    assert_eq!(events_of(&api, "gone-and-bad"), 0);
}

#[test]
fn what_waits_of_a_user_is_erased_without_a_sender() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    for number in 0..300 {
        client.enqueue_for(["stays", "goes", "stays-too"][number % 3], number);
    }
    // Nobody has taken it over yet; the segment's writer lives.
    let told = forget(&spool.path(), "goes");
    assert_eq!(told["pending"], 100, "{told}");
    assert_eq!(files_with(&spool.path(), "goes"), [""; 0]);
    // By now the others are in the store, and more stands in the journal.
    client.enqueue_for("goes", 1);
    let told = forget(&spool.path(), "stays-too");
    assert_eq!(told["pending"], 100, "{told}");
    assert_eq!(files_with(&spool.path(), "stays-too"), [""; 0]);
    let told = forget(&spool.path(), "goes");
    assert_eq!(told["pending"], 1, "{told}");
    assert_eq!(forget(&spool.path(), "goes")["pending"], 0);
    client.enqueue_for("goes", 2);
    client.flush_ok(secs(30));
    let arrived = (events_of(&api, "stays"), events_of(&api, "goes"));
    assert_eq!(arrived, (100, 1), "what was enqueued since is sent");
    assert_eq!(api.events().len(), 101);
}

#[test]
fn a_sender_that_is_held_erases() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    client.hold().unwrap();
    for number in 0..30_000 {
        client.enqueue_for(["stays", "goes", "stays-too"][number % 3], number);
    }
    let told = forget(&spool.path(), "goes");
    assert_eq!(told["pending"], 10_000, "{told}");
    assert_eq!(files_with(&spool.path(), "goes"), [""; 0]);
    client.resume().unwrap();
    client.flush_ok(secs(60));
    let arrived = ["stays", "goes", "stays-too"].map(|user| events_of(&api, user));
    assert_eq!(arrived, [10_000, 0, 10_000]);
}

#[test]
fn what_is_in_flight_stays_is_told_and_goes_with_the_same_command_once_it_is_settled() {
    let api = Sandbox::start();
    api.set_fault(json!({"fault": "reset", "when": "before"}));
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    for number in 0..150 {
        client.enqueue_for(["stays", "goes"][number % 2], number);
    }
    wait_for_status(&spool.path(), |status| status["in_doubt"] == 100);
    let told = Command::new(meditopia_command())
        .env_clear()
        .args(["forget", "--yes", "--user=goes", "--timeout=1"])
        .arg(spool.path())
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(LEFT));
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("in flight: 50 events"), "{text}");
    assert!(text.contains("erased: 25 waiting events"), "{text}");
    assert!(text.contains("queues/"), "{text}");
    assert!(!files_with(&spool.path(), "goes").is_empty());
    let before = last_ledger(&spool.path());
    let erasure = client.forget_user("goes", secs(4)).unwrap();
    assert_eq!(erasure.in_flight, 50);
    let ledgers = last_ledger(&spool.path()) - before;
    assert!(
        ledgers <= 1,
        "while it waits it writes no ledger: {ledgers}"
    );
    api.clear_faults();
    client.flush_ok(secs(60));
    assert_eq!(
        (events_of(&api, "goes"), events_of(&api, "stays")),
        (50, 75)
    );
    let told = forget(&spool.path(), "goes");
    assert_eq!(
        (&told["in_flight"], &told["complete"]),
        (&json!(0), &json!(true)),
        "{told}"
    );
    assert_eq!(files_with(&spool.path(), "goes"), [""; 0]);
}

#[test]
fn an_erasure_waits_for_a_request_in_flight_and_erases_what_is_kept_of_it_then() {
    let api = Sandbox::start();
    api.set_fault(json!({"fault": "reset", "when": "before"}));
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    for number in 0..150 {
        client.enqueue_for(["stays", "goes"][number % 2], number);
    }
    wait_for_status(&spool.path(), |status| status["in_doubt"] == 100);
    let told = std::thread::scope(|threads| {
        let told = threads.spawn(|| forget(&spool.path(), "goes"));
        wait_for_status(&spool.path(), |status| status["pending"] == 125);
        api.clear_faults();
        client.resume().unwrap();
        told.join().unwrap()
    });
    assert_eq!(
        (&told["in_flight"], &told["complete"]),
        (&json!(0), &json!(true)),
        "{told}"
    );
    assert_eq!(files_with(&spool.path(), "goes"), [""; 0]);
    assert_eq!(events_of(&api, "goes"), 50);
    client.flush_ok(secs(60));
    assert_eq!(events_of(&api, "stays"), 75);
}

#[test]
fn what_a_killed_erasure_has_left_behind_goes_with_the_next_one() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    for number in 0..20 {
        client.enqueue_for(["goes", "stays"][number % 2], number);
    }
    // Takes the journal over.
    forget(&spool.path(), "nobody");
    let kept = tempfile::tempdir().unwrap();
    let queues = spool.path().join("queues");
    let names = fs::read_dir(&queues).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    for name in &names {
        fs::copy(queues.join(name), kept.path().join(name)).unwrap();
    }
    assert_eq!(forget(&spool.path(), "goes")["pending"], 10);
    // As if it had been killed when the next ledger counted, and the files that were copied were still there.
    for name in &names {
        assert!(!queues.join(name).exists());
        fs::copy(kept.path().join(name), queues.join(name)).unwrap();
    }
    assert!(!files_with(&spool.path(), "goes").is_empty());
    let told = forget(&spool.path(), "goes");
    assert_eq!(
        (&told["pending"], &told["complete"]),
        (&json!(0), &json!(true)),
        "{told}"
    );
    assert_eq!(files_with(&spool.path(), "goes"), [""; 0]);
    client.flush_ok(secs(30));
    assert_eq!((events_of(&api, "goes"), events_of(&api, "stays")), (0, 10));
}

#[test]
fn what_an_erasure_does_not_cover_is_named_and_it_needs_a_yes_and_a_user() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("somebody", 1);
    let question = run_failing(&["forget", "--user=somebody"], &spool.path(), NEEDS_YES);
    assert!(question.contains("would erase all events"), "{question}");
    run_failing(&["forget", "--yes", "--user="], &spool.path(), USAGE);
    run_failing(&["forget", "--yes"], &spool.path(), USAGE);
    let damaged = spool.path().join("damaged/store-1");
    fs::create_dir_all(&damaged).unwrap();
    let event =
        r#"{"token":"token","partner_user_id":"somebody","event":"video","event_value":"1"}"#;
    fs::write(damaged.join("queues-1"), format!("?{event}?")).unwrap();
    let told = Command::new(meditopia_command())
        .env_clear()
        .args(["forget", "--yes", "--json", "--user=somebody"])
        .arg(spool.path())
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(LEFT));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["files"], json!(["damaged/store-1/queues-1"]));
    assert_eq!(told["pending"], 1);
    let none = run(&["forget", "--yes", "--user=nobody"], &spool.path());
    assert!(none.contains("nothing of the user is left"), "{none}");
    fs::remove_dir_all(spool.path()).unwrap();
    run_failing(
        &["forget", "--yes", "--user=somebody"],
        &spool.path(),
        FAILED,
    );
}

/// Kills `meditopia forget` before or after a system call with an effect; `moment` counts entries and exits. Says at
/// which call, and `None` if the command has ended before.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn kill_at(spool: &Path, moment: usize) -> Option<String> {
    use meditopia_testkit::tracer::{TraceEvent, Tracer};
    let mut command = meditopia_testkit::meditopia();
    command
        .args(["forget", "--yes", "--user=goes"])
        .arg(spool)
        .stdout(std::process::Stdio::null());
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let mut at = 0;
    while let Some(event) = tracer.next_event() {
        let (TraceEvent::Entry(call) | TraceEvent::Exit(call, _)) = &event else {
            continue;
        };
        if call.has_effect() {
            if at == moment {
                let name = call.name();
                tracer.kill(pid);
                return Some(name);
            }
            at += 1;
        }
        tracer.resume(call);
    }
    None
}

/// A spool with 20 delivered events, 10 rejected and 10 waiting ones of a user who goes, and as many delivered and
/// waiting ones of one who stays.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn with_one_who_goes(api: &Sandbox) -> TestSpool {
    let spool = TestSpool::for_sandbox(api);
    let client = spool.client();
    api.set_unknown_users(["goes"]);
    for number in 0..10 {
        client.enqueue_for("goes", number);
    }
    client.flush_ok(secs(30));
    api.set_unknown_users([""; 0]);
    for number in 0..20 {
        client.enqueue_for("goes", 10 + number);
        client.enqueue_for("stays", number);
    }
    client.flush_ok(secs(30));
    for number in 20..30 {
        client.enqueue_for("goes", 10 + number);
        client.enqueue_for("stays", number);
    }
    spool
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_kill_at_any_system_call_of_an_erasure_leaves_what_the_same_command_ends() {
    use meditopia_testkit::fault_table::trial_count;
    let mut moments = 0;
    let api = Sandbox::start();
    let whole = with_one_who_goes(&api);
    // How many there are: the first that is not reached, by doubling and halving.
    let (mut low, mut high) = (0, 1_024);
    while low + 8 < high {
        let middle = (low + high) / 2;
        let spool = if moments == 0 {
            &whole
        } else {
            &with_one_who_goes(&api)
        };
        moments += 1;
        match kill_at(&spool.path(), middle) {
            Some(_) => low = middle,
            None => high = middle,
        }
    }
    let trials = usize::try_from(trial_count(10, 4_096)).unwrap().min(high);
    let mut called = Vec::new();
    for trial in 0..trials {
        let moment = high * trial / trials;
        api.clear_ledger();
        let spool = with_one_who_goes(&api);
        let Some(call) = kill_at(&spool.path(), moment) else {
            continue;
        };
        let waiting = run_json(&["pending", "list", "--json"], &spool.path());
        let stays = waiting
            .iter()
            .filter(|row| row["event"]["partner_user_id"] == "stays");
        assert_eq!(stays.count(), 10, "killed at {call}, {moment}");
        let told = forget(&spool.path(), "goes");
        assert_eq!(told["complete"], true, "killed at {call}, {moment}: {told}");
        assert_eq!(
            files_with(&spool.path(), "goes"),
            [""; 0],
            "killed at {call}, {moment}"
        );
        spool.client().flush_ok(secs(30));
        let sent = |user: &str| {
            let of_user = api
                .events()
                .into_iter()
                .filter(|event| event.fields.partner_user_id == user);
            let numbers: Vec<Value> = of_user.map(|event| event.fields.event_value).collect();
            numbers
        };
        let all: Vec<Value> = (0..30)
            .map(|number: u32| json!(number.to_string()))
            .collect();
        assert_eq!(sent("stays"), all, "killed at {call}, {moment}");
        assert_eq!(sent("goes").len(), 20, "killed at {call}, {moment}");
        called.push(call);
    }
    assert!(called.len() >= trials.min(8), "{called:?}");
}
