//! The search for an event on which the API fails, within the batches in doubt, for an operator.
//!
//! An operator asks for it, because it ends the rule that a batch in doubt is repeated byte for byte:
//! parts of the batch are sent, and what the API has of it arrives twice.

use super::spool_client::Client;
use crate::dispatch::Command;
use crate::error::Result;
use crate::store::{LaneState, Place, Reader, Rest, pending_event_id};

/// How far the search for events on which the API fails has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Events among which one is searched for: heads of queues that are known to hold a bad one.
    pub left: u64,
    /// The IDs of the first of them in each queue.
    pub searched: Vec<i64>,
    /// The IDs of the events that were searched for and have failed alone, which are still in doubt.
    pub found: Vec<i64>,
    /// The IDs of the events that the search has come down to, found or not: the connection may be lost
    /// whenever one is sent alone, and then nothing is known of it.
    pub alone: Vec<i64>,
    /// The ID of the first event of each queue that has one. An event leaves its queue only at the head,
    /// so one of a batch in doubt has left once no event of the batch is a head.
    pub heads: Vec<i64>,
}

impl Search {
    /// Adds a lane, of whose queues the events with the IDs `first` are the first.
    pub fn add(&mut self, state: &LaneState, rest: &Rest, first: [Option<i64>; 2]) {
        let alone = state.in_doubt.filter(|batch| batch.events == 1);
        let alone = alone.filter(|_| rest.server_errors > 0);
        for ((queue, of_queue), first) in (0..).zip(&state.queues).zip(first) {
            // A group of which nothing was in doubt comes from a refusal.
            let searched = if of_queue.doubtful > 0 {
                of_queue.group
            } else {
                0
            };
            self.left += u64::from(searched);
            self.heads.extend(first);
            if searched > 0 {
                self.searched.extend(first);
            }
            if searched == 1 {
                self.alone.extend(first);
            }
            if searched > 0 && alone.is_some_and(|batch| batch.queue == queue) {
                self.found.extend(first);
            }
        }
    }
}

impl Client {
    /// Has the batches in doubt that have one of the events `ids` (as in [`in_doubt`](Self::in_doubt))
    /// searched for the events on which the API fails, and returns how many events they have: the sender
    /// sends ever smaller parts of them, and pauses as `server_error` once one event has failed alone,
    /// with an HTTP status, which is still in doubt then. What the API has of the batches already arrives
    /// twice. A batch whose request is in flight is not searched. Errors: as [`hold`](Self::hold).
    pub fn bisect(&self, ids: &[i64]) -> Result<usize> {
        self.core()?.sender.command(&Command::Bisect(ids.to_vec()))
    }

    /// How far the search has come that [`bisect`](Self::bisect) began. Errors: as
    /// [`stats`](Self::stats).
    pub fn search(&self) -> Result<Search> {
        let Some(mut store) = Reader::open(&self.core()?.spool)? else {
            return Ok(Search::default());
        };
        let mut search = Search::default();
        for (lane, state) in store.lanes() {
            let first = [0, 1].map(|queue| first_id(&mut store, Place { lane, queue }));
            let [regular, suspects] = first;
            search.add(&state, &store.rest(lane), [regular?, suspects?]);
        }
        Ok(search)
    }
}

/// The ID of the first event of a queue.
fn first_id(store: &mut Reader, place: Place) -> Result<Option<i64>> {
    let runs = store.first_runs_with(place, 1)?;
    let mut events = runs.iter().flat_map(|stored| {
        let waiting = stored.waiting();
        waiting.map(|(number, fragment, _)| pending_event_id(stored.id, number, fragment))
    });
    Ok(events.next())
}
