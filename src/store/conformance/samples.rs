//! Events, runs and changes for the sentences, and how a queue is read to its end.

use super::kept::Kept;
use crate::store::contract::{Change, Store};
use crate::store::{Place, Receipt, Rejected, RejectedReason, Run, Shares, StoredRun};

/// The queues of a lane that every store has.
pub(super) const REGULAR: Place = Place { lane: 0, queue: 0 };
pub(super) const SUSPECTS: Place = Place { lane: 0, queue: 1 };

/// An id behind all that a store gives.
pub(super) const NEVER_GIVEN: i64 = 1 << 62;

fn fragment(number: usize) -> String {
    // Lengths differ, so that no sum of bytes is right by chance.
    let value = "v".repeat(number % 7);
    format!(r#"{{"partner_user_id":"user-{number}","event":"audio","event_value":"{value}"}}"#)
}

/// A run of the events `first`, `first + 1` and so on.
pub(super) fn run(first: usize, events: usize) -> Run {
    let mut run = Run::default();
    for number in first..first + events {
        run.push(fragment(number).as_bytes(), number as i64 * 1_000);
    }
    run
}

/// Runs of a few events, each of other ones.
pub(super) fn some_runs(first: usize, runs: usize) -> Vec<Run> {
    let numbers = first..first + runs;
    numbers.map(|number| run(number * 10, 3)).collect()
}

pub(super) fn append(place: Place, run: &Run) -> Change<'_> {
    Change::Append {
        place,
        origin: None,
        run,
    }
}

/// A run that comes from the run `origin`.
pub(super) fn moved(origin: i64, run: &Run) -> Change<'_> {
    Change::Append {
        place: SUSPECTS,
        origin: Some(origin),
        run,
    }
}

/// Has runs at the end of a queue and returns all runs of the queue.
pub(super) fn appended(
    kept: &dyn Kept,
    store: &mut dyn Store,
    place: Place,
    runs: &[Run],
) -> Vec<StoredRun> {
    let runs: Vec<_> = runs.iter().map(|run| (place, run)).collect();
    kept.append(store, &runs);
    all_runs(store, place)
}

/// Reads a queue to its end.
pub(super) fn all_runs(store: &mut dyn Store, place: Place) -> Vec<StoredRun> {
    let mut runs: Vec<StoredRun> = Vec::new();
    loop {
        let after = runs.last().map_or(0, |run| run.id);
        let more = store.runs(place, after, 4).unwrap();
        assert!(more.len() <= 4, "{} runs of 4", more.len());
        if more.is_empty() {
            return runs;
        }
        runs.extend(more);
    }
}

/// How many events wait in runs, and their bytes.
pub(super) fn waiting(runs: &[StoredRun]) -> (u64, u64) {
    let events = runs.iter().flat_map(StoredRun::waiting);
    events.fold((0, 0), |(events, bytes), (_, fragment, _)| {
        (events + 1, bytes + fragment.len() as u64)
    })
}

/// The changes that settle the first runs of a queue.
pub(super) fn settle(place: Place, first: &[StoredRun]) -> [Change<'static>; 2] {
    let (events, bytes) = waiting(first);
    let upto = first.last().unwrap().id;
    [
        Change::Settle { place, upto },
        Change::Leave {
            place,
            events,
            bytes,
        },
    ]
}

/// The changes by which the events of a run leave it that `marks` names and that have not left it yet.
pub(super) fn mark(place: Place, run: &StoredRun, marks: u128) -> [Change<'static>; 2] {
    let mut after = run.clone();
    after.marks |= marks;
    let (before, left) = (
        waiting(std::slice::from_ref(run)),
        waiting(&[after.clone()]),
    );
    [
        Change::Mark {
            place,
            run: run.id,
            marks: after.marks,
        },
        Change::Leave {
            place,
            events: before.0 - left.0,
            bytes: before.1 - left.1,
        },
    ]
}

/// A change that every store refuses: nothing was ever rejected under this id.
pub(super) fn refused(event: &Rejected) -> Change<'_> {
    Change::Forget {
        rejected: NEVER_GIVEN,
        event,
    }
}

pub(super) fn rejected(number: usize) -> Rejected {
    Rejected {
        user: format!("user-{number}"),
        event: fragment(number).into_bytes(),
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: "A_2001".to_owned(),
        message: "the user is unknown".to_owned(),
        http_status: Some(404),
        attempts: 2,
        first_ms: number as i64,
        last_ms: 1_000 + number as i64,
    }
}

pub(super) fn receipt(time_ms: i64) -> Receipt {
    let run = run(time_ms as usize, 3);
    Receipt {
        time_ms,
        http_status: 204,
        attempts: 1,
        events: 3,
        shares: Shares::of(run.events().map(|(fragment, _)| fragment)),
    }
}
