//! What a host hands in: parcels and how far its journal is forwarded, both or neither.

use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::{Result, STEP_LOST};
use meditopia_fleet::parcel::Parcel;
use meditopia_fleet::spool::{Forwarded, MARK_BYTES, Spool};

use crate::fleet::{connect, set_up};

const SPOOL: &str = "a81bc81b-dead-4e5d-abff-90865d1e13b1";

/// A parcel with so many events.
pub fn parcel(events: u8) -> Parcel {
    let fragments: Vec<_> = (0..events)
        .map(|number| format!("{{\"{number}\"}}"))
        .collect();
    let mut parcel = Parcel::default();
    for fragment in &fragments {
        parcel.push(fragment.as_bytes(), 1_722_956_645_000);
    }
    parcel
}

pub fn begin_spool(connection: &mut Connection, spool: &str) -> Result<(i64, Vec<u8>)> {
    let spool = Spool::begin(connection, spool, "web-1", "1.0")?;
    Ok((spool.step, spool.offsets))
}

pub fn forward(
    connection: &mut Connection,
    spool: &str,
    step: i64,
    offsets: &[u8],
    parcels: &[Parcel],
) -> Result<i64> {
    let (_, mut mark) = begin_spool(connection, spool)?;
    mark.truncate(MARK_BYTES);
    forward_after(connection, spool, (step, &mark), offsets, parcels)
}

fn forward_after(
    connection: &mut Connection,
    spool: &str,
    (step, mark): (i64, &[u8]),
    offsets: &[u8],
    parcels: &[Parcel],
) -> Result<i64> {
    let forwarded = Forwarded {
        mark,
        offsets,
        behind_bytes: 0,
        behind_since_ms: None,
        closed: false,
        parcels,
    };
    meditopia_fleet::spool::forward(connection, spool, step, &forwarded)
}

#[test]
fn parcels_are_taken_over_with_the_offsets_or_not_at_all() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    assert_eq!(
        begin_spool(&mut connection, SPOOL).unwrap(),
        (0, Vec::new())
    );
    let parcels = [parcel(100), parcel(1)];
    assert_eq!(
        forward(&mut connection, SPOOL, 0, b"one", &parcels).unwrap(),
        1
    );
    // The answer was lost, and the host asks again.
    let lost = forward(&mut connection, SPOOL, 0, b"one", &parcels).unwrap_err();
    assert!(lost.is_refused_with(STEP_LOST), "{lost}");
    assert_eq!(
        begin_spool(&mut connection, SPOOL).unwrap(),
        (1, b"one".to_vec())
    );
    let counted = "SELECT (SELECT sum(events) FROM meditopia.parcel), events FROM meditopia.spool";
    assert_eq!(server.sql(&database, counted), "101|101");
    // A spool that begins twice is one.
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.spool"),
        "1"
    );
}

#[test]
fn a_late_statement_of_a_lost_history_is_refused_although_the_step_is_the_same() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    begin_spool(&mut connection, SPOOL).unwrap();
    let parcels = [parcel(1)];
    forward(&mut connection, SPOOL, 0, b"number 01 kept", &parcels).unwrap();
    forward(&mut connection, SPOOL, 1, b"number 02 lost", &parcels).unwrap();
    server.sql(
        &database,
        "UPDATE meditopia.spool SET step = 1, offsets = 'number 01 kept'",
    );
    forward(&mut connection, SPOOL, 1, b"number 03 now", &parcels).unwrap();
    let mut after =
        |mark: &[u8]| forward_after(&mut connection, SPOOL, (2, mark), b"number 04", &parcels);
    // What the host has sent at step 2 of the lost history comes only now.
    assert!(after(b"number 02").unwrap_err().is_refused_with(STEP_LOST));
    assert_eq!(after(b"number 03").unwrap(), 3);
}

