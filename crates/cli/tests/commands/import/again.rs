//! Imports that are begun again, by `--again` or by themselves: whatever a message advises, when it is
//! followed to the letter no record is queued twice.

use std::fs;
use std::process::Output;

use super::{NOTHING_QUEUED, Place, SOME_BAD, STOPPED, arrived_once, lines, said};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

const RECORDS: usize = 2_000;

/// An import that the spool's size stops sooner or later.
fn limited(place: &Place, orders: &[&str]) -> Output {
    let mut command = place.command(orders);
    command.env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
    command.output().unwrap()
}

/// A place with a long input whose first line is bad; its import has stopped on the way.
fn stopped(api: &Sandbox, orders: &[&str]) -> Place {
    let place = Place::of(api);
    place.input("x.ndjson", format!("{{}}\n{}", lines(&["a"], 0..RECORDS)));
    let output = limited(&place, orders);
    assert_eq!(output.status.code(), Some(STOPPED), "{}", said(&output));
    assert!(
        said(&output).contains("run the command again to go on"),
        "{}",
        said(&output)
    );
    place
}

#[test]
fn a_command_with_again_that_has_stopped_goes_on_when_it_is_given_again_and_queues_nothing_twice() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    place.input("x.ndjson", format!("{{}}\n{}", lines(&["a"], 0..RECORDS)));
    place.ends_with(SOME_BAD, &["x.ndjson"]);
    let client = place.host.client();
    client.flush_ok(secs(30));
    api.clear_ledger();

    let mut stops = 0;
    let ended = loop {
        let output = limited(&place, &["x.ndjson", "--again", "--bad", "b1"]);
        client.flush_ok(secs(30));
        if output.status.code() != Some(STOPPED) || stops > RECORDS {
            break output;
        }
        stops += 1;
    };
    assert_eq!(ended.status.code(), Some(SOME_BAD), "{}", said(&ended));
    assert!(stops > 1, "it has stopped {stops} times");
    assert_eq!(place.bad("b1").len(), 1);
    assert_eq!(arrived_once(&api)["a"].len(), RECORDS);
}

#[test]
fn a_last_commit_by_again_that_fails_half_way_says_how_to_go_on_without_queueing_twice() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    place.input("x.ndjson", lines(&["a"], 0..10));
    let journal = place.host.path().join("journal");
    fs::write(&journal, "in the way").unwrap();
    let said = place.ends_with(1, &["x.ndjson", "--again"]);
    assert!(
        said.contains("run the command again without --again to go on"),
        "{said}"
    );

    fs::remove_file(&journal).unwrap();
    place.ends_with(0, &["x.ndjson"]);
    assert_eq!(place.waiting(), 10);
}

#[test]
fn an_interrupted_import_whose_file_of_bad_records_is_gone_goes_on_with_another_one() {
    let api = Sandbox::start();
    let orders = ["x.ndjson", "--bad", "b1"];
    let place = stopped(&api, &orders);
    let said = place.ends_with(1, &["x.ndjson", "--bad", "b2"]);
    assert!(
        said.contains("its bad records are in") && said.contains("give that with --bad"),
        "{said}"
    );

    fs::remove_file(place.inputs.path().join("b1")).unwrap();
    let said = place.ends_with(1, &orders);
    assert!(said.contains("name another file with --bad"), "{said}");
    assert!(!said.contains("--again"), "{said}");
    // Not even by the way.
    place.ends_with(1, &["x.ndjson", "--bad", "b1", "--again"]);
    place.ends_with(SOME_BAD, &["x.ndjson", "--bad", "b2"]);
    place.host.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), RECORDS);
}

#[test]
fn another_input_takes_the_place_of_an_interrupted_one_only_by_again() {
    let api = Sandbox::start();
    let place = stopped(&api, &["x.ndjson", "--bad", "b1"]);
    place.host.client().flush_ok(secs(30));
    place.input("x.ndjson", lines(&["b"], 0..10));
    let said = place.ends_with(1, &["x.ndjson", "--bad", "b2"]);
    assert!(said.contains("this is another input"), "{said}");
    place.ends_with(0, &["x.ndjson", "--bad", "b2", "--again"]);
    assert_eq!(place.waiting(), 10);
}

#[test]
fn an_interrupted_import_is_not_begun_anew_as_all_or_nothing() {
    let api = Sandbox::start();
    let place = stopped(&api, &["x.ndjson", "--bad", "b1"]);
    let before = place.waiting();
    for orders in [&["--all-or-nothing"][..], &["--all-or-nothing", "--again"]] {
        let said = place.ends_with(1, &[&["x.ndjson", "--bad", "b1"], orders].concat());
        assert!(said.contains("without --all-or-nothing"), "{said}");
    }
    assert_eq!(place.waiting(), before);
}

#[test]
fn what_is_added_to_an_input_is_queued_alone_though_its_file_of_bad_records_was_moved_away() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = format!("{{}}\n{}", lines(&["a"], 0..50));
    place.input("x.ndjson", &text);
    place.ends_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    fs::remove_file(place.inputs.path().join("b1")).unwrap();
    place.input("x.ndjson", format!("{text}{}", lines(&["a"], 50..60)));
    place.ends_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    assert_eq!(place.waiting(), 60);
}

#[test]
fn an_ended_import_does_not_cut_a_file_of_bad_records_that_another_one_has_made_since() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = format!("{{}}\n{}", lines(&["a"], 0..5));
    place.input("x.ndjson", &text);
    place.ends_with(SOME_BAD, &["x.ndjson", "--bad", "b1"]);
    fs::remove_file(place.inputs.path().join("b1")).unwrap();
    place.input("y.ndjson", "{}\n{}\n{}\n");
    place.ends_with(SOME_BAD, &["y.ndjson", "--bad", "b1"]);

    place.input("x.ndjson", format!("{text}{{}}\n"));
    let said = place.ends_with(1, &["x.ndjson", "--bad", "b1"]);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(place.bad("b1").len(), 3);
}

#[test]
fn what_is_added_as_all_or_nothing_does_not_suffer_from_what_was_bad_before() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = format!("{{}}\n{}", lines(&["a"], 0..50));
    place.input("x.ndjson", &text);
    place.ends_with(SOME_BAD, &["x.ndjson"]);
    place.input("x.ndjson", format!("{text}{}", lines(&["a"], 50..60)));
    place.ends_with(SOME_BAD, &["x.ndjson", "--all-or-nothing"]);
    assert_eq!(place.waiting(), 60);
}

#[test]
fn what_is_added_as_all_or_nothing_and_is_bad_does_not_let_the_rest_be_queued_again() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = lines(&["a"], 0..50);
    place.input("x.ndjson", &text);
    place.ends_with(0, &["x.ndjson"]);
    place.input("x.ndjson", format!("{text}{{}}\n"));
    let orders = ["x.ndjson", "--all-or-nothing", "--bad", "b1"];
    let said = place.ends_with(NOTHING_QUEUED, &orders);
    assert!(said.contains("mend the input and run it again"), "{said}");

    place.input("x.ndjson", format!("{text}{}", lines(&["a"], 50..60)));
    place.ends_with(0, &["x.ndjson", "--all-or-nothing", "--bad", "b2"]);
    place.host.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 60);
}
