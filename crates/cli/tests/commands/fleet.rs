//! `meditopia fleet` with a real PostgreSQL server.

use std::fs;
use std::process::Output;

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::{meditopia, repository_path};
use serde_json::Value;

/// The command with the store in its environment, as a service has it.
fn fleet(url: &str, arguments: &[&str]) -> Output {
    let mut command = meditopia();
    command.env("MEDITOPIA_STORE", url).arg("fleet");
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn done(url: &str, arguments: &[&str]) -> String {
    let output = fleet(url, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn failed(url: &str, arguments: &[&str], status: i32) -> String {
    let output = fleet(url, arguments);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_fleet_is_set_up_listed_and_adopted_where_it_was_copied_to() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let url = server.url(&database);
    let absent = failed(&url, &["hosts"], 1);
    assert!(absent.contains("meditopia fleet init"), "{absent}");

    let endpoint = ["--endpoint", "http://127.0.0.1:8080/default/v1/events"];
    let made = done(&url, &["init", "--lanes", "3", endpoint[0], endpoint[1]]);
    assert!(
        made.contains("3 lanes for http://127.0.0.1:8080/"),
        "{made}"
    );
    let again = failed(&url, &["init"], 1);
    assert!(again.contains("has a schema meditopia already"), "{again}");
    assert!(done(&url, &["upgrade"]).contains("version 1 already"));

    assert_eq!(done(&url, &["hosts"]), "none\n");
    assert_eq!(done(&url, &["relays", "--json"]), "");
    let lanes = done(&url, &["lanes"]);
    assert_eq!(lanes.lines().count(), 3, "{lanes}");
    assert!(
        lanes.contains("  0  no relay  0 pending, 0 delivered, 0 rejected"),
        "{lanes}"
    );
    server.sql(
        &database,
        "SELECT meditopia.begin_spool('a81bc81b-dead-4e5d-abff-90865d1e13b1', E'web-1\\u202e', '1.0');
         UPDATE meditopia.spool SET behind_bytes = 2048, behind_since_ms = 1722956645000;
         INSERT INTO meditopia.relay VALUES ('b81bc81b-dead-4e5d-abff-90865d1e13b1', 'relay-1', '1.0', now(), 'A_1004', now());
         UPDATE meditopia.lane SET owner = 'b81bc81b-dead-4e5d-abff-90865d1e13b1', lease_until = now() + interval '1 hour', left_events = 2 WHERE lane = 1;
         UPDATE meditopia.sorter SET appended = '{1,5,0}'",
    );
    let hosts = done(&url, &["hosts", "--utc"]);
    assert!(
        hosts.contains("web-1\\u{202e}") && hosts.contains("2.0 KiB wait for "),
        "{hosts}"
    );
    let relays = done(&url, &["relays", "--utc"]);
    assert!(
        relays.contains("relay-1") && relays.contains("1 lane  blocked: A_1004, tries again at"),
        "{relays}"
    );
    let lanes = done(&url, &["lanes", "--json"]);
    let lane: Value = serde_json::from_str(lanes.lines().nth(1).unwrap()).unwrap();
    assert_eq!(lane["owner"], "relay-1");
    assert_eq!(lane["pending"], 3);

    let copy = format!("{database}_copy");
    server.sql(
        "postgres",
        &format!("CREATE DATABASE {copy} TEMPLATE {database}"),
    );
    let adopted = done(&server.url(&copy), &["adopt", "--account", "staging"]);
    assert!(
        adopted.contains("no other copy may ever be used"),
        "{adopted}"
    );
    assert!(adopted.contains("account \"staging\""), "{adopted}");
    assert!(done(&server.url(&copy), &["adopt"]).contains("as before"));
}

#[test]
fn the_line_on_the_page_of_fleets_sets_one_up() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let page = fs::read_to_string(repository_path("docs/fleet.md")).unwrap();
    let (_, rest) = page.split_once("```sh\nmeditopia ").unwrap();
    let line = rest.split('\n').next().unwrap();
    let url = server.url(&database);
    let line = line.replace("postgres://dba@db.example/shop", &url);
    let output = meditopia().args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(done(&url, &["lanes"]).lines().count(), 16);
}

#[test]
fn the_sql_for_a_dba_is_printed_without_a_store_and_makes_a_fleet() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let output = meditopia()
        .args([
            "fleet",
            "sql",
            "--lanes",
            "2",
            "--account",
            "it's",
            "--utc-offset",
            "-03:30",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    server.sql(&database, &String::from_utf8(output.stdout).unwrap());
    let meta = "SELECT lanes, account, utc_offset_minutes, endpoint FROM meditopia.meta";
    let expected = "2|it's|-210|https://partners.meditopia.com/default/v1/events";
    assert_eq!(server.sql(&database, meta), expected);
    assert_eq!(
        done(&server.url(&database), &["lanes", "--json"])
            .lines()
            .count(),
        2
    );
}

#[test]
fn a_password_on_the_command_line_is_refused_and_the_file_that_the_message_names_works() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let url = server.url(&database);
    let with_password = url.replacen("postgres@", "postgres:pass-1@", 1);
    assert_ne!(url, with_password);
    let output = meditopia()
        .args(["fleet", "init", "--store", &with_password])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--store-file") && !said.contains("pass-1"),
        "{said}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store");
    fs::write(&file, with_password).unwrap();
    let mut init = meditopia();
    init.args(["fleet", "init", "--store-file"]).arg(file);
    let output = init.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_store_is_named_by_its_url_by_a_file_or_by_a_configuration() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let url = server.url(&database);
    done(&url, &["init"]);
    let dir = tempfile::tempdir().unwrap();
    let (file, config) = (dir.path().join("store"), dir.path().join("config.toml"));
    fs::write(&file, format!("{url}\n")).unwrap();
    fs::write(
        &config,
        format!("spool = \"/nowhere\"\nstore_file = {file:?}\n"),
    )
    .unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    for arguments in [
        ["--store", &url],
        ["--store-file", file],
        ["--config", config],
    ] {
        let output = meditopia()
            .args(["fleet", "lanes"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let unnamed = meditopia().args(["fleet", "lanes"]).output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unnamed.stderr).contains("MEDITOPIA_STORE"));
}

#[test]
fn a_password_is_refused_on_the_command_line_and_never_printed() {
    let server = PostgresServer::shared();
    let port = server.port();
    for url in [
        format!("postgres://ada:quagga@127.0.0.1:{port}/none"),
        format!("postgres://127.0.0.1:{port}/none?user=ada&password=quagga"),
    ] {
        let said = failed(&url, &["hosts"], 1);
        assert!(
            !said.contains("quagga") && said.contains("127.0.0.1"),
            "{said}"
        );
        let output = meditopia()
            .args(["fleet", "hosts", "--store", &url])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("--store-file") && !said.contains("quagga"),
            "{said}"
        );
    }
    // In the wrong place.
    let said = failed("postgres://ada:okapi/quagga@127.0.0.1/none", &["hosts"], 2);
    assert!(
        !said.contains("quagga") && !said.contains("okapi"),
        "{said}"
    );
}
