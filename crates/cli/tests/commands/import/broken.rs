//! Inputs that cannot be split into records from some place on, and inputs that only look odd.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

use super::{Fixture, NOTHING_QUEUED, SOME_BAD, STOPPED, arrived_once, record, records};

const HEADER: &str = "token,partner_user_id,event,event_value\n";

#[test]
fn a_broken_record_is_named_with_line_and_remedy_and_nothing_of_it_is_queued() {
    let api = Sandbox::start();
    let (a, b) = (record("a", 0), record("b", 1));
    let ab = format!("{HEADER}t,a,video,0\n");
    // The name, the input, the line, the remedy, and how many records before it are queued.
    let cases: [(&str, Vec<u8>, u64, &str, u64); 14] = [
        (
            "1.csv",
            format!("{ab}t,b,video,\"1\nt,c,video,2\nt,d,video,3\n").into(),
            3,
            "close it",
            1,
        ),
        (
            "2.csv",
            format!("{ab}t,b,video,\"1\nt,c,video,\"2\"\n").into(),
            3,
            "close the field",
            1,
        ),
        (
            "3.csv",
            format!("{ab}t,b,\"video\nvid").into(),
            3,
            "get the whole file",
            1,
        ),
        (
            "4.csv",
            format!("{ab}t,b,vid").into(),
            3,
            "get the whole file",
            1,
        ),
        (
            "5.csv",
            "a,b,c\nt,u,video\n".into(),
            1,
            "the first line has to name the columns",
            0,
        ),
        (
            "6.csv",
            "token,partner_user_id,event,token\nt,u,video,t\n".into(),
            1,
            "leave one of them out",
            0,
        ),
        (
            "7.csv",
            format!("{ab}t,b,vid\0eo,1\nt,c,video,2\n").into(),
            3,
            "remove these bytes",
            1,
        ),
        ("8.csv", utf_16(&format!("\u{feff}{ab}")), 1, "iconv", 0),
        ("9.csv", utf_16(&ab), 1, "iconv", 0),
        (
            "1.ndjson",
            format!("{a}\n{}", &b[..b.len() - 9]).into(),
            2,
            "get the whole file",
            1,
        ),
        (
            "2.ndjson",
            format!("{a}\n\0\0\0\0").into(),
            2,
            "remove these bytes",
            1,
        ),
        (
            "1.json",
            format!("[{a},\n{}", &b[..b.len() - 9]).into(),
            2,
            "get the whole file",
            1,
        ),
        (
            "2.json",
            format!("[{a},\n{}", b.replace(":\"video\"", ":\"video")).into(),
            2,
            "is not closed",
            1,
        ),
        ("3.csv.gz", b"PK\x03\x04 and more".to_vec(), 1, "unzip", 0),
    ];
    for (name, input, line, remedy, queued) in cases {
        let fixture = Fixture::new(&api);
        fixture.input(name, input);
        let printed = fixture.import_ending_with(STOPPED, &[name]);
        let place = format!("meditopia: {name}:{line}: ");
        assert!(
            printed.contains(&place) && printed.contains(remedy),
            "{name}: {printed}"
        );
        let after = match queued {
            0 => "nothing is remembered".to_owned(),
            1 => format!(
                "{queued} events before it are queued; fix the input from there on, then run the same command again: it goes on after record {queued}"
            ),
            _ => unreachable!(),
        };
        assert!(printed.contains(&after), "{name}: {printed}");
        assert_eq!(fixture.pending(), queued, "{name}");
        assert!(fixture.bad_files(name).is_empty(), "{name}");
        assert_eq!(fixture.remembered(), usize::from(queued > 0), "{name}");
        // The same again says the same, and queues nothing.
        fixture.import_ending_with(STOPPED, &[name]);
        assert_eq!(fixture.pending(), queued, "{name}");
    }
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_mended_input_goes_on_after_the_records_that_are_queued() {
    let api = Sandbox::start();
    let row = |number: usize| format!("t,a,video,{number}\n");
    let rows = |numbers: std::ops::Range<usize>| numbers.map(row).collect::<String>();
    let fixture = Fixture::new(&api);
    let before = format!("{HEADER}{}", rows(0..700));
    fixture.input(
        "x.csv",
        format!("{before}t,a,video,\"700\n{}", rows(701..900)),
    );
    fixture.import_ending_with(STOPPED, &["x.csv", "--commit-bytes", "1000"]);
    assert_eq!(fixture.pending(), 700);
    fixture.input("x.csv", format!("{before}{}", rows(700..900)));
    let printed = fixture.import_ending_with(0, &["x.csv"]);
    assert!(
        printed.contains("queued 200 of 900 records; 700 queued before, 0 bad"),
        "{printed}"
    );
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 900);
}

