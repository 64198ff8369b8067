//! The events of the batches in doubt.

use super::row::{Row, in_doubt_row};
use crate::error::Result;
use crate::store::Reader;
use crate::store::{Place, pending_event_id};

/// How many events are in doubt.
pub(super) fn in_doubt_count(store: &Reader) -> u64 {
    let lanes = store.lanes();
    let events = lanes.iter().filter_map(|(_, lane)| lane.in_doubt);
    events.map(|batch| u64::from(batch.events)).sum()
}

/// The events in doubt, by ID.
pub(super) fn in_doubt_rows(store: &mut Reader) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (lane, state) in store.lanes() {
        let Some(batch) = state.in_doubt else {
            continue;
        };
        let place = Place {
            lane,
            queue: batch.queue,
        };
        let runs = store.first_runs_with(place, batch.events as usize)?;
        let events = runs.iter().flat_map(|stored| {
            stored.waiting().map(|(number, fragment, _)| {
                (pending_event_id(stored.id, number, fragment), fragment)
            })
        });
        for (id, fragment) in events.take(batch.events as usize) {
            rows.push(in_doubt_row(id, fragment, &batch));
        }
    }
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}
