//! What an import advises: with the option that it names, or after the command that it names, it does its work.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;

use super::{Shell, commands_in};
use crate::cli::{FAILED, NOTHING_QUEUED, STOPPED, USAGE};

const CSV: &str = "token,partner_user_id,event\nt,u-1,video\nt,u-2,video\n";
const USER: u32 = 12_345;

fn fixture() -> (ConfiguredSpool, Shell) {
    let spool = ConfiguredSpool::new(Sandbox::start().endpoint(), "token");
    let shell = Shell::of(&spool);
    (spool, shell)
}

fn pending(spool: &ConfiguredSpool) -> u64 {
    spool.client().stats().unwrap().pending
}

fn import(file: &str) -> String {
    format!("meditopia import --config config.toml {file}")
}

#[test]
fn an_import_that_is_told_the_format_or_that_it_may_be_empty_ends_well() {
    let (spool, shell) = fixture();
    fs::write(spool.path("users.txt"), CSV).unwrap();
    let unknown = shell.provoke(
        &import("users.txt"),
        USAGE,
        "the name does not say the format; give --format",
    );
    unknown.again_with(&shell, "--format csv", 0);
    assert_eq!(pending(&spool), 2);

    fs::write(spool.path("none.csv"), "").unwrap();
    let empty = shell.provoke(
        &import("none.csv"),
        NOTHING_QUEUED,
        "see why it is empty, or give --allow-empty",
    );
    empty.again_with(&shell, "--allow-empty", 0);

    let lines = r#"{"token":"t","partner_user_id":"u-1","event":"video"}"#;
    fs::write(spool.path("more.json"), format!("{lines}\n{lines}\n")).unwrap();
    let array = shell.provoke(
        &import("more.json"),
        STOPPED,
        "if it has one JSON object per line, give --format ndjson",
    );
    array.again_with(&shell, "--format ndjson", 0);
    assert_eq!(pending(&spool), 4);
}

#[test]
fn a_header_with_other_columns_is_read_with_the_options_that_are_named() {
    let (spool, shell) = fixture();
    fs::write(spool.path("a.csv"), CSV.replace("partner_user_id", "uid")).unwrap();
    let unknown = shell.provoke(
        &import("a.csv"),
        STOPPED,
        "say what it is with --map NAME=FIELD, or leave out unknown columns with --ignore-extra",
    );
    let missing = shell.provoke(
        &format!("{} --ignore-extra", unknown.line),
        STOPPED,
        "add it, or say which column it is with --map NAME=",
    );
    fs::write(spool.path("m.csv"), CSV.replace("u-1", "u-9")).unwrap();
    let wrong = shell.provoke(
        &format!("{} --map valeu=event_value", import("m.csv")),
        STOPPED,
        ", which --map names; correct --map",
    );
    let correct = wrong.line.replace("valeu=event_value", "token=token");
    shell.provoke(&format!("{correct} --dry-run"), 0, "2 good");
    missing.again_with(&shell, "--map uid=partner_user_id", 0);
    assert_eq!(pending(&spool), 2);

    fs::write(spool.path("b.csv"), CSV.replace(',', "#")).unwrap();
    let none = shell.provoke(
        &import("b.csv"),
        STOPPED,
        "add it, or see --delimiter, --format and --map NAME=FIELD",
    );
    none.again_with(&shell, "--delimiter '#' --again", 0);
    fs::write(spool.path("c.csv"), "[\n]\n").unwrap();
    let none = shell.provoke(&import("c.csv"), STOPPED, "see --delimiter, --format and");
    none.again_with(&shell, "--format json --allow-empty", 0);
    assert_eq!(pending(&spool), 4);
}

#[test]
fn a_file_of_bad_records_that_cannot_be_written_gets_another_place_by_its_option() {
    let (spool, shell) = fixture();
    fs::write(spool.path("a.csv"), format!("{CSV}t,,video\n")).unwrap();
    let refused = shell.provoke(
        &format!("{} --bad none/bad.ndjson", import("a.csv")),
        FAILED,
        "name another file with --bad",
    );
    let line = refused.line.replace("none/bad", "bad");
    shell.provoke(&line, 8, "listed in");
    assert_eq!(pending(&spool), 2);
}

