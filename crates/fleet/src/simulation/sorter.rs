//! The sorter of a relay: takes the lease when it is free, and takes parcels over into lanes.

use meditopia::internals::store::Run;

use super::database::{Claim, Parcel, Rows, SortStep, SorterRow};
use super::events::number_of;
use super::server::{Connection, Failed, query};
use super::tasks::Ms;
use super::world::{World, world};
use crate::relay::lease::EPOCH_MS;

const LEASE_MS: i64 = 10_000;
const ROUND_EVERY_MS: Ms = 200;

/// What it knows of its row.
struct Held {
    row: SorterRow,
    /// Behind it a sorter with a cursor goes on.
    cursor: i64,
}

/// The sorter's thread in a relay.
pub async fn run() {
    let world = world();
    let mut connection = world.server.connect(&world);
    let mut held: Option<Held> = None;
    loop {
        let wait = match held.take() {
            None => match take(&world, &mut connection).await {
                Ok(taken) => {
                    held = taken;
                    match held {
                        Some(_) => 0,
                        None => world.draw(500..3_000),
                    }
                }
                Err(_) => world.draw(200..3_000),
            },
            Some(mut known) => match round(&world, &mut connection, &mut known).await {
                Ok(()) => {
                    held = Some(known);
                    ROUND_EVERY_MS
                }
                Err(_) => world.draw(200..1_000),
            },
        };
        world.tasks.sleep(wait).await;
    }
}

/// Takes the lease, if nobody has it.
async fn take(world: &World, connection: &mut Connection) -> Result<Option<Held>, Failed> {
    let (lease, link) = (world.draw_lease(), world.draw_lease());
    let taken = query(connection, move |database, now| {
        database.take_sorter((lease, link), (now, now + LEASE_MS))
    })
    .await;
    match taken {
        Ok(row) => Ok(Some(Held { row, cursor: 0 })),
        Err(Failed::Refused(_)) => Ok(None),
        Err(unknown) => Err(unknown),
    }
}

/// Takes what stands at the head over into lanes. Without parcels this renews the lease.
async fn round(world: &World, connection: &mut Connection, held: &mut Held) -> Result<(), Failed> {
    let behind = match world.guards.sorts_from_head {
        true => 0,
        false => held.cursor,
    };
    let most = world.draw(1..20) as usize;
    let parcels: Vec<(i64, Parcel)> = query(connection, move |database, _| {
        let parcels = database.parcels.range(behind + 1..).take(most);
        Ok(parcels.map(|(id, parcel)| (*id, parcel.clone())).collect())
    })
    .await?;
    let read = held.row.claim;
    let link = world.draw_lease();
    let guards = world.guards;
    let lanes = world.plan.lanes;
    let cursor = parcels.last().map_or(held.cursor, |(id, _)| *id);
    let last_run = held.row.last_run;
    let check = world.checks_links();
    let (step, sorted) = query(connection, move |database, now| {
        let step = merge(
            &parcels,
            (read, last_run),
            (now, lanes),
            guards.ids_from_time,
        );
        let sorted: usize = step.put.iter().map(|(_, _, rows)| rows.numbers.len()).sum();
        let before = database.sorter.claim;
        database.sort(step.clone(), link, &guards)?;
        check(before, read);
        Ok((step, sorted))
    })
    .await?;
    held.row.claim = Claim {
        step: read.step + 1,
        link,
        ..read
    };
    held.row.last_run = step.last_run;
    held.cursor = cursor;
    if sorted > 0 {
        world.tell(|| {
            let runs: Vec<_> = step
                .put
                .iter()
                .map(|(lane, id, rows)| (lane, id, &rows.numbers))
                .collect();
            format!("the sorter appends {runs:?}")
        });
    }
    Ok(())
}

/// The runs that parcels make: of each lane one, in the order of the parcels.
fn merge(
    parcels: &[(i64, Parcel)],
    (read, last_run): (Claim, i64),
    (now_ms, lanes): (i64, usize),
    ids_from_time: bool,
) -> SortStep {
    let mut runs = vec![Run::default(); lanes];
    for (_, parcel) in parcels {
        for (fragment, enqueued_ms) in parcel.rows.run.events() {
            runs[lane_of(fragment, lanes)].push(fragment, enqueued_ms);
        }
    }
    let mut last_run = last_run;
    let mut put = Vec::new();
    for (lane, run) in runs.into_iter().enumerate() {
        if !run.slots.is_empty() {
            last_run = next_id(last_run, now_ms, ids_from_time);
            put.push((lane, last_run, Rows::of(run)));
        }
    }
    SortStep {
        read,
        lease_until: now_ms + LEASE_MS,
        last_run,
        gone: parcels
            .iter()
            .map(|(id, parcel)| (*id, parcel.rows.checksum))
            .collect(),
        put,
    }
}

/// An id that was not given before, also not by a database that was set back since.
pub fn next_id(last: i64, now_ms: i64, ids_from_time: bool) -> i64 {
    let next = last + 1;
    if ids_from_time {
        next.max(now_ms - EPOCH_MS)
    } else {
        next
    }
}

/// The lane of an event's user.
fn lane_of(fragment: &[u8], lanes: usize) -> usize {
    let world = world();
    let events = world.events.borrow();
    events.all[number_of(fragment) as usize].user as usize % lanes
}
