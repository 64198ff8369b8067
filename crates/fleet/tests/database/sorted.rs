//! What the sorter appends to a lane.

use meditopia::internals::store::Run;
use meditopia_fleet::parcel::{checksum, encode_slots};
use meditopia_fleet::relay::pool::Pool;
use tokio_postgres::types::Type;

/// Appends runs to the regular queue of a lane as the sorter does.
pub fn sort(pool: &Pool, lane: i16, runs: &[&Run]) {
    let bodies: Vec<&[u8]> = runs.iter().map(|run| &run.body[..]).collect();
    let slots: Vec<_> = runs.iter().map(|run| encode_slots(&run.slots)).collect();
    let sums = bodies.iter().zip(&slots);
    let sums: Vec<_> = sums.map(|(body, slots)| checksum(body, slots)).collect();
    let sums: Vec<&[u8]> = sums.iter().map(|sum| &sum[..]).collect();
    let events: Vec<i16> = runs.iter().map(|run| run.slots.len() as i16).collect();
    let sorted = pool.with(|connection| {
        connection.query(
            "WITH before AS (SELECT greatest(last_run + 1, floor(extract(epoch FROM clock_timestamp()) * 1000 - 1735689600000)::bigint) AS id FROM meditopia.sorter),
            mine AS (UPDATE meditopia.sorter SET step = step + 1, last_run = before.id + $6 - 1,
              appended[$1 + 1] = appended[$1 + 1] + $7 FROM before RETURNING before.id)
            INSERT INTO meditopia.run (lane, queue, id, origin, events, body, slots, checksum)
            SELECT $1, 0, mine.id + place - 1, mine.id + place - 1, events, body, slots, checksum
            FROM mine, unnest($2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[]) WITH ORDINALITY AS t(events, body, slots, checksum, place)",
            &[
                (&lane, Type::INT2),
                (&events, Type::INT2_ARRAY),
                (&bodies, Type::BYTEA_ARRAY),
                (&slots, Type::BYTEA_ARRAY),
                (&sums, Type::BYTEA_ARRAY),
                (&(runs.len() as i64), Type::INT8),
                (&events.iter().copied().map(i64::from).sum::<i64>(), Type::INT8),
            ],
        )
    });
    sorted.unwrap();
}
