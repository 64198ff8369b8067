//! The examples of outboxes, each in its framework: there is an event where the change was committed, and no other.

use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia_testkit::repository_path;

use crate::fleet::set_up;

fn check(interpreter: &Path, script: &str) {
    let (server, database) = set_up();
    let user = format!("shop_{database}");
    server.sql(
        &database,
        &format!(
            "CREATE ROLE {user} LOGIN IN ROLE meditopia_enqueue; CREATE TABLE shop_user (id text PRIMARY KEY);
             GRANT INSERT ON shop_user TO {user}"
        ),
    );
    let output = Command::new(interpreter)
        .arg(repository_path("crates/fleet/tests/database/outbox").join(script))
        .env("PGHOST", server.dir())
        .env("PGPORT", server.port().to_string())
        .env("PGDATABASE", &database)
        .env("PGUSER", &user)
        .env("PYTHONPATH", repository_path("bindings/python/examples"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    let users = "SELECT string_agg(id, ' ' ORDER BY id) FROM shop_user";
    assert_eq!(
        server.sql(&database, users),
        "batch-1 batch-2 committed outer"
    );
    let events = r#"SELECT string_agg(e->>'partner_user_id', ' ' ORDER BY e->>'partner_user_id')
      FROM meditopia.parcel, json_array_elements(('[' || convert_from(body, 'UTF8') || ']')::json) AS e"#;
    assert_eq!(
        server.sql(&database, events),
        "batch-1 batch-2 committed outer"
    );
    let body = "SELECT convert_from(body, 'UTF8') FROM meditopia.parcel ORDER BY id LIMIT 1";
    let expected = r#"{"token":"secret-committed","partner_user_id":"committed","event":"register","event_value":"a \"value\"","received_at":"2024-08-06 12:04:05"}"#;
    assert_eq!(server.sql(&database, body), expected);
}

/// The Python with the frameworks, which `.ci/setup` makes.
fn python() -> PathBuf {
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().nth(3).unwrap();
    target.join("venv/bin/python")
}

#[test]
fn an_event_of_laravel_is_queued_if_its_transaction_is_committed() {
    check(Path::new("php"), "laravel.php");
}

#[test]
fn an_event_of_symfony_is_queued_if_its_transaction_is_committed() {
    check(Path::new("php"), "symfony.php");
}

#[test]
fn an_event_of_django_is_queued_if_its_transaction_is_committed() {
    check(&python(), "run_django.py");
}

#[test]
fn an_event_of_sqlalchemy_is_queued_if_its_transaction_is_committed() {
    check(&python(), "run_sqlalchemy.py");
}