#[test]
fn an_import_that_was_queued_or_is_another_one_goes_on_as_it_is_told() {
    let (spool, shell) = fixture();
    fs::write(spool.path("a.csv"), CSV).unwrap();
    shell.provoke(&import("a.csv"), 0, "");
    let known = shell.provoke(
        &import("a.csv"),
        0,
        "every good record was queued by an earlier import; --again queues it again",
    );
    known.again_with(&shell, "--again", 0);
    assert_eq!(pending(&spool), 4);

    // One that stopped on the way, and is read in another way now.
    let others = CSV.replace("u-1", "u-7");
    fs::write(spool.path("b.csv"), format!("{others}t,\"u-3")).unwrap();
    let stopped = shell.provoke(&import("b.csv"), STOPPED, "");
    let other = shell.provoke(
        &format!("{} --ignore-extra", stopped.line),
        FAILED,
        "it had another --format, --delimiter, --map or --ignore-extra; use those",
    );
    fs::write(spool.path("b.csv"), format!("{others}t,u-3,video\n")).unwrap();
    let all = shell.provoke(
        &format!("{} --all-or-nothing", stopped.line),
        FAILED,
        "it was not all-or-nothing; finish it without --all-or-nothing",
    );
    shell.provoke(&all.line.replace(" --all-or-nothing", ""), 0, "");
    assert_eq!(pending(&spool), 7);
    // "or --again once it has ended".
    other.again_with(&shell, "--again", 0);
    assert_eq!(pending(&spool), 10);
}

#[test]
fn an_input_that_was_changed_before_where_it_stopped_is_imported_by_either_remedy() {
    let (spool, shell) = fixture();
    let changed = CSV.replace("u-2", "u-5");
    fs::write(spool.path("a.csv"), format!("{CSV}t,\"u-3")).unwrap();
    shell.provoke(&import("a.csv"), STOPPED, "");
    fs::write(spool.path("a.csv"), format!("{changed}t,u-4,video\n")).unwrap();
    let other = shell.provoke(
        &import("a.csv"),
        FAILED,
        "undo what was changed up to that record, or use --again, which queues again",
    );
    fs::write(spool.path("a.csv"), format!("{CSV}t,u-3,video\n")).unwrap();
    shell.provoke(&other.line, 0, "");
    assert_eq!(pending(&spool), 3);

    fs::write(
        spool.path("b.csv"),
        format!("{}t,\"u-3", CSV.replace("u-1", "u-7")),
    )
    .unwrap();
    shell.provoke(&import("b.csv"), STOPPED, "");
    let changed = changed.replace("u-1", "u-7");
    fs::write(spool.path("b.csv"), format!("{changed}t,u-4,video\n")).unwrap();
    let other = shell.provoke(&import("b.csv"), FAILED, "or use --again");
    other.again_with(&shell, "--again", 0);
    assert_eq!(pending(&spool), 8);
}

#[test]
fn an_import_whose_checkpoint_cannot_be_read_starts_over_with_the_option_that_is_named() {
    let (spool, shell) = fixture();
    fs::write(spool.path("a.csv"), CSV).unwrap();
    shell.provoke(&import("a.csv"), 0, "");
    let imports = fs::read_dir(spool.spool().join("import")).unwrap();
    for import in imports {
        let file = import.unwrap().path().join("progress.json");
        let mut progress: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        progress["checkpoint"]["records"] = "many".into();
        fs::write(&file, progress.to_string()).unwrap();
    }
    let unreadable = shell.provoke(
        &import("a.csv"),
        FAILED,
        "--again starts over, and queues again what that import has queued",
    );
    unreadable.again_with(&shell, "--again", 0);
    assert_eq!(pending(&spool), 4);
}

