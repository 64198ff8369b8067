//! The threads of relays that sort, or wait to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use meditopia::LogLevel;
use meditopia_fleet::forward::Stop;
use meditopia_fleet::relay::housekeeping::Housekeeping;
use meditopia_fleet::relay::pool::Pool;
use meditopia_fleet::relay::sorter::sort_until_stopped;
use meditopia_testkit::wait::wait_until;

use super::{ONE, OTHER, SPOOL, count_in_lanes, events_in_lanes, fragment, parcel_of};
use crate::fleet::{address, connect, set_up};
use crate::forward::{begin_spool, forward};

/// A test that fails ends its threads, too.
struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

#[test]
fn of_two_relays_one_sorts_and_the_other_goes_on_whatever_connection_ends() {
    let (server, database) = set_up();
    let pools = [ONE, OTHER].map(|_| Pool::new(address(&server.url(&database)), 2));
    let stops = [Stop::default(), Stop::default()];
    let said = Mutex::new(Vec::new());
    let say = |level: LogLevel, what: &str| said.lock().unwrap().push(format!("{level:?} {what}"));
    let mut given = Vec::new();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = stops.each_ref().map(StopAtEnd);
        let threads: Vec<_> = [ONE, OTHER]
            .iter()
            .zip(&pools)
            .zip(&stops)
            .map(|((owner, pool), stop)| {
                let say = &say;
                scope
                    .spawn(move || sort_until_stopped(pool, owner, Housekeeping::new(7), stop, say))
            })
            .collect();
        // Their connections end again and again.
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND query ~ 'meditopia.(sorter|parcel)' AND pid <> pg_backend_pid()
                  AND query !~ 'forward'";
                server.sql(&database, end);
                std::thread::yield_now();
            }
        });
        let mut connection = connect(&server.url(&database));
        let mut number = 0;
        for round in 0..60 {
            let events: Vec<_> = (0..50)
                .map(|_| {
                    number += 1;
                    fragment(&format!("u-{}", number % 7), number)
                })
                .collect();
            given.extend(events.iter().cloned());
            let parcels = [parcel_of(&events)];
            let (step, _) = begin_spool(&mut connection, SPOOL).unwrap();
            forward(&mut connection, SPOOL, step, b"", &parcels).unwrap();
            if round == 40 {
                is_done.store(true, Ordering::SeqCst);
            }
        }
        wait_until("all is sorted", || {
            server.sql(&database, "SELECT count(*) FROM meditopia.parcel") == "0"
        });
        // The one that sorts leaves, and the other one sorts without waiting for the end of the lease.
        let owner = server.sql(&database, "SELECT owner FROM meditopia.sorter");
        let (leaves, stays) = if owner == ONE { (0, 1) } else { (1, 0) };
        stops[leaves].ask();
        wait_until("the other one sorts", || {
            server.sql(&database, "SELECT owner FROM meditopia.sorter") == [ONE, OTHER][stays]
        });
        stops[stays].ask();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let mut connection = connect(&server.url(&database));
    assert_eq!(count_in_lanes(&mut connection), given.len());
    for user in 0..7 {
        let of_user = |event: &&String| event.contains(&format!("\"u-{user}\""));
        let lanes = events_in_lanes(&mut connection);
        let sorted: Vec<_> = lanes.iter().flatten().filter(of_user).collect();
        assert_eq!(sorted, given.iter().filter(of_user).collect::<Vec<_>>());
    }
    let free = "SELECT owner IS NULL AND lease_until = '-infinity' FROM meditopia.sorter";
    assert_eq!(server.sql(&database, free), "t");
    let said = said.into_inner().unwrap();
    assert!(
        said.iter().any(|line| line.contains("this relay sorts")),
        "{said:?}"
    );
}

#[test]
fn the_log_names_a_damaged_parcel_and_where_it_is_kept() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 1);
    server.sql(
        &database,
        "SELECT meditopia.enqueue('okapi', 'u', 'video'); UPDATE meditopia.parcel SET checksum = 'x'",
    );
    let stop = Stop::default();
    let said = Mutex::new(String::new());
    std::thread::scope(|scope| {
        let _ends = StopAtEnd(&stop);
        let say = |_: LogLevel, what: &str| said.lock().unwrap().push_str(what);
        let stop = &stop;
        let pool = &pool;
        scope.spawn(move || sort_until_stopped(pool, ONE, Housekeeping::new(7), stop, &say));
        wait_until("it is set aside", || {
            server.sql(&database, "SELECT count(*) FROM meditopia.damaged_parcel") == "1"
        });
        stop.ask();
    });
    let said = said.into_inner().unwrap();
    assert!(
        said.contains("parcel 1 with 1 events from meditopia.enqueue"),
        "{said}"
    );
    assert!(said.contains("meditopia.damaged_parcel"), "{said}");
    assert!(!said.contains("okapi"), "{said}");
}

#[test]
fn a_relay_that_is_succeeded_stands_by_and_sorts_again_when_its_successor_is_gone() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 1);
    let stop = Stop::default();
    let said = Mutex::new(String::new());
    std::thread::scope(|scope| {
        let _ends = StopAtEnd(&stop);
        let say = |_: LogLevel, what: &str| said.lock().unwrap().push_str(what);
        let (stop, pool) = (&stop, &pool);
        scope.spawn(move || sort_until_stopped(pool, ONE, Housekeeping::new(7), stop, &say));
        let owner = "SELECT owner FROM meditopia.sorter";
        wait_until("it sorts", || server.sql(&database, owner) == ONE);
        // It stood still, and another one has taken the lease. That one has died.
        let taken = format!(
            "UPDATE meditopia.sorter SET step = step + 1, lease = gen_random_uuid(), owner = '{OTHER}',
               lease_until = now() + interval '1 s'"
        );
        server.sql(&database, &taken);
        server.sql(&database, "SELECT meditopia.enqueue('t', 'u', 'video')");
        wait_until("it sorts again", || {
            server.sql(&database, owner) == ONE
                && server.sql(&database, "SELECT count(*) FROM meditopia.parcel") == "0"
        });
        stop.ask();
    });
    let said = said.into_inner().unwrap();
    assert!(said.contains("another relay sorts now"), "{said}");
    assert!(!said.contains("cannot sort"), "{said}");
    assert_eq!(pool.breaks(), 0);
}
