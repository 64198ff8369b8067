//! Root runs each command on the spool of a user who means harm, and who has put links to files of root's
//! wherever root may open or make one: root reads nothing for that user, writes nothing for that user, and
//! sends no token where only that user says. `swapped_spool` has the spool's own directory.

use crate::cli::stdout;
use meditopia_testkit::command_tree::subcommands;
use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::process::{Command, Stdio};

use self::owner::*;

mod owner;

#[test]
fn every_command_that_root_can_run_is_tried_against_a_hostile_owner() {
    for name in subcommands(&[]) {
        let is_tried = COMMANDS.iter().any(|(tried, _)| *tried == name);
        assert!(is_tried || WITHOUT_SPOOL.contains(&&*name), "{name}");
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
                "meditopia import - ",
                "--format ndjson < ",
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
