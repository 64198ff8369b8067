//! Imports that are repeated, with or without `--again`: an operator who follows the messages never
//! enqueues a record twice.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Output, Stdio};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::{secs, wait_until};

use super::{Fixture, NOTHING_QUEUED, SOME_BAD, STOPPED, arrived_once, printed, records};

const RECORDS: usize = 2_000;

/// Runs an import into a spool whose size limit will stop it.
fn import_limited(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = fixture.command(arguments);
    command.env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
    command.output().unwrap()
}

/// A long input whose first record is bad, and whose import has stopped on the way.
fn with_stopped_import(api: &Sandbox, arguments: &[&str]) -> Fixture {
    let fixture = Fixture::new(api);
    fixture.input("x.ndjson", format!("{{}}\n{}", records(&["a"], 0..RECORDS)));
    let output = import_limited(&fixture, arguments);
    assert_eq!(output.status.code(), Some(STOPPED), "{}", printed(&output));
    assert!(
        printed(&output).contains("run the command again to continue"),
        "{}",
        printed(&output)
    );
    fixture
}

#[test]
fn a_stopped_import_with_again_continues_when_repeated_and_queues_nothing_twice() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", format!("{{}}\n{}", records(&["a"], 0..RECORDS)));
    fixture.import_ending_with(SOME_BAD, &["x.ndjson"]);
    let client = fixture.spool.client();
    client.flush_ok(secs(30));
    api.clear_ledger();

    let mut stops = 0;
    let ended = loop {
        let output = import_limited(&fixture, &["x.ndjson", "--again", "--bad", "b1"]);
        client.flush_ok(secs(30));
        if output.status.code() != Some(STOPPED) || stops > RECORDS {
            break output;
        }
        stops += 1;
    };
    assert_eq!(ended.status.code(), Some(SOME_BAD), "{}", printed(&ended));
    assert!(stops > 1, "it has stopped {stops} times");
    assert_eq!(fixture.bad_records("b1").len(), 1);
    assert_eq!(arrived_once(&api)["a"].len(), RECORDS);
}

#[test]
fn an_import_with_again_whose_last_commit_fails_says_how_to_continue_without_duplicates() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", records(&["a"], 0..10));
    let journal = fixture.spool.path().join("journal");
    fs::write(&journal, "in the way").unwrap();
    let printed = fixture.import_ending_with(1, &["x.ndjson", "--again"]);
    assert!(
        printed.contains("run the command again without --again to continue"),
        "{printed}"
    );

    fs::remove_file(&journal).unwrap();
    fixture.import_ending_with(0, &["x.ndjson"]);
    assert_eq!(fixture.pending(), 10);
}

#[test]
fn an_interrupted_import_whose_file_of_bad_records_is_gone_continues_with_another_file() {
    let api = Sandbox::start();
    let arguments = ["x.ndjson", "--bad", "b1"];
    let fixture = with_stopped_import(&api, &arguments);
    fs::remove_file(fixture.inputs.path().join("b1")).unwrap();
    let printed = fixture.import_ending_with(SOME_BAD, &arguments);
    assert!(
        printed.contains("is gone or shorter than it was"),
        "{printed}"
    );
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), RECORDS);
}

#[test]
fn an_interrupted_import_that_is_given_another_file_of_bad_records_says_where_the_first_ones_are() {
    let api = Sandbox::start();
    let fixture = with_stopped_import(&api, &["x.ndjson", "--bad", "b1"]);
    let printed = fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "b2"]);
    assert!(
        printed.contains("are in ") && printed.contains("b1"),
        "{printed}"
    );
    assert_eq!(fixture.bad_records("b1").len(), 1);
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), RECORDS);
}

#[test]
fn another_input_in_the_place_of_an_interrupted_one_is_imported_and_the_first_goes_on_from_elsewhere()
 {
    let api = Sandbox::start();
    let fixture = with_stopped_import(&api, &["x.ndjson"]);
    let client = fixture.spool.client();
    client.flush_ok(secs(30));
    let place = fixture.inputs.path();
    fs::rename(place.join("x.ndjson"), place.join("y.ndjson")).unwrap();
    fixture.input("x.ndjson", records(&["b"], 0..10));
    let printed = fixture.import_ending_with(0, &["x.ndjson"]);
    assert!(printed.contains("another input lay here"), "{printed}");
    assert_eq!(fixture.pending(), 10);
    fixture.import_ending_with(SOME_BAD, &["y.ndjson"]);
    client.flush_ok(secs(30));
    let users = arrived_once(&api);
    assert_eq!((users["a"].len(), users["b"].len()), (RECORDS, 10));
}

#[test]
fn an_interrupted_input_that_was_changed_before_that_place_is_refused_without_again() {
    let api = Sandbox::start();
    let fixture = with_stopped_import(&api, &["x.ndjson"]);
    let before = fixture.pending();
    let changed = format!("{{}}\n{}", records(&["a"], 1..RECORDS));
    fixture.input("x.ndjson", &changed);
    let printed = fixture.import_ending_with(1, &["x.ndjson"]);
    assert!(printed.contains("undo what was changed"), "{printed}");
    assert_eq!(fixture.pending(), before);
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--again"]);
    assert_eq!(fixture.pending(), before + RECORDS as u64 - 1);
}

