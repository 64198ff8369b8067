//! What each role may do, and that it may do nothing else.

use meditopia_fleet::place::Place;
use meditopia_testkit::postgres_server::PostgresServer;

use crate::fleet::{connect, set_up};

/// Every right in the schema that is not the owner's: role, kind of right, and what it is about.
const RIGHTS: &str = "
  SELECT grantee::regrole || ' ' || privilege_type || ' ' || what FROM (
    SELECT 'schema' AS what, a.* FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'meditopia'
    UNION ALL
    SELECT c.relname, a.* FROM pg_class c, aclexplode(c.relacl) a
      WHERE c.relnamespace = 'meditopia'::regnamespace AND c.relname !~ '^receipt_[0-9]+$'
    UNION ALL
    SELECT c.relname || '.' || t.attname, a.* FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
      WHERE c.relnamespace = 'meditopia'::regnamespace
    UNION ALL
    SELECT p.proname || '()', a.* FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      WHERE p.pronamespace = 'meditopia'::regnamespace
  ) AS granted
  WHERE grantee <> 'meditopia_owner'::regrole ORDER BY 1";

const TABLES: [&str; 14] = [
    "command",
    "damaged_parcel",
    "host",
    "lane",
    "meta",
    "parcel",
    "receipt",
    "receipt_other",
    "refused_in_a_row",
    "rejected",
    "relay",
    "run",
    "sorter",
    "spool",
];

#[test]
fn each_role_has_the_rights_of_its_job_and_no_other() {
    let (server, database) = set_up();
    let mut expected = Vec::new();
    let mut allow = |role: &str, right: &str, names: &[&str]| {
        expected.extend(
            names
                .iter()
                .map(|name| format!("meditopia_{role} {right} {name}")),
        );
    };
    for role in ["forward", "enqueue", "relay", "read"] {
        allow(role, "USAGE", &["schema"]);
        allow(role, "EXECUTE", &["fleet()"]);
    }
    allow("forward", "EXECUTE", &["begin_spool()", "forward()"]);
    allow("enqueue", "EXECUTE", &["enqueue()", "enqueue_batch()"]);
    for role in ["relay", "read"] {
        allow(role, "SELECT", &TABLES);
        allow(role, "SELECT", &["suspect"]);
    }
    let delivered = [
        "command",
        "refused_in_a_row",
        "rejected",
        "relay",
        "run",
        "suspect",
    ];
    allow("relay", "INSERT", &delivered);
    allow("relay", "UPDATE", &delivered);
    allow("relay", "DELETE", &delivered);
    allow("relay", "UPDATE", &["lane", "sorter", "meta.hold"]);
    allow("relay", "INSERT", &["parcel", "damaged_parcel", "receipt"]);
    allow("relay", "DELETE", &["parcel", "damaged_parcel"]);
    allow("relay", "USAGE", &["parcel_id"]);
    allow(
        "relay",
        "EXECUTE",
        &[
            "require()",
            "next_parcel_id()",
            "keep_receipts()",
            "forget_closed_spools()",
        ],
    );
    expected.sort();
    let mut found: Vec<_> = server
        .sql(&database, RIGHTS)
        .lines()
        .map(str::to_owned)
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

/// The statement as a user who has this role alone; whether it was allowed, and what the server said.
fn try_as(server: &PostgresServer, database: &str, role: &str, statement: &str) -> (bool, String) {
    let user = format!("{role}_{database}");
    let script = format!("BEGIN; {statement}; ROLLBACK");
    let output = server.psql_as(&user, database, &script);
    let said = String::from_utf8(output.stderr).unwrap();
    let denied = said.contains("permission denied") || said.contains("must be owner");
    assert!(
        output.status.success() || denied,
        "{role}: {statement}: {said}"
    );
    (!denied, said)
}

#[test]
fn each_role_can_do_its_job_and_is_denied_what_is_another_roles() {
    let (server, database) = set_up();
    for role in ["forward", "enqueue", "relay", "read"] {
        server.sql(
            &database,
            &format!("CREATE ROLE {role}_{database} LOGIN IN ROLE meditopia_{role}"),
        );
        Place::of(&mut connect(
            &server.url_as(&format!("{role}_{database}"), &database),
        ))
        .unwrap();
    }
    let spool = "'a81bc81b-dead-4e5d-abff-90865d1e13b1'";
    let forward = format!(
        "SELECT * FROM meditopia.begin_spool({spool}, 'web-1', '1'); SELECT meditopia.forward({spool}, 0, '', '', 0, NULL, false, '{{}}', '{{}}', '{{}}')"
    );
    let enqueue = "SELECT meditopia.enqueue('t', 'u', 'video'); SELECT meditopia.enqueue_batch('{t}', '{u}', '{video}')";
    let sort = "UPDATE meditopia.sorter SET step = step + 1; DELETE FROM meditopia.parcel;
      INSERT INTO meditopia.run VALUES (0, 0, 1, 1, 1, '', '', ''); UPDATE meditopia.run SET marks = ''; DELETE FROM meditopia.run";
    let deliver = "UPDATE meditopia.lane SET step = step + 1; SELECT meditopia.require(true, '');
      INSERT INTO meditopia.receipt VALUES (0, 1, 1, 204, 1, 1, ''); INSERT INTO meditopia.refused_in_a_row VALUES ('u')";
    let operate = "UPDATE meditopia.meta SET hold = '{}'; INSERT INTO meditopia.command (lane, command) VALUES (0, '{}');
      INSERT INTO meditopia.parcel (events, body, slots, checksum) VALUES (1, '', '', '')";
    let keep = "SELECT meditopia.keep_receipts(7); SELECT meditopia.forget_closed_spools(30)";
    let look =
        "SELECT * FROM meditopia.parcel, meditopia.rejected, meditopia.host, meditopia.spool";
    // Nobody's: what makes a database another fleet's, or a lane two.
    let never = [
        "UPDATE meditopia.meta SET system_identifier = 1",
        "UPDATE meditopia.meta SET version = 2",
        "INSERT INTO meditopia.lane SELECT * FROM meditopia.lane",
        "DELETE FROM meditopia.lane",
        "UPDATE meditopia.spool SET step = 0",
        "DELETE FROM meditopia.spool",
        "DROP TABLE meditopia.run",
        "CREATE TABLE meditopia.mine (a int)",
        "SELECT meditopia.fragment('t', 'u', 'video', '', '', 0, 1000, now(), 1)",
        "SET ROLE meditopia_owner",
    ];
    let jobs = [
        (forward.as_str(), vec!["forward"]),
        (enqueue, vec!["enqueue"]),
        (sort, vec!["relay"]),
        (deliver, vec!["relay"]),
        (operate, vec!["relay"]),
        (keep, vec!["relay"]),
        (look, vec!["relay", "read"]),
    ];
    let jobs = jobs
        .into_iter()
        .chain(never.map(|statement| (statement, Vec::new())));
    for (statement, allowed) in jobs {
        for role in ["forward", "enqueue", "relay", "read"] {
            // A statement of a job is denied as a whole where its first part is.
            let (done, said) = try_as(server, &database, role, statement);
            assert_eq!(done, allowed.contains(&role), "{role}: {statement}: {said}");
        }
    }
}
