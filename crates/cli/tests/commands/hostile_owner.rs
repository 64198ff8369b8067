//! Root runs each command on the spool of a user who means harm, and who has put links to files of root's
//! wherever root may open or make one: root reads nothing for that user, writes nothing for that user, and
//! sends no token where only that user says. `swapped_spool` has the spool's own directory.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use meditopia_testkit::meditopia;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::wait_until;

use crate::cli::{stderr, stdout};

/// Users without a name.
const OWNER: u32 = 12_345;
const NEIGHBOUR: u32 = 12_346;
/// What only root may know.
const SECRET: &str = "s3cret-of-root";
const EVENT: &str = r#"{"token":"t","partner_user_id":"s3cret-of-root","event":"video"}"#;

/// Every command with a spool, and how it is called; `SPOOL` stands for how the spool is named.
const COMMANDS: &[(&str, &[&str])] = &[
    ("run", &["run", "SPOOL"]),
    ("flush", &["flush", "SPOOL", "--timeout", "1"]),
    ("adopt", &["adopt", "SPOOL"]),
    ("status", &["status", "SPOOL"]),
    ("find", &["find", "--user", "u-1", "SPOOL"]),
    ("pending", &["pending", "list", "SPOOL"]),
    ("receipts", &["receipts", "list", "SPOOL"]),
    ("in-doubt", &["in-doubt", "list", "SPOOL"]),
    (
        "in-doubt",
        &["in-doubt", "set-aside", "--all", "--yes", "SPOOL"],
    ),
    (
        "in-doubt",
        &["in-doubt", "bisect", "--yes", "--timeout=1", "SPOOL"],
    ),
    ("damaged", &["damaged", "list", "SPOOL"]),
    ("damaged", &["damaged", "show", "SPOOL"]),
    (
        "damaged",
        &["damaged", "requeue", "--all", "--yes", "SPOOL"],
    ),
    ("damaged", &["damaged", "acknowledge", "SPOOL"]),
    ("rejected", &["rejected", "list", "SPOOL"]),
    ("rejected", &["rejected", "show", "SPOOL"]),
    (
        "rejected",
        &["rejected", "requeue", "--all", "--yes", "SPOOL"],
    ),
    (
        "rejected",
        &["rejected", "discard", "--all", "--yes", "SPOOL"],
    ),
    ("rejected", &["rejected", "export", "SPOOL"]),
    ("forget", &["forget", "--user", "u-1", "--yes", "SPOOL"]),
    ("hold", &["hold", "SPOOL"]),
    ("resume", &["resume", "SPOOL"]),
    ("doctor", &["doctor", "SPOOL"]),
    ("import", &["import", "-", "--format", "ndjson", "SPOOL"]),
    (
        "import",
        &["import", "-", "--dry-run", "--format", "ndjson", "SPOOL"],
    ),
    ("recover", &["recover", "--yes", "SPOOL"]),
];
/// They have no spool and read and write with the rights of who runs them, as cp does.
const WITHOUT_SPOOL: [&str; 4] = ["sandbox", "completions", "man", "help"];

/// A user with a home, a spool in it that goes to `api`, and links to a directory of root's.
struct Hostile {
    spool: TestSpool,
    roots: tempfile::TempDir,
}

impl Hostile {
    fn new(endpoint: &str) -> Self {
        let spool = TestSpool::for_endpoint(endpoint);
        spool.client().enqueue_users(0..3);
        let roots = tempfile::tempdir().unwrap();
        let hostile = Self { spool, roots };
        give_to(&hostile.home(""), OWNER);
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(hostile.home(""), mode).unwrap();
        hostile.link("out", hostile.roots.path());
        hostile
    }

    fn home(&self, name: &str) -> PathBuf {
        self.spool.path().parent().unwrap().join(name)
    }

