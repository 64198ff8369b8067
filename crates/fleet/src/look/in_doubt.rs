//! The events of the batches in doubt, lane by lane, and how far a search among them has come.

use meditopia::internals::client::{Row, Search, in_doubt_row};
use tokio_postgres::types::Type;

use super::Look;
use super::lane_now::LaneNow;
use crate::connection::column;
use crate::failure::Result;

/// An event in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInDoubt {
    /// Its lane, whose owner alone can do something about it.
    pub lane: i16,
    /// The event.
    pub row: Row,
}

impl Look {
    /// The events in doubt, by id; those of a lane are of one moment.
    ///
    /// # Errors
    /// As [`lane_now`](Self::lane_now).
    pub fn in_doubt(&mut self) -> Result<Vec<EventInDoubt>> {
        let lanes = self.lanes_of(None);
        self.in_doubt_in(&lanes)
    }

    pub(super) fn in_doubt_in(&mut self, lanes: &[i16]) -> Result<Vec<EventInDoubt>> {
        let rows = self.connection.query(
            "SELECT lane FROM meditopia.lane WHERE lane = ANY($1) AND in_doubt_since_ms IS NOT NULL",
            &[(&lanes, Type::INT2_ARRAY)],
        )?;
        let mut events = Vec::new();
        for row in &rows {
            events.extend(events_in_doubt(&self.lane_now(column(row, 0)?)?));
        }
        events.sort_by_key(|event| event.row.id);
        Ok(events)
    }

    /// How far the search has come that owners of lanes make as commands of operators asked for.
    ///
    /// # Errors
    /// As [`lane_now`](Self::lane_now).
    pub fn search(&mut self) -> Result<Search> {
        let mut search = Search::default();
        for lane in self.lanes_of(None) {
            let now = self.lane_now(lane)?;
            let first = [0, 1].map(|queue| now.events(queue).next().map(|(id, _)| id));
            search.add(&now.saved.state, &now.saved.rest, first);
        }
        Ok(search)
    }
}

fn events_in_doubt(now: &LaneNow) -> Vec<EventInDoubt> {
    let Some(batch) = now.saved.state.in_doubt else {
        return Vec::new();
    };
    let queue = usize::from(batch.queue.min(1));
    let events = now.events(queue).take(batch.events as usize);
    events
        .map(|(id, fragment)| EventInDoubt {
            lane: now.lane,
            row: in_doubt_row(id, fragment, &batch),
        })
        .collect()
}
