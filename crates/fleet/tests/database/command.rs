//! What operators ask of a lane, between two connections with the rights that both have.

use std::time::Duration;

use meditopia_fleet::command::{self, Answer, Command};

use crate::fleet::{connect, set_up};

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn an_owner_finds_what_is_asked_of_its_lanes_in_order_and_its_answer_is_found() {
    let (server, database) = set_up();
    let user = format!("relay_{database}");
    server.sql(
        &database,
        &format!("CREATE ROLE {user} LOGIN IN ROLE meditopia_relay"),
    );
    let mut operator = connect(&server.url_as(&user, &database));
    let mut owner = connect(&server.url_as(&user, &database));
    let asks = [
        (2, Command::SetAside(vec![7])),
        (2, Command::Resume),
        (1, Command::Resume),
    ];
    let asked = command::ask(&mut operator, &asks, "ops@host", MINUTE).unwrap();
    let lanes: Vec<_> = asked.iter().map(|row| row.lane).collect();
    assert_eq!(lanes, [2, 2, 1]);

    let found = command::waiting(&mut owner, &[2, 3]).unwrap();
    let commands: Vec<_> = found.iter().map(|row| row.command.clone()).collect();
    assert_eq!(
        commands,
        [Some(Command::SetAside(vec![7])), Some(Command::Resume)]
    );
    assert_eq!(command::answers(&mut operator, &asked).unwrap(), []);
    command::answer(&mut owner, found[0].asked, &Answer::Changed(1)).unwrap();
    assert_eq!(
        command::answers(&mut operator, &asked).unwrap(),
        [(asked[0], Answer::Changed(1))]
    );
    assert_eq!(command::waiting(&mut owner, &[2]).unwrap().len(), 1);

    command::withdraw(&mut operator, &asked).unwrap();
    assert_eq!(command::waiting(&mut owner, &[1, 2]).unwrap(), []);
    command::answer(&mut owner, asked[2], &Answer::Changed(0)).unwrap();
    assert_eq!(command::answers(&mut operator, &asked).unwrap(), []);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_begun_unless_it_was_asked_for_whenever_an_owner_comes() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let resume = [(0, Command::Resume)];
    let late = command::ask(&mut connection, &resume, "ops", Some(Duration::ZERO)).unwrap();
    assert_eq!(command::waiting(&mut connection, &[0]).unwrap(), []);
    let whenever = command::ask(&mut connection, &resume, "ops", None).unwrap();
    let waiting = command::waiting(&mut connection, &[0]).unwrap();
    assert_eq!(waiting[0].asked, whenever[0]);

    // What another version asks for is found, too: somebody waits for an answer.
    server.sql(
        &database,
        r#"INSERT INTO meditopia.command (lane, command) VALUES (1, '{"command": "dance", "asked_ms": 0}')"#,
    );
    let unknown = command::waiting(&mut connection, &[1]).unwrap();
    assert_eq!(unknown[0].command, None);

    // A row that was left by a process that died goes with the next one that is asked; one that waits stays.
    server.sql(
        &database,
        r#"UPDATE meditopia.command SET command = jsonb_set(command, '{asked_ms}', '0')"#,
    );
    command::ask(&mut connection, &resume, "ops", MINUTE).unwrap();
    let left = server.sql(&database, "SELECT id FROM meditopia.command ORDER BY id");
    let left: Vec<i64> = left.lines().map(|id| id.parse().unwrap()).collect();
    assert!(!left.contains(&late[0].id), "{left:?}");
    assert!(left.contains(&whenever[0].id), "{left:?}");
}
