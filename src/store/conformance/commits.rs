//! Sentences about commits: all of one happens or nothing, and what has happened outlives the store.

use super::kept::{Has, Kept, Opened};
use super::look::Look;
use super::samples::{
    REGULAR, SUSPECTS, all_runs, append, appended, mark, moved, receipt, refused, rejected, run,
    settle, some_runs,
};
use crate::error::PauseReason;
use crate::store::contract::Change;
use crate::store::{
    InDoubt, LaneState, PauseState, QueueState, Rejected, RejectedFilter, Rest, Run, StoredRun,
    Suspect, Totals,
};

/// Values for changes of every kind.
struct Everything {
    runs: Vec<Run>,
    moved: Run,
    lane: LaneState,
    rest: Rest,
    suspect: Suspect,
    pause: PauseState,
    totals: Totals,
    rejected: Rejected,
    receipt: crate::store::Receipt,
}

impl Everything {
    /// Values that are different for each `number`.
    fn of(number: usize) -> Self {
        let queue = QueueState {
            group: number as u32,
            doubtful: 1,
            belief: vec![0.5, number as f64],
        };
        Self {
            runs: some_runs(number * 10, 3),
            moved: run(number * 1_000, 1),
            lane: LaneState {
                in_doubt: Some(InDoubt {
                    queue: 0,
                    events: number as u32,
                    attempts: 1,
                    first_ms: 5,
                    last_ms: 6,
                    status: None,
                }),
                queues: [queue.clone(), queue],
            },
            rest: Rest {
                drawn_ms: number as i64,
                ..Rest::default()
            },
            suspect: Suspect {
                user: format!("user-{number}").into_bytes(),
                lane: 0,
                waiting: 1,
                accepted: false,
            },
            pause: PauseState {
                reason: PauseReason::Auth,
                since_ms: number as i64,
                probe_ms: None,
                probe_wait_ms: 1,
                http_status: Some(401),
                api_code: None,
                message: "no".to_owned(),
                fingerprint: None,
            },
            totals: Totals {
                delivered: number as u64,
                ..Totals::default()
            },
            rejected: rejected(number),
            receipt: receipt(1_000 + number as i64),
        }
    }

    /// A change of every kind, where the first two runs of the regular queue wait, which are known, and
    /// the event `known` is rejected.
    fn changes<'a>(
        &'a self,
        has: Has,
        [first, second]: [&StoredRun; 2],
        (id, event): &'a (i64, Rejected),
    ) -> Vec<Change<'a>> {
        let mut changes = vec![
            Change::RefusedInARow { user: "somebody" },
            Change::AcceptedSince,
            Change::RefusedInARow {
                user: &self.rejected.user,
            },
            Change::Lane {
                lane: 0,
                state: &self.lane,
            },
            Change::Rest {
                lane: 0,
                rest: &self.rest,
            },
            Change::Cleared { user: b"user-1" },
            Change::Suspect(&self.suspect),
            Change::Pause(Some(&self.pause)),
            Change::Totals(&self.totals),
            Change::Lanes(self.totals.delivered as u8),
            Change::Reject(&self.rejected),
            Change::Forget {
                rejected: *id,
                event,
            },
            Change::Receipt(&self.receipt),
            moved(first.id, &self.moved),
        ];
        if has.regular_appends {
            changes.extend(self.runs.iter().map(|run| append(REGULAR, run)));
        }
        changes.extend(settle(REGULAR, std::slice::from_ref(first)));
        changes.extend(mark(REGULAR, second, 0b10));
        changes
    }
}

/// A store with something of every kind, the runs that wait in the regular queue, and its rejected event.
fn filled(kept: &dyn Kept) -> (Opened, Vec<StoredRun>, (i64, Rejected)) {
    let mut store = kept.open();
    appended(kept, &mut *store, REGULAR, &some_runs(1, 4));
    store.commit(&[Change::Reject(&rejected(1))]).unwrap();
    let found = store.rejected_matching(&RejectedFilter::default(), 1);
    let known = found.unwrap().remove(0);
    let runs = all_runs(&mut *store, REGULAR);
    let everything = Everything::of(1);
    let changes = everything.changes(kept.has(), [&runs[0], &runs[1]], &known);
    store.commit(&changes).unwrap();
    let runs = all_runs(&mut *store, REGULAR);
    let found = store.rejected_matching(&RejectedFilter::default(), 1);
    let known = found.unwrap().remove(0);
    (store, runs, known)
}