    /// A file that only root can read.
    fn of_root(&self, name: &str, text: &str) -> PathBuf {
        let path = self.roots.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A file of the user's.
    fn of_user(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home(name);
        fs::write(&path, text).unwrap();
        lchown(&path, Some(OWNER), Some(OWNER)).unwrap();
        path
    }

    /// A link of the user's.
    fn link(&self, name: &str, target: &Path) -> PathBuf {
        let link = self.home(name);
        symlink(target, &link).unwrap();
        lchown(&link, Some(OWNER), Some(OWNER)).unwrap();
        link
    }

    /// Everything in root's directory.
    fn names_of_root(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.roots.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// One more event, as the user's application enqueues it.
    fn enqueue_one(&self) {
        let mut import = meditopia();
        import.args(["import", "-", "--format", "ndjson", "--again", "--spool"]);
        import.arg(self.spool.path()).stdin(Stdio::piped());
        let mut import = import.current_dir(self.home("")).spawn().unwrap();
        writeln!(import.stdin.take().unwrap(), "{EVENT}").unwrap();
        assert!(import.wait().unwrap().success());
    }

    fn pending(&self) -> u64 {
        let status = meditopia()
            .args(["status", "--json"])
            .arg(self.spool.path())
            .output();
        let status: serde_json::Value = serde_json::from_str(&stdout(&status.unwrap())).unwrap();
        status["pending"].as_u64().unwrap()
    }
}

fn give_to(dir: &Path, user: u32) {
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        lchown(path, Some(user), Some(user)).unwrap();
    }
}

fn can_test() -> bool {
    if !is_root() {
        report_skip("this process does not run as root");
    }
    is_root()
}

/// The command with `words`, in which `SPOOL` is replaced by `spool`.
fn command(words: &[&str], spool: &[&str]) -> Command {
    let mut command = meditopia();
    for word in words {
        match *word {
            "SPOOL" => command.args(spool),
            word => command.arg(word),
        };
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command that has to fail without a word of what only root may know; what it says.
fn refused(command: &mut Command) -> String {
    let streams = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A service that is not refused would run for ever.
    let mut process = ChildProcess(streams.spawn().unwrap());
    let mut status = None;
    wait_until("the end of the command", || {
        status = process.0.try_wait().unwrap();
        status.is_some()
    });
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    process
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    process
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_end(&mut errors)
        .unwrap();
    let output = Output {
        status: status.unwrap(),
        stdout: out,
        stderr: errors,
    };
    assert!(!output.status.success(), "{command:?}: {output:?}");
    let said = stderr(&output) + &stdout(&output);
    assert!(!said.contains(SECRET), "{command:?}: {said}");
    said
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_command_that_root_can_run_is_tried_against_a_hostile_owner() {
    let help = stdout(&done(meditopia().arg("--help")));
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let names = listed.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        let is_tried = COMMANDS.iter().any(|(tried, _)| *tried == name);
        assert!(is_tried || WITHOUT_SPOOL.contains(&name), "{name}");
    }
}

#[test]
fn a_configuration_that_a_user_can_swap_is_read_with_the_rights_of_that_user() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    // It would name the user's own spool, so all else would go well; and each line would be an error.
    let spool = hostile.spool.path();
    let sound = hostile.of_root(
        "sound.toml",
        &format!("spool = {spool:?}\nbearer_token = \"{SECRET}\""),
    );
    let broken = hostile.of_root("broken.toml", &format!("{SECRET}\n"));
    for (target, name) in [(&sound, "sound.toml"), (&broken, "broken.toml")] {
        let link = hostile.link(name, target);
        for (_, words) in COMMANDS {
            let said = refused(&mut command(words, &["--config", text(&link)]));
            assert!(said.contains("Permission denied"), "{words:?}: {said}");
        }
        // The same by a directory on the way.
        let behind = hostile.home("out").join(name);
        let said = refused(&mut command(
            &["status", "SPOOL"],
            &["--config", text(&behind)],
        ));
        assert!(said.contains("Permission denied"), "{said}");
    }
    // Root's own way to it is not the user's.
    let said = stdout(&done(&mut command(
        &["status", "SPOOL"],
        &["--config", text(&sound)],
    )));
    assert!(said.contains("pending"), "{said}");
}

#[test]
fn a_named_pipe_in_the_place_of_a_configuration_or_of_a_token_keeps_no_command_waiting() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let pipe = hostile.home("pipe");
    done(Command::new("mkfifo").arg(&pipe));
    lchown(&pipe, Some(OWNER), Some(OWNER)).unwrap();
    let spool = hostile.spool.path();
    let token = hostile.of_user("token.toml", &format!("bearer_token_file = {pipe:?}\n"));
    let user_token = [text(&token), "--send-event", "u-1", "--user-token-file"];
    let mut commands: Vec<Command> = COMMANDS
        .iter()
        .map(|(_, words)| command(words, &["--config", text(&pipe)]))
        .collect();
    let mut of_token = command(
        &["doctor", "SPOOL"],
        &[text(&spool), "--config", text(&token)],
    );
    of_token.env_remove("MEDITOPIA_BEARER_TOKEN");
    let mut of_user = command(&["doctor", "SPOOL", "--config"], &[text(&spool)]);
    of_user.args(user_token).arg(&pipe);
    commands.extend([of_token, of_user]);
    // At the same time, because each waits a second.
    std::thread::scope(|scope| {
        for mut command in commands {
            let pipe = &pipe;
            scope.spawn(move || {
                let said = refused(&mut command);
                assert!(said.contains(text(pipe)), "{command:?}: {said}");
            });
        }
    });
}

#[test]
fn a_configuration_of_one_user_does_not_make_root_act_on_the_spool_of_another() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let others = Hostile::new("http://127.0.0.1:9/events");
    for (victim, uid) in [("roots", 0), ("neighbours", NEIGHBOUR)] {
        give_to(&others.spool.path(), uid);
        let spool = others.spool.path();
        let config = hostile.of_user(victim, &format!("spool = {spool:?}"));
        for (_, words) in COMMANDS {
            let said = refused(&mut command(words, &["--config", text(&config)]));
            assert!(
                said.contains("uid 12345 can change this file")
                    && said.contains(&format!("uid {uid}")),
                "{words:?}: {said}"
            );
        }
    }
    // What the user has is for the user.
    let own = format!("spool = {:?}", hostile.spool.path());
    let own = hostile.of_user("own", &own);
    done(&mut command(&["hold", "SPOOL"], &["--config", text(&own)]));
}