#[test]
fn marks_line_breaks_separators_and_gzip_of_any_kind_yield_the_same_events() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let table = |separator: &str, line_break: &str| {
        let header = HEADER.trim_end().replace(',', separator);
        let rows = [["t", "a", "video"], ["t", "b", "video"]];
        let rows = rows.iter().enumerate();
        let rows = rows.map(|(number, row)| row.join(separator) + separator + &number.to_string());
        let lines: Vec<_> = [header].into_iter().chain(rows).collect();
        lines.join(line_break)
    };
    for (number, (input, said)) in [
        (format!("\u{feff}{}", table(",", "\n")).into_bytes(), ""),
        (table(",", "\r\n").into_bytes(), ""),
        (table(",", "\r").into_bytes(), ""),
        (table(",", "\n").replacen('\n', "\r\n", 1).into_bytes(), ""),
        (table(";", "\n").into_bytes(), "separated by semicolons"),
        (table("\t", "\n").into_bytes(), "separated by tabs"),
        (
            super::gzip(table(";", "\n").as_bytes()),
            "separated by semicolons",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}.csv");
        fixture.input(&name, input);
        // They differ in nothing that is known of them but the bytes.
        let printed = fixture.import_ending_with(0, &[&name, "--again"]);
        assert!(printed.contains(said), "{name}: {printed}");
        assert_eq!(
            printed.contains("separated"),
            !said.is_empty(),
            "{name}: {printed}"
        );
        fixture.spool.client().flush_ok(secs(30));
        let users = arrived_once(&api);
        assert_eq!((&users["a"], &users["b"]), (&vec![0], &vec![1]), "{name}");
        api.clear_ledger();
    }
}

#[test]
fn an_input_without_a_record_is_not_taken_for_a_good_one_unless_it_is_allowed() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    for (name, input) in [
        ("a.ndjson", ""),
        ("b.ndjson", "\u{feff}\n\n"),
        ("c.csv", ""),
        ("d.csv", HEADER),
        ("e.json", ""),
        ("f.json", "[]"),
    ] {
        fixture.input(name, input);
        let printed = fixture.import_ending_with(NOTHING_QUEUED, &[name]);
        assert!(printed.contains("--allow-empty"), "{name}: {printed}");
        fixture.import_ending_with(NOTHING_QUEUED, &[name, "--dry-run"]);
        fixture.import_ending_with(0, &[name, "--allow-empty"]);
        assert_eq!(fixture.remembered(), 0, "{name}");
    }
}

#[test]
fn after_a_wrong_option_the_right_one_works_at_once() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.csv", "token;user_id;event;note\nt;a;video;n\n");
    fixture.import_ending_with(STOPPED, &["x.csv", "--delimiter", ","]);
    fixture.import_ending_with(STOPPED, &["x.csv"]);
    fixture.import_ending_with(
        STOPPED,
        &["x.csv", "--map", "user=partner_user_id", "--ignore-extra"],
    );
    fixture.import_ending_with(
        super::super::cli::USAGE,
        &["x.csv", "--map", "user_id=user"],
    );
    // A map that makes every record bad queues nothing, and is no obstacle either.
    let wrong = [
        "x.csv",
        "--map",
        "user_id=event",
        "--map",
        "event=partner_user_id",
        "--ignore-extra",
    ];
    fixture.import_ending_with(SOME_BAD, &wrong);
    assert_eq!(fixture.pending(), 0);
    let right = [
        "x.csv",
        "--map",
        "user_id=partner_user_id",
        "--ignore-extra",
    ];
    fixture.import_ending_with(0, &right);
    assert_eq!(fixture.pending(), 1);
    fixture.input(
        "x.ndjson",
        r#"{"token":"t","user_id":"b","event":"video","note":[1]}"#,
    );
    fixture.import_ending_with(
        0,
        &[
            "x.ndjson",
            "--map",
            "user_id=partner_user_id",
            "--ignore-extra",
        ],
    );
    fixture.spool.client().flush_ok(secs(30));
    let users: Vec<_> = api
        .events()
        .into_iter()
        .map(|event| event.fields.partner_user_id)
        .collect();
    assert_eq!(users, ["a", "b"]);
}

#[test]
fn an_input_that_was_imported_with_other_names_is_queued_anew_only_with_again() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", records(&["a"], 0..5));
    fixture.import_ending_with(0, &["x.ndjson"]);
    let printed = fixture.import_ending_with(1, &["x.ndjson", "--ignore-extra"]);
    assert!(printed.contains("another --format"), "{printed}");
    fixture.import_ending_with(0, &["x.ndjson", "--ignore-extra", "--again"]);
    assert_eq!(fixture.pending(), 10);
    // A wrong option does not make the spool forget what it has queued.
    fixture.input("x.csv", format!("{HEADER}t,b,video,0\n"));
    fixture.import_ending_with(0, &["x.csv"]);
    for wrong in [
        &["x.csv", "--again", "--delimiter", ";"][..],
        &["x.csv", "--again", "--format", "json"],
    ] {
        fixture.import_ending_with(STOPPED, wrong);
        fixture.import_ending_with(0, &["x.csv"]);
        assert_eq!((fixture.pending(), fixture.remembered()), (11, 2));
    }
}
