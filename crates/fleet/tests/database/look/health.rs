//! Figures of a fleet, and what its server says of itself; all with the role of who only looks.

use std::time::Duration;

use meditopia::PauseReason;
use meditopia::internals::client::PendingFilter;
use meditopia::internals::store::{PauseState, ReceiptFilter, RejectedFilter, SavedLane};
use meditopia_fleet::command::{self, Command};
use meditopia_fleet::hold;
use meditopia_fleet::look::Look;
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::look::receipts::ReceiptPages;
use meditopia_fleet::members;
use meditopia_fleet::rejected::{Decision, Which, decide};

use super::world::World;
use crate::fleet::address;

#[test]
fn figures_add_up_what_stands_in_lanes_and_parcels() {
    let mut world = World::new();
    assert_eq!(world.look().figures().unwrap().pending(), 0);
    world.hand_in(&[("u-1", 5), ("u-2", 4), ("u-3", 3)]);
    world.sort();
    world.hand_in(&[("u-4", 2), ("u-5", 9)]);
    let mut saved = SavedLane::default();
    saved.totals.requests = 7;
    saved.pause = Some(PauseState {
        reason: PauseReason::ServerError,
        since_ms: 5,
        probe_ms: None,
        probe_wait_ms: 0,
        http_status: Some(500),
        api_code: None,
        message: "no".to_owned(),
        fingerprint: None,
    });
    world.save(0, &saved);
    world.sql(
        "UPDATE meditopia.lane SET delivered = 10 + lane, rejected = 1, expired = 2;
         UPDATE meditopia.lane SET owner = gen_random_uuid(), lease_until = now() + interval '1 hour' WHERE lane < 3",
    );
    let figures = world.look().figures().unwrap();
    assert_eq!((figures.sorted, figures.in_parcels), (3, 2));
    assert_eq!(figures.oldest_pending_ms, Some(1_002));
    let totals = figures.totals;
    assert_eq!(
        (
            totals.delivered,
            totals.rejected,
            totals.expired,
            totals.requests
        ),
        (46, 4, 8, 7)
    );
    assert_eq!(figures.without_owner, 1);
    assert_eq!(figures.pauses.len(), 1);
    assert_eq!(figures.pauses[0].1.reason, PauseReason::ServerError);
    assert_eq!(figures.hold, None);
    hold::hold(&mut world.connection, "ops", None).unwrap();
    assert!(world.look().figures().unwrap().hold.is_some());
}

#[test]
fn who_only_looks_sees_everything_and_changes_nothing() {
    let mut world = World::new();
    world.hand_in(&[("u-1", 1)]);
    let user = format!("reader_{}", world.database);
    world.sql(&format!("CREATE ROLE {user} LOGIN IN ROLE meditopia_read"));
    let mut look = Look::open(&address(&world.server.url_as(&user, &world.database))).unwrap();
    look.figures().unwrap();
    look.in_doubt().unwrap();
    look.search().unwrap();
    look.rejected(&RejectedFilter::default(), 9).unwrap();
    look.count_rejected(&RejectedFilter::default()).unwrap();
    look.rejected_by_code().unwrap();
    look.restored(0).unwrap();
    look.partitions().unwrap();
    let server = look.server().unwrap();
    assert_eq!(server.user, user);
    assert_eq!(server.roles, ["meditopia_read"]);
    let mut pending = PendingPages::new(PendingFilter::default());
    assert_eq!(pending.next_page(&mut look).unwrap().len(), 1);
    let mut receipts = ReceiptPages::new(ReceiptFilter::default());
    assert_eq!(receipts.next_page(&mut look).unwrap(), []);
    members::hosts(&mut look.connection).unwrap();
    members::relays(&mut look.connection).unwrap();
    members::lanes(&mut look.connection).unwrap();

    let all = RejectedFilter::default();
    let connection = &mut look.connection;
    let denied = [
        hold::hold(connection, "me", None).err(),
        hold::end(connection).err(),
        decide(connection, Which::Matching(&all), Decision::Discard).err(),
        decide(connection, Which::Ids(&[1]), Decision::Requeue).err(),
        command::ask(connection, &[(0, Command::Resume)], "me", None).err(),
    ];
    for failure in denied {
        assert!(failure.unwrap().is_refused_with("42501"));
    }
}

#[test]
fn the_server_says_what_keeps_it_from_cleaning_up_and_what_is_amiss_with_the_receipts() {
    let mut world = World::new();
    let mut look = world.look();
    let server = look.server().unwrap();
    assert!(server.autovacuum && !server.is_standby, "{server:?}");
    assert!(server.version.chars().next().unwrap().is_ascii_digit());
    let partitions = |look: &mut Look| {
        let found = look.partitions().unwrap();
        (found.has_strays, found.days)
    };
    assert_eq!(partitions(&mut look), (false, 8));
    assert_eq!(server.old_snapshots, []);

    let mut other = meditopia_fleet::connection::Connection::open(&world.address()).unwrap();
    other
        .query("BEGIN ISOLATION LEVEL REPEATABLE READ", &[])
        .unwrap();
    other.query("SELECT 1", &[]).unwrap();
    let pid = other.query_one("SELECT pg_backend_pid()", &[]).unwrap();
    let pid: i32 = meditopia_fleet::connection::column(&pid, 0).unwrap();
    let old = look.old_snapshots(Duration::ZERO).unwrap();
    let named = |old: &[meditopia_fleet::look::server::OldSnapshot]| {
        let session = format!("session {pid} of postgres (meditopia)");
        old.iter().any(|old| old.what.starts_with(&session))
    };
    assert!(named(&old), "{old:?}");
    drop(other);

    world.receipt(0, 1, 5, &["u-1"]);
    world.sql("DO $$ DECLARE old text; BEGIN FOR old IN SELECT c.relname FROM pg_class c WHERE c.relname ~ '^receipt_[0-9]+$'
      AND c.relnamespace = 'meditopia'::regnamespace LOOP EXECUTE 'DROP TABLE meditopia.' || old; END LOOP; END $$");
    assert_eq!(partitions(&mut look), (true, 0));
}

#[test]
fn a_database_that_was_set_back_says_when_it_was_used_last_and_what_it_knows_of_since() {
    let mut world = World::new();
    assert_eq!(world.look().restored(0).unwrap().last_used_ms, None);
    world.receipt(1, 7, 1_722_956_645_000, &["u-1", "u-2"]);
    world.receipt(1, 8, 1_722_956_646_000, &["u-1"]);
    let known = world.look().restored(1_722_956_645_500).unwrap();
    assert_eq!((known.requests, known.events), (1, 1));
    assert_eq!(known.last_used_ms, Some(1_722_956_646_000));
    assert_eq!(known.living_relays, 0);
    world.sql("INSERT INTO meditopia.relay VALUES ('b81bc81b-dead-4e5d-abff-90865d1e13b1', 'relay-1', '1.0', now())");
    let known = world.look().restored(0).unwrap();
    assert_eq!((known.requests, known.living_relays), (2, 1));
    assert!(known.last_used_ms.unwrap() > 1_722_956_646_000);
}