#[test]
fn an_input_that_is_no_text_is_read_after_the_command_as_typed() {
    let (spool, shell) = fixture();
    let utf_16 = |mark: &str, big: bool| -> Vec<u8> {
        let units = format!("{mark}{CSV}").encode_utf16().collect::<Vec<_>>();
        units
            .into_iter()
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&utf_16("\u{feff}", true)).unwrap();
    let mut queued = 0;
    for (name, bytes, converted, text) in [
        (
            "a.csv",
            utf_16("\u{feff}", false),
            "utf-8-a.csv",
            "this is no text in UTF-8, but UTF-16",
        ),
        (
            "it's b.csv",
            utf_16("", false),
            "utf-8-it's b.csv",
            "this looks like UTF-16",
        ),
        (
            "c.csv",
            utf_16("", true),
            "utf-8-c.csv",
            "this looks like UTF-16",
        ),
        (
            "d.csv.gz",
            packed.finish().unwrap(),
            "utf-8-d.csv",
            "this is no text in UTF-8",
        ),
    ] {
        fs::write(spool.path(name), bytes).unwrap();
        let broken = shell.provoke(&import(&format!("\"{name}\"")), STOPPED, text);
        let commands = broken.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        assert!(shell.run(&commands[0]).status.success(), "{commands:?}");
        // The same records, so each is said to be queued, or queued again.
        let line = format!("{} --again", import(&format!("\"{converted}\"")));
        shell.provoke(&line, 0, "queued 2 of 2 records");
        queued += 2;
        assert_eq!(pending(&spool), queued);
    }
    for (program, name) in [
        ("xz", "e.csv.xz"),
        ("bzip2", "f.csv.bz2"),
        ("zstd", "g.csv.zst"),
    ] {
        let plain = &name[..name.rfind('.').unwrap()];
        fs::write(spool.path(plain), CSV).unwrap();
        let packs = Command::new(program).arg("--version").output();
        if !packs.is_ok_and(|output| output.status.success()) {
            report_skip(&format!("{program} is not installed"));
            continue;
        }
        assert!(shell.run(&format!("{program} -k {plain}")).status.success());
        let broken = shell.provoke(
            &format!("{} --format csv", import(name)),
            STOPPED,
            "this is no text in UTF-8, but compressed by",
        );
        let commands = broken.commands();
        assert!(shell.run(&commands[0]).status.success(), "{commands:?}");
        let text = fs::read_to_string(spool.path(&format!("utf-8-{plain}"))).unwrap();
        assert_eq!(text, CSV);
    }
}

#[test]
fn what_only_root_can_read_is_imported_by_the_command_as_typed() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let (spool, shell) = fixture();
    for path in ["", "config.toml", "token"] {
        fs::set_permissions(spool.path(path), Permissions::from_mode(0o755)).unwrap();
    }
    let owned = Command::new("chown")
        .args(["-R", &format!("{USER}:{USER}")])
        .arg(spool.spool())
        .status();
    assert!(owned.unwrap().success());
    chown(spool.path("token"), Some(USER), Some(USER)).unwrap();
    fs::write(spool.path("it's.csv"), CSV.replace(',', ";")).unwrap();
    fs::set_permissions(spool.path("it's.csv"), Permissions::from_mode(0o600)).unwrap();
    let refused = shell.provoke(
        &import(r#""it's.csv" --map ptr=event_value --ignore-extra --map event=event"#)
            .replace("--map ptr=event_value ", ""),
        FAILED,
        "or give it on standard input: ",
    );
    let commands = commands_in(&refused.text);
    assert_eq!(commands.len(), 1, "{}", refused.text);
    shell.provoke(&commands[0], 0, "queued 2 of 2 records");

    // The file of bad records is written as the owner, too.
    fs::create_dir(spool.path("roots")).unwrap();
    fs::set_permissions(spool.path("roots"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(spool.path("owners")).unwrap();
    chown(spool.path("owners"), Some(USER), Some(USER)).unwrap();
    let bad = format!("{CSV}t,,video\n");
    fs::write(spool.path("bad.csv"), bad).unwrap();
    let refused = shell.provoke(
        &import("bad.csv --again --bad roots/x"),
        FAILED,
        ", or name a file with --bad where ",
    );
    shell.provoke(&refused.line.replace("roots", "owners"), 8, "listed in");
}
