//! The sorter of a relay: takes the lease when it is free, and takes parcels over into lanes. What parcels become is
//! decided by the real one's [`merge`]; its statements are the model's.

use meditopia::internals::store::Run;

use super::database::{Claim, Parcel, Rows, SortStep, SorterRow};
use super::server::{Connection, Failed, query};
use super::tasks::Ms;
use super::world::{World, world};
use crate::parcel::decode_slots;
use crate::relay::lease::EPOCH_MS;
use crate::relay::sorter::{Batch, Counts, merge};

const LEASE_MS: i64 = 10_000;
/// An idle sorter renews its lease when less than this is left.
const RENEW_AT_MS: Ms = 7_000;
const ROUND_EVERY_MS: Ms = 200;

/// What it knows of its row.
struct Held {
    claim: Claim,
    /// The ids that its lease may have in the database.
    leases: Vec<u64>,
    until: Ms,
    counts: Counts,
    /// Behind it a sorter with a cursor goes on.
    cursor: i64,
}

impl Held {
    fn new(row: SorterRow, until: Ms) -> Self {
        Self {
            claim: row.claim,
            leases: vec![row.claim.lease],
            until,
            counts: Counts {
                last_run: row.last_run,
                appended: row.appended,
            },
            cursor: 0,
        }
    }
}

/// The sorter's thread in a relay.
pub async fn run() {
    let world = world();
    let mut connection = world.server.connect(&world);
    let mut held: Option<Held> = None;
    let mut must_read_again = false;
    loop {
        let done = match &mut held {
            None => take(&world, &mut connection, &mut held).await,
            Some(known) if must_read_again => {
                match read_again(&world, &mut connection, known).await {
                    Err(Failed::Refused(_)) => {
                        held = None;
                        Ok(())
                    }
                    done => done,
                }
            }
            Some(known) => round(&world, &mut connection, known).await,
        };
        must_read_again = done.is_err();
        let wait = match (done, &held) {
            (Ok(()), Some(_)) => ROUND_EVERY_MS,
            _ => world.draw(200..2_000),
        };
        world.tasks.sleep(wait).await;
    }
}

/// Takes the lease, if nobody has it.
async fn take(
    world: &World,
    connection: &mut Connection,
    held: &mut Option<Held>,
) -> Result<(), Failed> {
    let (lease, link, sent) = (world.draw_number(), world.draw_number(), world.tasks.now());
    let taken = query(connection, move |database, now| {
        database.take_sorter((lease, link), (now, now + LEASE_MS))
    })
    .await;
    match taken {
        Ok(row) => *held = Some(Held::new(row, sent + LEASE_MS as Ms)),
        Err(Failed::Refused(_)) => {}
        Err(unknown) => return Err(unknown),
    }
    Ok(())
}

/// Reads the row again after an error.
async fn read_again(
    world: &World,
    connection: &mut Connection,
    held: &mut Held,
) -> Result<(), Failed> {
    let known = held.leases.clone();
    let id = match world.guards.lease_drawn_again {
        true => world.draw_number(),
        false => known[0],
    };
    held.leases.push(id);
    let (link, sent) = (world.draw_number(), world.tasks.now());
    let row = query(connection, move |database, now| {
        database.read_sorter_again(&known, (id, link), now + LEASE_MS)
    })
    .await?;
    *held = Held::new(row, sent + LEASE_MS as Ms);
    Ok(())
}

/// Takes what stands at the head over into lanes. Without parcels it only keeps the lease.
async fn round(world: &World, connection: &mut Connection, held: &mut Held) -> Result<(), Failed> {
    let behind = match world.guards.sorts_from_head {
        true => 0,
        false => held.cursor,
    };
    let most = world.draw(1..20) as usize;
    let (parcels, server_ms) = query(connection, move |database, now| {
        let parcels = database.parcels.range(behind + 1..).take(most);
        let parcels: Vec<(i64, Parcel)> =
            parcels.map(|(id, parcel)| (*id, parcel.clone())).collect();
        Ok((parcels, now - EPOCH_MS))
    })
    .await?;
    let (read, sent) = (held.claim, world.tasks.now());
    if parcels.is_empty() && held.until > sent + RENEW_AT_MS {
        return Ok(());
    }
    let ids_from = if world.guards.ids_from_time {
        server_ms
    } else {
        0
    };
    let (step, counts) = sorted(&parcels, read, &held.counts, ids_from);
    world.tell(|| {
        let runs = step
            .put
            .iter()
            .map(|(lane, id, rows)| (lane, id, &rows.numbers));
        format!("the sorter has for lanes {:?}", runs.collect::<Vec<_>>())
    });
    let (link, guards, check) = (world.draw_number(), world.guards, world.checks_links());
    query(connection, move |database, now| {
        let before = database.sorter.claim;
        let step = SortStep {
            lease_until: now + LEASE_MS,
            ..step
        };
        database.sort(step, link, &guards)?;
        check(before, read);
        Ok(())
    })
    .await?;
    held.claim = Claim {
        step: read.step + 1,
        link,
        ..read
    };
    held.until = sent + LEASE_MS as Ms;
    held.counts = counts;
    held.cursor = parcels.last().map_or(held.cursor, |(id, _)| *id);
    Ok(())
}

/// The step that takes parcels over, and the counts after it.
#[allow(
    clippy::field_reassign_with_default,
    reason = "a field of a batch is private"
)]
fn sorted(
    parcels: &[(i64, Parcel)],
    read: Claim,
    before: &Counts,
    server_ms: i64,
) -> (SortStep, Counts) {
    let mut batch = Batch::default();
    batch.server_ms = server_ms;
    let of_parcel = |(id, parcel): &(i64, Parcel)| (*id, (*parcel.rows.run).clone().into());
    batch.parcels = parcels.iter().map(of_parcel).collect();
    let merged = merge(&batch, before);
    let put = merged.runs.into_iter().map(|run| {
        let slots = decode_slots(&run.slots).unwrap_or_default();
        let body = run.body;
        (run.lane as usize, run.id, Rows::of(Run { body, slots }))
    });
    let keys = parcels
        .iter()
        .map(|(id, parcel)| (*id, parcel.rows.checksum));
    let step = SortStep {
        read,
        lease_until: 0,
        last_run: merged.counts.last_run,
        appended: merged.counts.appended.clone(),
        gone: keys.collect(),
        put: put.collect(),
    };
    (step, merged.counts)
}
