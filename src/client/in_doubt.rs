//! The events of the batches in doubt.

use super::row::{Row, RowReason};
use crate::error::Result;
use crate::store::sqlite::Reader;
use crate::store::{Place, pending_event_id};

/// How many events are in doubt.
pub(super) fn in_doubt_count(store: &Reader) -> Result<u64> {
    let lanes = store.lanes()?;
    let events = lanes.iter().filter_map(|(_, lane)| lane.in_doubt);
    Ok(events.map(|batch| u64::from(batch.events)).sum())
}

/// The events in doubt, by ID.
pub(super) fn in_doubt_rows(store: &Reader) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (lane, state) in store.lanes()? {
        let Some(batch) = state.in_doubt else {
            continue;
        };
        let place = Place {
            lane,
            queue: batch.queue,
        };
        let skip = state.queues[usize::from(batch.queue)].skip as usize;
        let runs = store.runs(place, 0, batch.events as usize + 1)?;
        let events = runs.iter().flat_map(|stored| {
            let numbered = stored.run.events().enumerate();
            numbered.map(|(number, (fragment, _))| {
                (pending_event_id(stored.id, number, fragment), fragment)
            })
        });
        for (id, fragment) in events.skip(skip).take(batch.events as usize) {
            rows.push(Row {
                id,
                reason: RowReason::InDoubt,
                http_status: None,
                first_ms: batch.first_ms,
                last_ms: batch.last_ms,
                attempts: batch.attempts,
                event_json: String::from_utf8_lossy(fragment).into_owned(),
                api_code: String::new(),
                message: "no answer settled a request with this event; the request is repeated until one does"
                    .to_owned(),
            });
        }
    }
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}
