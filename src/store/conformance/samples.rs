//! Events, runs and changes for the sentences, and how a queue is read to its end.

use crate::store::contract::{Change, Store};
use crate::store::{Place, Receipt, Rejected, RejectedReason, Run, Shares, StoredRun};

/// The lanes that the sentences use.
pub(super) const LANES: u8 = 3;
pub(super) const REGULAR: Place = Place { lane: 1, queue: 0 };
pub(super) const SUSPECTS: Place = Place { lane: 1, queue: 1 };

/// Every queue of the lanes.
pub(super) fn places() -> impl Iterator<Item = Place> {
    (0..LANES).flat_map(|lane| [0, 1].map(|queue| Place { lane, queue }))
}

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

/// Commits runs to the end of a queue and returns all runs of the queue.
pub(super) fn appended(store: &mut dyn Store, place: Place, runs: &[Run]) -> Vec<StoredRun> {
    let changes: Vec<Change<'_>> = runs.iter().map(|run| append(place, run)).collect();
    store.commit(&changes).unwrap();
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
        rejected: 1 << 40,
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
