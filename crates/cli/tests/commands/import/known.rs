//! An input is known by its bytes, wherever they lie and whoever brings them.

use std::fs::{self, File};
use std::process::Output;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

use super::{Fixture, SOME_BAD, STOPPED, arrived_once, gzip, printed, record, records};

fn import_from_stdin(fixture: &Fixture, file: &str) -> Output {
    let mut command = fixture.command(&["-", "--format", "ndjson"]);
    let file = File::open(fixture.inputs.path().join(file)).unwrap();
    command.stdin(file).output().unwrap()
}

#[test]
fn the_same_bytes_are_not_queued_twice_under_another_name_from_a_pipe_or_packed() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = records(&["a", "b"], 0..500);
    fixture.input("x.ndjson", &text);
    fs::create_dir(fixture.inputs.path().join("redelivered")).unwrap();
    fixture.input("redelivered/y.jsonl", &text);
    fixture.input("z.ndjson.gz", gzip(text.as_bytes()));
    // Two members, as log rotation and `cat a.gz b.gz` leave them.
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    fixture.input("two.ndjson.gz", [gzip(first), gzip(second)].concat());
    fixture.import_ending_with(0, &["x.ndjson"]);
    for name in ["redelivered/y.jsonl", "z.ndjson.gz", "two.ndjson.gz"] {
        let printed = fixture.import_ending_with(0, &[name]);
        let said = "queued 0 of 1000 records; 1000 queued before, 0 bad";
        assert!(
            printed.contains(said) && printed.contains("--again"),
            "{name}: {printed}"
        );
    }
    for name in ["x.ndjson", "z.ndjson.gz"] {
        let output = import_from_stdin(&fixture, name);
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    }
    assert_eq!(fixture.pending(), 1_000);
    assert_eq!(fixture.remembered(), 1);
    fixture.import_ending_with(0, &["z.ndjson.gz", "--again"]);
    assert_eq!(fixture.pending(), 2_000);
    let mut again = fixture.command(&["-", "--format", "ndjson", "--again"]);
    let file = File::open(fixture.inputs.path().join("x.ndjson")).unwrap();
    let output = again.stdin(file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!((fixture.pending(), fixture.remembered()), (3_000, 1));
}

#[test]
fn an_interrupted_import_goes_on_where_the_file_was_moved_to_or_packed() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = format!("{{}}\n{}", records(&["a"], 0..2_000));
    fixture.input("x.ndjson", &text);
    let mut command = fixture.command(&["x.ndjson"]);
    command.env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
    let stopped = command.output().unwrap();
    assert_eq!(
        stopped.status.code(),
        Some(STOPPED),
        "{}",
        printed(&stopped)
    );
    fs::remove_file(fixture.inputs.path().join("x.ndjson")).unwrap();
    fixture.input("y.ndjson.gz", gzip(text.as_bytes()));
    fixture.import_ending_with(SOME_BAD, &["y.ndjson.gz"]);
    // The bad record is listed once, in the file of the first run.
    assert_eq!(fixture.listed("x.ndjson").len(), 1);
    assert!(fixture.bad_files("y.ndjson.gz").is_empty());
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 2_000);
}

#[test]
fn of_an_input_that_grew_only_what_is_new_is_queued_in_every_format() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let header = "token,partner_user_id,event,event_value\r\n";
    let csv = |count: usize| {
        let rows = (0..count).map(|number| format!("t,csv,video,{number}\r\n"));
        header.to_owned() + &rows.collect::<String>()
    };
    let list = |count: usize| {
        let events: Vec<_> = (0..count).map(|number| record("list", number)).collect();
        format!("{{\"events\": [{}\n]}}\n", events.join(",\n"))
    };
    for (name, first, grown) in [
        ("x.csv", csv(30), csv(50)),
        ("x.json", list(30), list(50)),
        (
            "x.ndjson",
            records(&["lines"], 0..30),
            records(&["lines"], 0..50),
        ),
    ] {
        fixture.input(name, first);
        fixture.import_ending_with(0, &[name]);
        // It grew, and arrives under another name.
        let other = format!("other-{name}");
        fixture.input(&other, grown);
        let printed = fixture.import_ending_with(0, &[&other]);
        assert!(
            printed.contains("queued 20 of 50 records; 30 queued before"),
            "{printed}"
        );
        let printed = fixture.import_ending_with(0, &[&other]);
        assert!(printed.contains("queued 0 of 50"), "{printed}");
    }
    fixture.spool.client().flush_ok(secs(30));
    for (user, numbers) in arrived_once(&api) {
        assert_eq!(numbers.len(), 50, "{user}");
    }
}

