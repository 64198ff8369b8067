//! The target of the entries of a record: read, written back, applied to a state, and its snapshot again.

use crate::store::entry::{BadEntry, Entry, entries};
use crate::store::fold::{FILE_IDS_MAX, Fold};
use crate::store::{Place, RejectedReason};

/// Bytes of a snapshot for each byte of input, and what even an empty state says.
const SNAPSHOT_FACTOR: usize = 64;
const SNAPSHOT_LEAST: usize = 8 * 1024;

pub(super) fn run(payload: &[u8]) {
    let mut fold = Fold::default();
    for entry in entries(payload) {
        let Ok(entry) = entry else { break };
        check_written_back(&entry);
        if fold.apply(&entry).is_err() {
            break;
        }
    }
    ask(&fold);
    check_snapshot(&fold, payload.len());
}

fn encoded(entry: &Entry<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    bytes
}

fn check_written_back(entry: &Entry<'_>) {
    let bytes = encoded(entry);
    let read: Result<Vec<Entry<'_>>, BadEntry> = entries(&bytes).collect();
    let read = read.unwrap();
    assert_eq!(read.len(), 1);
    // A number that is none is not equal to itself; its bytes are.
    assert_eq!(encoded(&read[0]), bytes);
}

/// Asks a state for everything.
fn ask(fold: &Fold) {
    fold.totals();
    fold.offsets();
    for lane in 0..=fold.lane_end() {
        fold.lane_state(lane);
        fold.rest(lane);
        for queue in [0, 1] {
            let queue = fold.queue(Place { lane, queue });
            queue.end_of(queue.position.head.file);
            queue.holds(queue.tail());
            queue.files_in_use().count();
            // Whoever reads a queue goes from file to file, and comes to an end.
            let mut file = queue.files.first().map(|file| file.number);
            let mut files = 0;
            while let Some(number) = file {
                files += 1;
                assert!(files <= queue.files.len());
                file = queue.file_behind(number);
            }
        }
    }
    for file in &fold.rejected {
        assert!(file.remaining() <= (1 << 62));
        fold.rejected_file(file.first_id);
        fold.rejected_file(file.next_id);
    }
    fold.rejected_counts
        .get(&(RejectedReason::Refused, String::new()));
}

/// The snapshot of a state that was accepted is accepted, and makes the same state.
fn check_snapshot(fold: &Fold, length: usize) {
    let snapshot = payload_of(fold);
    let bits = fold.rejected.len().min(length) * (FILE_IDS_MAX as usize / 8);
    let bound = SNAPSHOT_LEAST + SNAPSHOT_FACTOR * length + bits;
    assert!(snapshot.len() <= bound, "{} of {length}", snapshot.len());
    let again = fold_of(&snapshot);
    // What the highest numbers of all files and runs are, a snapshot knows better than a record that says less.
    let second = fold_of(&payload_of(&again));
    assert_eq!(sorted(&again), sorted(&second));
    assert_eq!(again.totals(), fold.totals());
    assert_eq!(again.offsets(), fold.offsets());
    assert_eq!(again.rejected, fold.rejected);
}

fn payload_of(fold: &Fold) -> Vec<u8> {
    let mut payload = Vec::new();
    for entry in fold.snapshot() {
        entry.encode(&mut payload);
    }
    payload
}

fn fold_of(payload: &[u8]) -> Fold {
    let mut fold = Fold::default();
    for entry in entries(payload) {
        fold.apply(&entry.unwrap()).unwrap();
    }
    fold
}

/// Users have no order.
fn sorted(fold: &Fold) -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = fold.snapshot().iter().map(encoded).collect();
    entries.sort_unstable();
    entries
}
