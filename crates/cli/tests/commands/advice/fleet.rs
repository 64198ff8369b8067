//! What the commands of operators advise about a fleet.

use std::fs;

use meditopia_testkit::postgres_server::PostgresServer;

use super::Shell;
use crate::cli::{FAILED, USAGE, stdout};

/// A fleet whose URL is in the file `store` of the directory in which is typed.
struct Fleet {
    // Ends after the shell.
    _dir: tempfile::TempDir,
    shell: Shell,
    server: &'static PostgresServer,
    database: String,
}

impl Fleet {
    fn new() -> Self {
        let server = PostgresServer::shared();
        let database = server.create_database();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store"), server.url(&database)).unwrap();
        let shell = Shell {
            dir: dir.path().to_owned(),
        };
        stdout(&shell.run("meditopia fleet init --lanes 2 --store-file store"));
        Self {
            _dir: dir,
            shell,
            server,
            database,
        }
    }

    fn sql(&self, statement: &str) {
        self.server.sql(&self.database, statement);
    }
}

#[test]
fn what_is_advised_about_hosts_batches_and_copies_of_a_fleet_works_as_typed() {
    let fleet = Fleet::new();
    let (shell, status) = (&fleet.shell, "meditopia status --store-file store");
    fleet.sql(
        "SELECT meditopia.begin_spool('a81bc81b-dead-4e5d-abff-90865d1e13b1', 'web-7', '1.0');
         UPDATE meditopia.spool SET behind_bytes = 2048, behind_since_ms = 5;
         UPDATE meditopia.lane SET in_doubt_since_ms = 5 WHERE lane = 1",
    );
    let behind = shell.provoke(
        status,
        0,
        "runs there and reaches the database; all hosts: ",
    );
    assert!(behind.type_all(shell).concat().contains("web-7"));
    shell.provoke(status, 0, "see which: ").type_all(shell);
    fleet.sql("UPDATE meditopia.meta SET system_identifier = 1");
    let doctor = "meditopia doctor --store-file store";
    shell.provoke(doctor, 2, "if no other copy will ever be used: ");
    shell
        .provoke(status, 0, "if no other copy will ever be used: ")
        .type_all(shell);
    let adopted = shell.run(status);
    assert!(!stdout(&adopted).contains("adopt"), "{adopted:?}");

    fleet.sql("UPDATE meditopia.lane SET state = '\\xff'");
    shell
        .provoke(doctor, 2, "see that it stays reachable, then: ")
        .type_all(shell);
}

#[test]
fn what_a_hold_and_a_restored_fleet_advise_works_as_typed() {
    let fleet = Fleet::new();
    let shell = &fleet.shell;
    fleet.sql(
        "INSERT INTO meditopia.receipt VALUES (0, 1, 1722956645000, 204, 1, 3, '');
         INSERT INTO meditopia.relay VALUES ('b81bc81b-dead-4e5d-abff-90865d1e13b1', 'relay-1', '1.0', now() + interval '1 hour')",
    );
    let restored = "meditopia fleet restored --since 2024-08-06 --store-file store";
    let said = shell.provoke(
        restored,
        0,
        "may deliver what this list is about; to stop them: ",
    );
    assert!(said.text.contains("; to list them: "), "{}", said.text);
    let typed = said.type_all(shell).concat();
    assert!(typed.contains("held since"), "{typed}");
    assert!(typed.contains("delivered"), "{typed}");
    let held = shell.provoke(
        "meditopia hold --store-file store",
        0,
        "no relay sends until: ",
    );
    assert!(held.type_all(shell)[0].contains("resumed"));
}

#[test]
fn an_option_that_only_a_fleet_or_only_a_spool_has_is_refused_with_what_works() {
    let fleet = Fleet::new();
    let shell = &fleet.shell;
    let check = "meditopia status --check --store-file store";
    shell.provoke(
        &format!("{check} --warn-free 5"),
        3,
        "are about the disk of a spool; leave them out with --store",
    );
    shell.type_in(check);
    let spool = meditopia_testkit::spool::TestSpool::for_endpoint("http://127.0.0.1:9/events");
    drop(spool.client());
    let hold = format!("meditopia hold {} --reason x", spool.path().display());
    shell.provoke(
        &hold,
        USAGE,
        "only the hold of a fleet has one; leave it out, or give --store",
    );
    shell.type_in("meditopia hold --reason x --store-file store");
    let nobody = "meditopia rejected show --id 5 --store-file store";
    shell.provoke(nobody, FAILED, "no rejected event has the id 5");
}
