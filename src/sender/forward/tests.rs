use super::*;
use crate::config::Config;
use crate::event::Fields;
use crate::{Client, LogLevel};

/// A database that keeps one spool, in memory.
#[derive(Default, Clone)]
struct Database {
    spool: Option<(i64, Vec<u8>)>,
    users: Vec<String>,
}

impl Database {
    /// What the statement does; `false`: the compare-and-set has failed.
    fn apply(&mut self, handover: &Handover) -> bool {
        let Some((n, offsets)) = &mut self.spool else {
            return false;
        };
        if *n != handover.step {
            return false;
        }
        *n += 1;
        offsets.clone_from(&handover.offsets);
        for parcel in &handover.parcels {
            assert!(parcel.slots.len() <= 100);
            for (fragment, _) in parcel.events() {
                let event: serde_json::Value = serde_json::from_slice(fragment).unwrap();
                let user = event["partner_user_id"].as_str().unwrap();
                self.users.push(user.to_owned());
            }
        }
        true
    }

    fn connect(&mut self, forwarding: &mut Forwarding) -> Result<()> {
        if self.spool.is_none() {
            self.spool = Some((0, Vec::new()));
        }
        let (n, offsets) = self.spool.clone().unwrap();
        forwarding.found(n, &offsets)
    }

    fn forward_all(&mut self, forwarding: &mut Forwarding, keep: Keep) {
        while let Some(handover) = forwarding.next_handover(keep).unwrap() {
            assert!(self.apply(&handover));
            forwarding.confirm().unwrap();
        }
        forwarding.end_round(keep).unwrap();
    }
}

const LONG: Keep = Keep {
    time: Duration::from_secs(900),
    bytes: u64::MAX,
};

fn client(dir: &std::path::Path) -> Client {
    let mut config = Config::new();
    config.set("spool", dir.to_str().unwrap()).unwrap();
    config.set("role", "enqueue").unwrap();
    config.set("endpoint", "http://127.0.0.1:9/events").unwrap();
    Client::open(&config).unwrap()
}

fn enqueue(client: &Client, users: std::ops::Range<usize>) {
    for user in users {
        let user = format!("u{user}");
        client
            .enqueue(&Fields {
                token: "t",
                partner_user_id: &user,
                event: "video",
                event_value: None,
                received_at: None,
            })
            .unwrap();
    }
}

fn users(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|user| format!("u{user}")).collect()
}

fn begin(client: &Client) -> Forwarding {
    client.forwarding("test").unwrap().unwrap()
}

fn lines(client: &Client, level: LogLevel) -> Vec<String> {
    let records = std::iter::from_fn(|| client.log_next().unwrap());
    records
        .filter(|record| record.level == level)
        .map(|record| record.message.clone())
        .collect()
}

#[test]
fn every_event_is_handed_over_once_in_order_whether_or_not_the_answer_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..2_500);

    let handover = forwarding.next_handover(LONG).unwrap().unwrap();
    assert!(handover.events >= 1_000 && handover.behind_since_ms.is_some());
    // Not arrived: the same statement is sent again.
    database.connect(&mut forwarding).unwrap();
    assert_eq!(
        forwarding.next_handover(LONG).unwrap().unwrap().offsets,
        handover.offsets
    );
    // Arrived, but not answered.
    assert!(database.apply(&handover));
    assert!(!database.apply(&handover));
    database.connect(&mut forwarding).unwrap();
    // The process dies before the statement, and after it.
    forwarding.next_handover(LONG).unwrap().unwrap();
    drop(forwarding);
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    let handover = forwarding.next_handover(LONG).unwrap().unwrap();
    assert!(database.apply(&handover));
    drop(forwarding);
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);

    assert_eq!(database.users, users(0..2_500));
    assert_eq!(client.stats().unwrap().pending, 0);
    assert_eq!(client.waiting_bytes().unwrap(), 0);
}

#[test]
fn a_statement_of_a_dead_forwarder_that_is_committed_late_is_known_as_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..5);
    let late = forwarding.next_handover(LONG).unwrap().unwrap();
    drop(forwarding);
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 5..9);
    let next = forwarding.next_handover(LONG).unwrap().unwrap();
    assert!(database.apply(&late));
    assert!(!database.apply(&next));
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);
    assert_eq!(database.users, users(0..9));
}

#[test]
fn the_forwarder_of_a_copied_spool_is_refused_and_forwards_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..5);
    database.forward_all(&mut forwarding, LONG);
    // Another spool that has the same record is what a copy of the machine has.
    let record = std::fs::read(dir.path().join("spool/forward.json")).unwrap();
    enqueue(&client, 5..9);
    database.forward_all(&mut forwarding, LONG);

    let copy = self::client(&dir.path().join("copy"));
    std::fs::write(dir.path().join("copy/forward.json"), record).unwrap();
    enqueue(&copy, 100..105);
    let mut copied = begin(&copy);
    let refused = database.connect(&mut copied).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.message().contains("it was copied"), "{refused}");
    assert_eq!(database.users, users(0..9));
    assert_eq!(copy.stats().unwrap().pending, 5);
}

#[test]
fn what_was_delivered_before_a_spool_is_forwarded_is_never_handed_over_whenever_the_forwarder_dies()
{
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut before = Database::default();
    let mut forwarding = begin(&client);
    before.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..5);
    before.forward_all(&mut forwarding, LONG);
    forwarding.leave().unwrap();

    let mut database = Database::default();
    for _ in 0..2 {
        let mut forwarding = begin(&client);
        database.connect(&mut forwarding).unwrap();
        assert!(forwarding.next_handover(LONG).unwrap().is_none());
    }
    enqueue(&client, 5..7);
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);
    assert_eq!(database.users, users(5..7));
    // A database that has lost all of it.
    let mut older = Database::default();
    older.connect(&mut forwarding).unwrap();
    older.forward_all(&mut forwarding, LONG);
    assert_eq!(older.users, users(5..7));
}

