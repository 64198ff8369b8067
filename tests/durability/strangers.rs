//! Files by the thousands in a spool that nobody of this library has written: they cost bounded work and a
//! few lines of the log, and nothing that was acknowledged.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use meditopia::{Client, LogLevel};
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{WAIT_LIMIT, secs};

/// The lines of the log from warnings on.
fn warnings(client: &Client) -> Vec<String> {
    let records = std::iter::from_fn(|| client.log_next().unwrap());
    let warnings = records.filter(|record| record.level <= LogLevel::Warn);
    warnings.map(|record| record.message).collect()
}

fn count_in(dir: &Path, is_counted: impl Fn(&str) -> bool) -> usize {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| is_counted(name)).count()
}

fn wait_for(what: &str, is_done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < WAIT_LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn strangers_in_the_journal_are_left_alone_with_one_line_and_what_only_looks_like_a_segment_is_set_aside()
 {
    let number = trial_count(5_000, 50_000) as usize;
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let enqueuer = TestSpool::for_sandbox(&api)
        .with("spool", spool.path().to_str().unwrap())
        .with("role", "enqueue");
    let writer = enqueuer.client();
    writer.enqueue_for("u-1", 1);
    writer.close(secs(10)).unwrap();
    drop(writer);
    let journal = spool.path().join("journal");
    for at in 0..number {
        fs::write(journal.join(format!("stranger-{at}")), "").unwrap();
        let kind = if at % 2 == 0 { "" } else { "no record" };
        let content = kind.repeat(30);
        let name = format!("00000001-{at:020}-7-00000001.segment");
        fs::write(journal.join(name), content).unwrap();
    }
    let sender = spool.client();
    assert_eq!(sender.flush_ok(secs(60)).delivered, 1);
    wait_for("set aside", || {
        count_in(&journal, |name| name.ends_with("-7-00000001.segment")) == 0
    });
    sender.enqueue_for("u-1", 2);
    assert_eq!(sender.flush_ok(secs(60)).delivered, 1);

    assert_eq!(
        count_in(&journal, |name| name.starts_with("stranger-")),
        number
    );
    let damaged = spool.path().join("damaged");
    assert_eq!(count_in(&damaged, |_| true), number / 2);
    let lines = warnings(&sender);
    let of_strangers = lines.iter().filter(|line| line.contains("no segments"));
    assert_eq!(of_strangers.count(), 1, "{lines:#?}");
    let rounds = 1 + number / 10_000;
    assert!(
        lines.len() <= 2 + 11 * rounds,
        "{} lines: {lines:#?}",
        lines.len()
    );
    assert_eq!(
        sender.stats().unwrap().damaged_records,
        2 * (number / 2) as u64
    );
    sender.close(secs(30)).unwrap();
}

#[test]
fn planted_commands_are_put_aside_with_few_lines_and_keep_no_operator_waiting() {
    let number = trial_count(3_000, 20_000) as usize;
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let sender = spool.client();
    sender.enqueue_for("u-1", 1);
    sender.flush_ok(secs(30));
    let commands = spool.path().join("commands");
    fs::create_dir_all(&commands).unwrap();
    for at in 0..number {
        // Before any that an operator gives.
        fs::write(
            commands.join(format!("00000000-{at:020}.json")),
            "no command",
        )
        .unwrap();
    }
    sender.hold().unwrap();
    sender.resume().unwrap();
    let put_aside = || count_in(&commands, |name| name.ends_with(".bad"));
    wait_for("put aside", || put_aside() == number);
    let lines = warnings(&sender);
    let of_commands = lines
        .iter()
        .filter(|line| line.contains("put aside"))
        .count();
    assert!((1..=16).contains(&of_commands), "{lines:#?}");
    sender.close(secs(30)).unwrap();
}