#[test]
fn a_configuration_in_a_directory_that_others_may_write_to_is_not_read_by_root() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let dir = hostile.roots.path().join("shared");
    fs::create_dir(&dir).unwrap();
    let config = hostile.of_root(
        "shared/shop.toml",
        &format!("spool = {:?}", hostile.spool.path()),
    );
    fs::set_permissions(&dir, Permissions::from_mode(0o775)).unwrap();
    for (_, words) in COMMANDS {
        let said = refused(&mut command(words, &["--config", text(&config)]));
        assert!(
            said.contains("others may write to") && said.contains("0775"),
            "{said}"
        );
    }
}

#[test]
fn an_input_that_the_owner_of_the_spool_cannot_read_is_imported_from_standard_input_alone() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let spool = hostile.spool.path();
    let events = hostile.of_root("x.ndjson", &format!("{EVENT}\n{SECRET}\n"));
    let link = hostile.link("x.ndjson", &events);
    let behind = hostile.home("out").join("x.ndjson");
    for input in [&events, &link, &behind] {
        for dry in [&["--dry-run"][..], &[]] {
            let mut import = meditopia();
            import
                .arg("import")
                .arg(input)
                .args(dry)
                .arg("--spool")
                .arg(&spool);
            let said = refused(&mut import);
            for part in [
                "the spool's owner, uid 12345",
                "import - --format ndjson",
                "< ",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
    assert_eq!(hostile.pending(), 3);
    let made = fs::read_dir(hostile.home("x.ndjson").parent().unwrap()).unwrap();
    let mut made = made.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!made.any(|name| name.contains(".rejected")));

    // Root itself gives it.
    let bad = hostile.home("bad");
    let mut import = meditopia();
    import.args([
        "import",
        "-",
        "--format",
        "ndjson",
        "--bad",
        text(&bad),
        "--spool",
    ]);
    let import = import.arg(&spool).stdin(File::open(&events).unwrap());
    assert_eq!(import.output().unwrap().status.code(), Some(8));
    assert_eq!(hostile.pending(), 4);
    assert_eq!(bad.metadata().unwrap().uid(), OWNER);
}

#[test]
fn a_file_that_root_has_a_command_make_is_made_with_the_rights_of_the_spools_owner() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let before = hostile.names_of_root();
    let spool = hostile.spool.path();
    // A link to a directory of root's, and one to a file that is not there yet.
    hostile.link("new", &hostile.roots.path().join("made"));
    for made in [hostile.home("out").join("made"), hostile.home("new")] {
        let export = ["rejected", "export", "--output", text(&made), "SPOOL"];
        let import = [
            "import",
            "-",
            "--format",
            "ndjson",
            "--bad",
            text(&made),
            "SPOOL",
        ];
        let dry = [&import[..], &["--dry-run"]].concat();
        let said = refused(&mut command(&export, &[text(&spool)]));
        assert!(
            said.contains("Permission denied") || said.contains("File exists"),
            "{said}"
        );
        for words in [&import[..], &dry] {
            for named in [&["--spool", text(&spool)][..], &[]] {
                // Without a spool only a dry run does anything.
                if named.is_empty() && words.len() == import.len() {
                    continue;
                }
                let mut command = command(words, named);
                let mut import = command
                    .stdin(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                // It may have ended.
                let _ = writeln!(import.stdin.take().unwrap(), "no event");
                let output = import.wait_with_output().unwrap();
                assert!(!output.status.success());
                assert_eq!(hostile.names_of_root(), before, "{command:?}: {output:?}");
            }
        }
        assert_eq!(hostile.names_of_root(), before);
    }
}

#[test]
fn a_token_file_or_ca_file_that_the_owner_of_the_spool_cannot_read_is_not_read() {
    if !can_test() {
        return;
    }
    let api = Sandbox::builder().token(SECRET).start();
    let hostile = Hostile::new(api.endpoint());
    let spool = hostile.spool.path();
    let token = hostile.of_root("token", SECRET);
    let config = format!(
        "spool = {spool:?}\nbearer_token_file = {:?}",
        hostile.home("token")
    );
    let config = hostile.of_user("shop.toml", &config);
    hostile.link("token", &token);
    for words in [
        &["flush", "--timeout", "5", "SPOOL"][..],
        &["doctor", "SPOOL"],
    ] {
        let said = refused(&mut command(words, &["--config", text(&config)]));
        assert!(said.contains("Permission denied"), "{said}");
        let mut by_root = command(words, &[text(&spool)]);
        let said = refused(by_root.env("MEDITOPIA_BEARER_TOKEN_FILE", &token));
        assert!(said.contains("Permission denied"), "{said}");
        let mut with_roots = command(words, &[text(&spool)]);
        let said = refused(with_roots.env("MEDITOPIA_CA_FILE", &token));
        assert!(said.contains("Permission denied"), "{said}");
    }
    let user_token = hostile.link("user_token", &token);
    let words = [
        "doctor",
        "SPOOL",
        "--send-event",
        "u",
        "--user-token-file",
        text(&user_token),
    ];
    let mut doctor = command(&words, &[text(&spool)]);
    doctor.env("MEDITOPIA_ENDPOINT", api.endpoint());
    let said = refused(doctor.env("MEDITOPIA_BEARER_TOKEN", "t"));
    for part in ["Permission denied", "read as the spool's owner, uid 12345"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Only doctor has asked, with a token that is nobody's.
    let requests = api.requests();
    let refused = |code: &Option<String>| code.as_deref() == Some("A_1002");
    assert!(
        requests.iter().all(|request| refused(&request.code)),
        "{requests:?}"
    );
}

#[test]
fn a_token_that_only_root_knows_is_not_sent_where_only_the_owner_of_the_spool_says() {
    if !can_test() {
        return;
    }
    let api = Sandbox::builder().token(SECRET).start();
    let hostile = Hostile::new(api.endpoint());
    let spool = hostile.spool.path();
    let token = format!("spool = {spool:?}\nbearer_token = \"{SECRET}\"\n");
    let secret = hostile.of_root("shop.toml", &token);
    let own = format!("spool = {spool:?}\nendpoint = \"{}\"\n", api.endpoint());
    let own = hostile.of_user("own.toml", &own);
    for words in [
        &["flush", "--timeout", "5", "SPOOL"][..],
        &["run", "SPOOL"],
        &["doctor", "SPOOL"],
    ] {
        // The spool alone names the endpoint.
        let said = refused(&mut command(words, &["--config", text(&secret)]));
        assert!(said.contains("only the spool names the endpoint"), "{said}");
        let mut from_environment = command(words, &[text(&spool)]);
        let said = refused(from_environment.env("MEDITOPIA_BEARER_TOKEN", SECRET));
        assert!(said.contains("only the spool names the endpoint"), "{said}");
        // A file of the user's does.
        let mut from_environment = command(words, &["--config", text(&own)]);
        let said = refused(from_environment.env("MEDITOPIA_BEARER_TOKEN", SECRET));
        assert!(
            said.contains("own.toml says, which uid 12345 can change"),
            "{said}"
        );
    }
    assert_eq!(api.ledger().requests, 0);

    // Root says where.
    let flush = ["flush", "--timeout", "20", "SPOOL"];
    let mut named = command(&flush, &["--config", text(&secret)]);
    done(named.env("MEDITOPIA_ENDPOINT", api.endpoint()));
    assert_eq!(api.ledger().accepted_events, 3);
    hostile.enqueue_one();
    let both = format!("{token}endpoint = \"{}\"\n", api.endpoint());
    let both = hostile.of_root("both.toml", &both);
    done(&mut command(&flush, &["--config", text(&both)]));
    // A token that the owner can read goes where the owner says.
    hostile.enqueue_one();
    let readable = hostile.of_root("readable.toml", &token);
    fs::set_permissions(&readable, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(hostile.roots.path(), Permissions::from_mode(0o755)).unwrap();
    done(&mut command(&flush, &["--config", text(&readable)]));
    assert_eq!(api.ledger().accepted_events, 5);
}

#[test]
fn root_makes_a_spool_where_nobody_else_can_and_nowhere_else() {
    if !can_test() {
        return;
    }
    let hostile = Hostile::new("http://127.0.0.1:9/events");
    let import = |spool: &Path| {
        let events = hostile.of_root("events.ndjson", EVENT);
        let mut import = meditopia();
        import.arg("import").arg(events).arg("--spool").arg(spool);
        import
    };
    let sticky = hostile.roots.path().join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, Permissions::from_mode(0o1777)).unwrap();
    hostile.link("elsewhere", &hostile.roots.path().join("linked"));
    for not_roots in [
        hostile.home("new"),
        hostile.home("out").join("new"),
        hostile.home("elsewhere"),
        sticky.join("new"),
    ] {
        let said = refused(&mut import(&not_roots));
        assert!(
            said.contains("others than root can make one there") || said.contains("symbolic link"),
            "{said}"
        );
        assert!(!not_roots.exists(), "{not_roots:?}");
    }
    let roots = hostile.roots.path().join("lib/meditopia/spool");
    done(&mut import(&roots));
    let about = roots.metadata().unwrap();
    assert_eq!((about.uid(), about.mode() & 0o7777), (0, 0o700));
}