#[test]
fn an_interrupted_import_cannot_be_continued_as_all_or_nothing() {
    let api = Sandbox::start();
    let fixture = with_stopped_import(&api, &["x.ndjson", "--bad", "b1"]);
    let before = fixture.pending();
    for more in [&["--all-or-nothing"][..], &["--all-or-nothing", "--again"]] {
        let printed = fixture.import_ending_with(1, &[&["x.ndjson", "--bad", "b1"], more].concat());
        assert!(printed.contains("without --all-or-nothing"), "{printed}");
    }
    assert_eq!(fixture.pending(), before);
}

#[test]
fn only_appended_records_are_queued_even_if_the_file_of_bad_records_was_moved_away() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = format!("{{}}\n{}", records(&["a"], 0..50));
    fixture.input("x.ndjson", &text);
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    fs::remove_file(fixture.inputs.path().join("b1")).unwrap();
    fixture.input("x.ndjson", format!("{text}{}", records(&["a"], 50..60)));
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    assert_eq!(fixture.pending(), 60);
}

#[test]
fn an_import_does_not_truncate_a_file_of_bad_records_that_another_import_has_created() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = format!("{{}}\n{}", records(&["a"], 0..5));
    fixture.input("x.ndjson", &text);
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    fs::remove_file(fixture.inputs.path().join("b1")).unwrap();
    fixture.input("y.ndjson", "{}\n{}\n{}\n");
    fixture.import_ending_with(SOME_BAD, &["y.ndjson", "--bad", "b1"]);

    fixture.input("x.ndjson", format!("{text}{{}}\n"));
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    assert_eq!(fixture.bad_records("b1").len(), 3);
}

#[test]
fn appended_records_are_queued_all_or_nothing_although_earlier_records_were_bad() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = format!("{{}}\n{}", records(&["a"], 0..50));
    fixture.input("x.ndjson", &text);
    fixture.import_ending_with(SOME_BAD, &["x.ndjson"]);
    fixture.input("x.ndjson", format!("{text}{}", records(&["a"], 50..60)));
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--all-or-nothing"]);
    assert_eq!(fixture.pending(), 60);
}

#[test]
fn appended_records_refused_as_all_or_nothing_do_not_make_earlier_records_be_queued_again() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = records(&["a"], 0..50);
    fixture.input("x.ndjson", &text);
    fixture.import_ending_with(0, &["x.ndjson"]);
    fixture.input("x.ndjson", format!("{text}{{}}\n"));
    let arguments = ["x.ndjson", "--all-or-nothing", "--bad", "b1"];
    let printed = fixture.import_ending_with(NOTHING_QUEUED, &arguments);
    assert!(
        printed.contains("fix the input and run the command again"),
        "{printed}"
    );

    fixture.input("x.ndjson", format!("{text}{}", records(&["a"], 50..60)));
    fixture.import_ending_with(0, &["x.ndjson", "--all-or-nothing", "--bad", "b2"]);
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 60);
}

#[test]
fn a_file_of_bad_records_that_another_import_has_made_under_a_given_name_is_never_cut() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let pipe = ["-", "--format", "ndjson", "--bad", "b1"];
    let mut killed = fixture.command(&pipe);
    let mut killed = killed.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = killed.stdin.take().unwrap();
    let good = records(&["a"], 0..1);
    input.write_all(good.as_bytes()).unwrap();
    // It plans to use that name, and has nothing bad yet.
    wait_until("the first commit", || {
        let dirs = fs::read_dir(fixture.spool.path().join("import"))
            .into_iter()
            .flatten();
        let mut files = dirs.map(|dir| dir.unwrap().path().join("progress.json"));
        files.any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("/b1\"")))
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(input);
    assert!(!fixture.inputs.path().join("b1").exists());

    fixture.input("y.ndjson", format!("{{}}\n{}", records(&["b"], 0..1)));
    fixture.import_ending_with(SOME_BAD, &["y.ndjson", "--bad", "b1"]);
    let of_other = fs::read(fixture.inputs.path().join("b1")).unwrap();
    assert!(!of_other.is_empty());

    let path = fixture.input("a.ndjson", format!("{good}[]\n"));
    let mut again = fixture.command(&pipe);
    let again = again.stdin(File::open(path).unwrap()).output().unwrap();
    assert_eq!(again.status.code(), Some(SOME_BAD), "{}", printed(&again));
    assert_eq!(
        fs::read(fixture.inputs.path().join("b1")).unwrap(),
        of_other
    );
    let names = fs::read_dir(fixture.inputs.path()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let own = names.find(|name| name.starts_with("b1-"));
    assert_eq!(
        fixture.bad_records(&own.expect("a file of its own"))[0].0,
        2
    );
}
