//! What operators decide about rejected events: they go back, or for good.
//!
//! A portion is one statement. What it deletes is what it puts into parcels, so an event goes back once, also if
//! two operators ask for it, or one asks again because the answer was lost. The sorter takes it over to the end of
//! its lane; no lane is locked for it.

use meditopia::internals::store::RejectedFilter;
use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};
use crate::look::rejected::{TAKEN, Taken, last_id};

/// Events that change in one statement.
const PORTION: i64 = 1_000;

/// What becomes of rejected events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They go back to the end of their lanes, by new parcels.
    Requeue,
    /// They are removed for good.
    Discard,
}

/// Which rejected events are decided about.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those with these ids; unknown ones are left out.
    Ids(&'a [i64]),
    /// Those that the filter takes now.
    Matching(&'a RejectedFilter),
}

/// Decides, in portions of 1,000, and says about how many events. Needs the role `meditopia_relay`.
///
/// # Errors
/// Those of [`Connection::query`]; the portions before it are done.
pub fn decide(connection: &mut Connection, which: Which<'_>, decision: Decision) -> Result<u64> {
    let mut changed = 0;
    let outcome = match which {
        Which::Ids(ids) => decide_ids(connection, ids, decision, &mut changed),
        Which::Matching(filter) => decide_matching(connection, filter, decision, &mut changed),
    };
    outcome.map_err(|failure| explain(failure, changed))?;
    Ok(changed)
}

fn decide_ids(
    connection: &mut Connection,
    ids: &[i64],
    decision: Decision,
    changed: &mut u64,
) -> Result<()> {
    let all = RejectedFilter::default();
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    for ids in ids.chunks(PORTION as usize) {
        *changed += portion(connection, &Taken::new(&all, i64::MAX), Some(ids), decision)?.changed;
    }
    Ok(())
}

fn decide_matching(
    connection: &mut Connection,
    filter: &RejectedFilter,
    decision: Decision,
    changed: &mut u64,
) -> Result<()> {
    // What is rejected meanwhile is not what was asked for.
    let upto = last_id(connection)?;
    let mut filter = filter.clone();
    loop {
        let done = portion(connection, &Taken::new(&filter, upto), None, decision)?;
        *changed += done.changed;
        match done.last {
            Some(last) => filter.after_id = last,
            None => return Ok(()),
        }
    }
}

/// What a statement has done.
struct Done {
    changed: u64,
    /// The last event that it has looked for; `None`: there are no more.
    last: Option<i64>,
}

fn portion(
    connection: &mut Connection,
    taken: &Taken<'_>,
    ids: Option<&[i64]>,
    decision: Decision,
) -> Result<Done> {
    let put = match decision {
        Decision::Discard => "",
        Decision::Requeue => {
            ", numbered AS (
               SELECT event, id, (row_number() OVER (ORDER BY id) - 1) / 100 AS parcel FROM gone
             ), packed AS (
               SELECT n.parcel, count(*) AS events, string_agg(n.event, ',' ORDER BY n.id) AS body,
                 string_agg(int4send(octet_length(n.event)) || int8send(now.ms), '' ORDER BY n.id) AS slots
               FROM numbered n CROSS JOIN (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS now
               GROUP BY n.parcel
             ), put AS (
               INSERT INTO meditopia.parcel (events, body, slots, checksum)
               SELECT events, body, slots, substr(sha256(slots || body), 1, 8) FROM packed ORDER BY parcel
             )"
        }
    };
    let mut parameters = taken.parameters();
    parameters.push((&PORTION, Type::INT8));
    parameters.push((&ids, Type::INT8_ARRAY));
    let row = connection.query_one(
        &format!(
            "WITH chosen AS (
               SELECT r.id FROM meditopia.rejected r WHERE {TAKEN} AND ($10::bigint[] IS NULL OR r.id = ANY($10))
               ORDER BY r.id LIMIT $9
             ), gone AS (
               DELETE FROM meditopia.rejected d USING chosen WHERE d.id = chosen.id RETURNING d.id, d.event
             ){put}
             SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM chosen)"
        ),
        &parameters,
    )?;
    Ok(Done {
        changed: column::<i64>(&row, 0)?.unsigned_abs(),
        last: column(&row, 1)?,
    })
}

/// Says what was done before, and that asking again is safe.
fn explain(failure: Failure, changed: u64) -> Failure {
    let known = match changed {
        0 => String::new(),
        changed => format!("; {changed} events were changed before"),
    };
    match failure.outcome() {
        Outcome::Unknown => Failure::new(
            Outcome::Unknown,
            format!(
                "{failure}{known}; whether the last portion was changed is not known; run the command again: no event is changed twice"
            ),
        ),
        outcome => Failure::new(outcome.clone(), format!("{failure}{known}")),
    }
}