#[test]
fn inputs_that_begin_alike_are_remembered_beside_each_other() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    // More than the beginning that has a hash of its own is the same.
    let same = records(&["a"], 0..1_000);
    let names = ["1.ndjson", "2.ndjson", "3.ndjson"];
    for name in names {
        fixture.input(name, format!("{same}{}", records(&[name], 0..10)));
        let printed = fixture.import_ending_with(0, &[name]);
        assert!(printed.contains("queued 1010 of 1010"), "{printed}");
    }
    for name in names {
        let printed = fixture.import_ending_with(0, &[name]);
        assert!(printed.contains("queued 0 of 1010"), "{printed}");
    }
    assert_eq!(fixture.pending(), 3_030);
}

#[test]
fn what_an_older_version_has_imported_is_known() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let path = fixture.input("x.ndjson", records(&["a"], 0..50));
    fixture.import_ending_with(0, &["x.ndjson"]);
    let dirs = fs::read_dir(fixture.spool.path().join("import")).unwrap();
    let dir = dirs.map(|dir| dir.unwrap().path()).next().unwrap();
    let file = dir.join("progress.json");
    let mut progress: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    // Such a version named an import by the path of its input.
    let name = path.to_str().unwrap();
    progress["import"] = name.into();
    let checkpoint = progress["checkpoint"].as_object_mut().unwrap();
    for member in ["source", "first_sha256", "names"] {
        checkpoint.remove(member).unwrap();
    }
    fs::write(&file, progress.to_string()).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hash: String = digest.as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::rename(&dir, dir.with_file_name(hash)).unwrap();

    let printed = fixture.import_ending_with(0, &["x.ndjson"]);
    assert!(printed.contains("queued 0 of 50"), "{printed}");
    assert_eq!(fixture.remembered(), 1);
}

#[test]
fn an_input_is_still_known_after_another_one_with_the_same_beginning_came_again_from_a_pipe() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    // More than what can be compared before a pipe is read.
    let common = records(&["a"], 0..1_000);
    assert!(common.len() > 64 * 1024);
    fixture.input("x.ndjson", format!("{common}{}", records(&["x"], 0..10)));
    fixture.input(
        "longer.ndjson",
        format!("{common}{}", records(&["y"], 0..20)),
    );
    fixture.input("shorter.ndjson", &common);
    fixture.import_ending_with(0, &["x.ndjson"]);
    for name in ["longer.ndjson", "shorter.ndjson"] {
        fixture.spool.client().flush_ok(secs(30));
        let again = [
            "-",
            "--format",
            "ndjson",
            "--again",
            "--commit-bytes",
            "1000",
        ];
        let input = || File::open(fixture.inputs.path().join(name)).unwrap();
        // The first run is interrupted before it can know that the input is another one.
        let mut stopped = fixture.command(&again);
        stopped.env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
        let output = stopped.stdin(input()).output().unwrap();
        assert_eq!(output.status.code(), Some(STOPPED), "{}", printed(&output));
        let output = fixture.command(&again).stdin(input()).output().unwrap();
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(printed.contains("where it was interrupted"), "{printed}");

        for known in ["x.ndjson", name] {
            let printed = fixture.import_ending_with(0, &[known]);
            assert!(
                printed.contains("queued 0 of"),
                "{known} after {name}: {printed}"
            );
        }
    }
    // The same bytes again are no other input.
    let remembered = fixture.remembered();
    let mut again = fixture.command(&["-", "--format", "ndjson", "--again"]);
    let file = File::open(fixture.inputs.path().join("longer.ndjson")).unwrap();
    assert!(again.stdin(file).output().unwrap().status.success());
    assert_eq!(fixture.remembered(), remembered);
}