#[test]
fn a_closed_spool_that_the_database_has_forgotten_hands_over_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..5);
    database.forward_all(&mut forwarding, LONG);
    let last = forwarding.close().unwrap();
    assert!(database.apply(&last));
    forwarding.confirm().unwrap();
    drop(forwarding);

    let mut database = Database::default();
    enqueue(&client, 5..7);
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);
    assert_eq!(database.users, users(5..7));
}

#[test]
fn a_database_that_was_set_back_gets_what_the_journal_keeps_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    enqueue(&client, 0..5);
    database.forward_all(&mut forwarding, LONG);
    let mut older = database.clone();
    enqueue(&client, 5..9);
    database.forward_all(&mut forwarding, LONG);

    older.connect(&mut forwarding).unwrap();
    assert_eq!(client.stats().unwrap().pending, 4);
    older.forward_all(&mut forwarding, LONG);
    assert_eq!(older.users, users(0..9));
    // One that does not know the spool at all.
    let mut new = Database::default();
    new.connect(&mut forwarding).unwrap();
    new.forward_all(&mut forwarding, LONG);
    assert_eq!(new.users, users(0..9));
    let warnings = lines(&client, LogLevel::Warn).join("\n");
    assert_eq!(
        warnings.matches("the database is older").count(),
        2,
        "{warnings}"
    );
    assert_eq!(lines(&client, LogLevel::Error), [""; 0]);
}

#[test]
fn what_is_not_kept_is_given_back_and_an_older_database_is_told_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let client = client(&spool);
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    let mut older = database.clone();
    enqueue(&client, 0..500);
    database.forward_all(&mut forwarding, Keep::NOTHING);
    enqueue(&client, 500..510);
    database.forward_all(&mut forwarding, LONG);
    assert_eq!(database.users, users(0..510));

    older.connect(&mut forwarding).unwrap();
    older.forward_all(&mut forwarding, LONG);
    assert_eq!(older.users, users(500..510));
    let errors = lines(&client, LogLevel::Error).join("\n");
    assert!(errors.contains("not in the journal any more"), "{errors}");
    assert!(
        !errors.contains("are no record"),
        "a hole is no damage: {errors}"
    );

    // The writer ends, and nothing is left to keep.
    client.close(Duration::ZERO).unwrap();
    drop(client);
    let client = self::client(&dir.path().join("spool"));
    older.forward_all(&mut forwarding, Keep::NOTHING);
    drop(forwarding);
    assert_eq!(client.stats().unwrap().pending, 0);
}

#[test]
fn a_statement_stays_small_however_many_segments_are_behind() {
    const WRITERS: usize = 8_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    for user in 0..WRITERS {
        // The segment of a process that has ended.
        enqueue(&client(&path), user..user + 1);
    }
    let client = client(&path);
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    let mut statements = Vec::new();
    while let Some(handover) = forwarding.next_handover(LONG).unwrap() {
        statements.push(handover.offsets.len());
        assert!(database.apply(&handover));
        forwarding.confirm().unwrap();
    }
    let (first, last) = (statements[0], statements[statements.len() - 1]);
    assert!(statements.len() >= 8, "{statements:?}");
    assert!(last < 4 * first, "bytes of offsets: {statements:?}");
    // Of what was handed over last, some is kept.
    assert_ne!(forwarding.window.since_ms(), None);
    forwarding.end_round(LONG).unwrap();
    assert_eq!(database.users, users(0..WRITERS));
    assert_eq!(client.stats().unwrap().pending, 0);
    assert_eq!(client.waiting_bytes().unwrap(), 0);
    let left = std::fs::read_dir(path.join("journal")).unwrap().count();
    assert!(left < WRITERS / 2, "{left} segments are left");
}

#[test]
fn a_spool_that_is_forwarded_is_not_sent_from_until_it_has_left_the_fleet() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    enqueue(&client, 0..5);
    let mut database = Database::default();
    let mut forwarding = begin(&client);
    assert!(client.forwarding("test").unwrap().is_none());
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);
    // A flush waits for the forwarder, and for nothing else.
    enqueue(&client, 5..6);
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(Duration::from_secs(60)).1);
        while !flush.is_finished() {
            database.forward_all(&mut forwarding, LONG);
            forwarding.wait(Duration::from_millis(20));
        }
        flush.join().unwrap().unwrap();
    });
    assert_eq!(database.users, users(0..6));
    let refused = client.hold().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    drop(forwarding);

    enqueue(&client, 6..7);
    let refused = client.flush(Duration::from_secs(10)).1.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}");
    assert!(
        refused.message().contains("run meditopia forward"),
        "{refused}"
    );

    let mut forwarding = begin(&client);
    database.connect(&mut forwarding).unwrap();
    database.forward_all(&mut forwarding, LONG);
    forwarding.leave().unwrap();
    client.hold().unwrap();
    assert_eq!(client.stats().unwrap().pending, 0);
    assert_eq!(database.users, users(0..7));
}

#[test]
fn a_spool_with_events_that_a_sender_has_taken_over_is_not_forwarded() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("spool"));
    client.hold().unwrap();
    enqueue(&client, 0..3);
    // Takes over, and sends nothing.
    client.flush(Duration::from_secs(10)).1.unwrap_err();
    let refused = client.forwarding("test").map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    assert!(
        refused.message().contains("has taken 3 events over"),
        "{refused}"
    );
    assert!(client.forwarded().unwrap().is_none());
}