pub fn a_new_store_knows_nothing(kept: &dyn Kept) {
    let nothing = Look {
        runs: kept
            .has()
            .places()
            .map(|place| (place, Vec::new()))
            .collect(),
        lanes: vec![LaneState::default(); kept.has().lanes.into()],
        rests: vec![Rest::default(); kept.has().lanes.into()],
        ..Look::default()
    };
    assert_eq!(Look::at(kept, &mut kept.open()), nothing);
    assert_eq!(Look::at(kept, &mut kept.open()), nothing, "opened again");
    assert!(kept.receipts().is_empty());
}

pub fn everything_is_as_it_was_when_the_store_is_opened_again(kept: &dyn Kept) {
    let (mut store, ..) = filled(kept);
    let before = Look::at(kept, &mut store);
    let appended = if kept.has().regular_appends { 3 } else { 0 };
    assert_eq!(before.runs[&REGULAR].len(), 3 + appended);
    assert_eq!(before.runs[&SUSPECTS].len(), 1);
    assert_eq!(before.rejected.len(), 1);
    drop(store);
    // Whatever an opening does beside, it may do it again.
    for _ in 0..3 {
        assert_eq!(Look::at(kept, &mut kept.open()), before);
    }
}

pub fn a_refused_commit_has_changed_nothing(kept: &dyn Kept) {
    let (mut store, runs, known) = filled(kept);
    let before = Look::at(kept, &mut store);
    let receipts = kept.receipts();
    drop(store);
    let more = Everything::of(2);
    let changes = more.changes(kept.has(), [&runs[0], &runs[1]], &known);
    let unknown = rejected(9);
    let settled = Change::Settle {
        place: REGULAR,
        upto: runs[0].id - 1,
    };
    // Wherever the change stands that is refused.
    for bad in [refused(&unknown), settled] {
        for at in [0, changes.len() / 2, changes.len()] {
            let mut store = kept.open();
            assert_eq!(Look::at(kept, &mut store), before);
            let mut changes = changes.clone();
            changes.insert(at, bad);
            store.commit(&changes).unwrap_err();
            drop(store);
            assert_eq!(Look::at(kept, &mut kept.open()), before, "{bad:?} at {at}");
            assert_eq!(kept.receipts(), receipts);
        }
    }
    let mut store = kept.open();
    assert_eq!(Look::at(kept, &mut store), before);
    store.commit(&changes).unwrap();
    assert_ne!(Look::at(kept, &mut store), before);
}

fn delivered(delivered: u64) -> Totals {
    Totals {
        delivered,
        ..Totals::default()
    }
}

pub fn after_a_refused_commit_the_store_takes_no_other_before_it_is_opened_again(kept: &dyn Kept) {
    let mut store = kept.open();
    let sums = [4, 5, 6, 7].map(delivered);
    store.commit(&[Change::Totals(&sums[0])]).unwrap();
    store.commit(&[refused(&rejected(1))]).unwrap_err();
    store.commit(&[Change::Totals(&sums[1])]).unwrap_err();
    store.commit(&[]).unwrap_err();
    store.begin_joint_commit();
    store.commit(&[Change::Totals(&sums[2])]).unwrap_err();
    store.end_joint_commit().unwrap_err();
    drop(store);
    let mut store = kept.open();
    assert_eq!(store.totals(), sums[0]);
    store.commit(&[Change::Totals(&sums[3])]).unwrap();
    assert_eq!(store.totals(), sums[3]);
}

/// Takes two steps that build on each other.
fn two_commits(
    kept: &dyn Kept,
    store: &mut Opened,
    runs: &[StoredRun],
    known: &(i64, Rejected),
) -> Look {
    let has = kept.has();
    let more = Everything::of(2);
    store
        .commit(&more.changes(kept.has(), [&runs[0], &runs[1]], known))
        .unwrap();
    let between = all_runs(&mut **store, REGULAR);
    let appended = if has.regular_appends { 3 } else { 0 };
    assert_eq!(
        between.len(),
        runs.len() - 1 + appended,
        "the first one has left"
    );
    assert_eq!(between[0].marks & 0b10, 0b10);
    if has.regular_appends {
        assert_eq!(between.last().unwrap().run, more.runs[2]);
    }
    assert_eq!(store.lane(0), more.lane);
    assert_eq!(store.rejected(&[known.0]).unwrap(), []);
    let found = store.rejected_matching(&RejectedFilter::default(), 9);
    let found = found.unwrap();
    assert_eq!(found[0].1, more.rejected);

    // Of what the first one has done.
    let again = Everything::of(3);
    store
        .commit(&again.changes(kept.has(), [&between[0], &between[1]], &found[0]))
        .unwrap();
    Look::at(kept, store)
}