#[test]
fn parcels_keep_their_order_and_are_read_back_byte_for_byte() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    begin_spool(&mut connection, SPOOL).unwrap();
    let parcels: Vec<_> = [3, 1, 100, 2].map(parcel).into();
    forward(&mut connection, SPOOL, 0, b"", &parcels).unwrap();
    let rows = connection
        .query(
            "SELECT body, slots, checksum FROM meditopia.parcel ORDER BY id",
            &[],
        )
        .unwrap();
    let read: Vec<_> = rows
        .iter()
        .map(|row| {
            let [body, slots, checksum]: [Vec<u8>; 3] =
                [0, 1, 2].map(|at| column(row, at).unwrap());
            Parcel::decode(body, &slots, &checksum).unwrap()
        })
        .collect();
    assert_eq!(read, parcels);
}

#[test]
fn a_parcel_that_was_damaged_on_its_way_is_refused_with_all_others() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    begin_spool(&mut connection, SPOOL).unwrap();
    let good = "decode('7b7d', 'hex')";
    let slots = "int4send(2) || int8send(7)";
    let sum = |body: &str, slots: &str| format!("substr(sha256({slots} || {body}), 1, 8)");
    let right = sum(good, slots);
    for (body, slots, checksum) in [
        ("decode('7b7c', 'hex')", slots, right.clone()),
        (good, "int4send(2) || int8send(8)", right.clone()),
        (good, "int4send(2)", sum(good, "int4send(2)")),
        (good, "''::bytea", sum(good, "''::bytea")),
        (good, slots, "NULL".to_owned()),
        ("NULL", slots, right.clone()),
    ] {
        let statement = format!(
            "SELECT meditopia.forward('{SPOOL}', 0, '', '', 0, NULL, false, ARRAY[{good}, {body}], ARRAY[{slots}, {slots}], ARRAY[{right}, {checksum}]::bytea[])"
        );
        let refused = connection.query(&statement, &[]).unwrap_err();
        assert!(
            refused.is_refused_with("MD004"),
            "{body} {checksum}: {refused}"
        );
    }
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM meditopia.parcel"),
        "0"
    );
    assert_eq!(begin_spool(&mut connection, SPOOL).unwrap().0, 0);
}

#[test]
fn of_two_forwarders_of_one_spool_one_goes_on_and_the_other_reads_again() {
    let (server, database) = set_up();
    let url = server.url(&database);
    let (mut one, mut two) = (connect(&url), connect(&url));
    begin_spool(&mut one, SPOOL).unwrap();
    let workers = [&mut one, &mut two].map(|connection| {
        move || {
            let mut done = 0;
            while done < 50 {
                let (step, _) = begin_spool(connection, SPOOL).unwrap();
                match forward(connection, SPOOL, step, b"", &[parcel(1)]) {
                    Ok(next) => {
                        assert_eq!(next, step + 1);
                        done += 1;
                    }
                    Err(lost) => assert!(lost.is_refused_with(STEP_LOST), "{lost}"),
                }
            }
        }
    });
    std::thread::scope(|scope| {
        workers
            .map(|worker| scope.spawn(worker))
            .map(|thread| thread.join().unwrap())
    });
    let counted =
        "SELECT step, events, (SELECT count(*) FROM meditopia.parcel) FROM meditopia.spool";
    assert_eq!(server.sql(&database, counted), "100|100|100");
}

#[test]
fn a_closed_and_empty_spool_is_forgotten_after_its_days_and_no_other_is() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    for (number, (closed, behind, days)) in
        [(true, 0, 31), (false, 0, 31), (true, 5, 31), (true, 0, 29)]
            .into_iter()
            .enumerate()
    {
        let spool = format!("00000000-0000-0000-0000-00000000000{number}");
        begin_spool(&mut connection, &spool).unwrap();
        server.sql(
            &database,
            &format!(
                "UPDATE meditopia.spool SET closed = {closed}, behind_bytes = {behind},
                   seen = now() - interval '{days} days' WHERE id = '{spool}'"
            ),
        );
    }
    assert_eq!(
        server.sql(&database, "SELECT meditopia.forget_closed_spools(30)"),
        "1"
    );
    assert_eq!(
        server.sql(
            &database,
            "SELECT count(*) FROM meditopia.spool JOIN meditopia.host USING (id)"
        ),
        "3"
    );
    // Its journal has come back: it begins anew.
    let spool = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        begin_spool(&mut connection, spool).unwrap(),
        (0, Vec::new())
    );
}