pub fn what_a_joint_commit_has_changed_is_read_before_it_ends(kept: &dyn Kept) {
    let (mut store, runs, known) = filled(kept);
    store.begin_joint_commit();
    let meanwhile = two_commits(kept, &mut store, &runs, &known);
    store.end_joint_commit().unwrap();
    assert_eq!(Look::at(kept, &mut store), meanwhile);

    // The same as commits of their own.
    let other = kept.another();
    let (mut store, runs, known) = filled(&*other);
    let apart = two_commits(&*other, &mut store, &runs, &known);
    assert_eq!(apart.in_order(), meanwhile.in_order());
}

pub fn a_joint_commit_is_there_as_a_whole(kept: &dyn Kept) {
    let (mut store, runs, known) = filled(kept);
    store.begin_joint_commit();
    let meanwhile = two_commits(kept, &mut store, &runs, &known);
    store.end_joint_commit().unwrap();
    drop(store);
    assert_eq!(Look::at(kept, &mut kept.open()), meanwhile);
}

pub fn a_joint_commit_that_never_ended_has_not_happened(kept: &dyn Kept) {
    let (mut store, runs, known) = filled(kept);
    let before = Look::at(kept, &mut store);
    let committed = store.committed();
    store.begin_joint_commit();
    let meanwhile = two_commits(kept, &mut store, &runs, &known);
    assert_ne!(meanwhile, before);
    assert_eq!(store.committed(), committed);
    drop(store);
    let mut store = kept.open();
    assert_eq!(Look::at(kept, &mut store), before);
    // What it had begun to write is in nobody's way.
    two_commits(kept, &mut store, &runs, &known);
}

pub fn a_joint_commit_of_which_one_part_is_refused_has_not_happened(kept: &dyn Kept) {
    let (mut store, runs, known) = filled(kept);
    let before = Look::at(kept, &mut store);
    store.begin_joint_commit();
    two_commits(kept, &mut store, &runs, &known);
    store.commit(&[refused(&rejected(1))]).unwrap_err();
    store.end_joint_commit().unwrap_err();
    drop(store);
    assert_eq!(Look::at(kept, &mut kept.open()), before);
}

pub fn a_commit_without_changes_is_none(kept: &dyn Kept) {
    let (mut store, ..) = filled(kept);
    let before = (store.committed(), Look::at(kept, &mut store));
    store.commit(&[]).unwrap();
    store.begin_joint_commit();
    store.end_joint_commit().unwrap();
    store.begin_joint_commit();
    store.commit(&[]).unwrap();
    store.commit(&[]).unwrap();
    store.end_joint_commit().unwrap();
    assert_eq!((store.committed(), Look::at(kept, &mut store)), before);
}

pub fn the_number_of_the_last_commit_grows_and_never_falls(kept: &dyn Kept) {
    let mut last = kept.open().committed();
    for number in 1..6 {
        let mut store = kept.open();
        assert!(store.committed() >= last, "opened again");
        last = store.committed();
        store.commit(&[Change::Totals(&delivered(number))]).unwrap();
        assert!(store.committed() > last, "a commit");
        last = store.committed();
        store.begin_joint_commit();
        let runs = some_runs(1, 2);
        for run in &runs {
            store.commit(&[append(SUSPECTS, run)]).unwrap();
        }
        store.end_joint_commit().unwrap();
        assert!(store.committed() > last, "a joint commit");
        last = store.committed();
    }
}

pub fn every_commit_can_be_waited_for(kept: &dyn Kept) {
    let mut store = kept.open();
    for number in 1..4 {
        let sums = delivered(number as u64);
        store.commit(&[Change::Totals(&sums)]).unwrap();
        let (syncs, seq) = (store.syncs(), store.committed());
        // As the sender does: by another thread, while this one may commit.
        std::thread::scope(|scope| {
            let synced = scope.spawn(move || syncs.sync_until(seq));
            let event = rejected(number);
            store.commit(&[Change::Reject(&event)]).unwrap();
            synced.join().unwrap().unwrap();
        });
    }
    store.syncs().sync_until(store.committed()).unwrap();
    drop(store);
    let store = kept.open();
    store.syncs().sync_until(store.committed()).unwrap();
}

pub fn an_open_store_may_be_written_to_and_says_what_is_damaged(kept: &dyn Kept) {
    let (store, ..) = filled(kept);
    store.check_lock().unwrap();
    let damaged = store.damaged("it says no");
    assert_eq!(damaged.kind(), crate::error::ErrorKind::Store);
    assert!(damaged.message().contains("it says no"), "{damaged}");
}
