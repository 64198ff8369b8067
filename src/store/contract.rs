//! What `dispatch` and `sender` need of a store, whichever keeps it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::disk::{Disk, Folder};
use super::next_ledger::{NextLedger, SpareLedger};
use super::sync_point::SyncPoint;
use super::syncs::Syncs;
use super::{
    DiskUse, LaneState, PauseState, Place, Receipt, Rejected, RejectedFilter, Rest, Run, StoredRun,
    Suspect, Totals,
};
use crate::error::{Error, Result};
use crate::journal::round::Offsets;

/// One change of a commit.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A run goes to the end of a queue. Its id is larger than any that was ever given to a run whose
    /// commit has happened; of two runs, the later change has the larger one. Some ids may be left out.
    Append {
        /// Where.
        place: Place,
        /// Of events that move to the suspects: the origin of the run that they come from.
        origin: Option<i64>,
        /// Its events, 1 to 128.
        run: &'a Run,
    },
    /// The first runs of a queue are settled; refused if no such run waits.
    Settle {
        /// Which queue.
        place: Place,
        /// The last of them, which [`Store::runs`] has returned since the store was opened.
        upto: i64,
    },
    /// Events have left a run that still waits. If none is left in the first runs of a queue, those are
    /// settled by the same commit.
    Mark {
        /// Its queue.
        place: Place,
        /// The run.
        run: i64,
        /// A bit for the place of each event that has left it, now and before.
        marks: u128,
    },
    /// So many events have left a queue, by the other changes of the commit.
    Leave {
        /// Which queue.
        place: Place,
        /// How many.
        events: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What is known of a lane. Of two such changes in one commit the later one counts, here and below.
    Lane {
        /// Which.
        lane: u8,
        /// All of it.
        state: &'a LaneState,
    },
    /// How a lane rests.
    Rest {
        /// Which.
        lane: u8,
        /// All of it.
        rest: &'a Rest,
    },
    /// A request was delivered. Not kept while the disk is full: it has to hold events then.
    Receipt(&'a Receipt),
    /// An event goes to the rejected events. Its id is given as a run's is.
    Reject(&'a Rejected),
    /// A rejected event is forgotten; refused if none has this id.
    Forget {
        /// Its id there.
        rejected: i64,
        /// What it is.
        event: &'a Rejected,
    },
    /// How far a segment is taken over.
    Taken {
        /// Its file name.
        segment: &'a str,
        /// Bytes from its beginning.
        upto: u64,
    },
    /// A segment is gone, if anything is known of it.
    Gone {
        /// Its file name.
        segment: &'a str,
    },
    /// A user is (still) suspect.
    Suspect(&'a Suspect),
    /// A user is not suspect any more, if it was.
    Cleared {
        /// The JSON-escaped `partner_user_id`.
        user: &'a [u8],
    },
    /// One more user, not one of those before, was refused alone since the last acceptance.
    RefusedInARow {
        /// The `partner_user_id`.
        user: &'a str,
    },
    /// Something was accepted, or an operator has resumed: nobody is refused in a row.
    AcceptedSince,
    /// Delivery is paused, or not any more.
    Pause(Option<&'a PauseState>),
    /// The number of lanes that runs are spread over.
    Lanes(u8),
    /// The sums, as they now are. What is pending is not among them: the store counts it itself, and
    /// what is said of it here is not read.
    Totals(&'a Totals),
}

/// What the lanes need of a store. There is one writer at any time.
pub trait Store: Send {
    /// Makes all changes or none. Waits for no sync: what is committed survives the death of the
    /// process, and a power cut once [`Syncs::sync_until`] has returned for it.
    ///
    /// After an error the store takes no commit until it is opened again, and what is read of it until
    /// then need not be true.
    ///
    /// Errors: [`crate::error::ErrorKind::Store`] when the store is damaged;
    /// [`crate::error::ErrorKind::SpoolFull`]; [`crate::error::ErrorKind::Io`].
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<()>;

    /// Has the commits up to [`end_joint_commit`](Self::end_joint_commit) be one.
    ///
    /// What is read meanwhile has their changes. When one of them fails, or the store is closed before the
    /// end, none has happened.
    fn begin_joint_commit(&mut self);

    /// Makes the commits since [`begin_joint_commit`](Self::begin_joint_commit), if there are any.
    ///
    /// Errors: as [`commit`](Self::commit).
    fn end_joint_commit(&mut self) -> Result<()>;

    /// The number of the last commit, for [`Syncs::sync_until`]. It grows with each commit that changes
    /// something, also over another opening, and not with one that has no changes.
    fn committed(&self) -> u64;

    /// What makes commits durable.
    fn syncs(&self) -> Arc<Syncs>;

    /// Checks that this process still is the one that may write, before a request leaves it.
    fn check_lock(&self) -> Result<()>;

    /// What to fail with where the store contradicts itself.
    fn damaged(&self, what: &str) -> Error;

    /// The spool in a command that a message tells to run.
    fn as_argument(&self) -> String;

    /// The state of a lane; the default if nothing is known of it.
    fn lane(&self, lane: u8) -> LaneState;

    /// How a lane rests.
    fn rest(&self, lane: u8) -> Rest;

    /// The runs of a queue behind run `after`, in order: at most `limit`, and at least one if there is any
    /// and `limit` is not 0. `after` may be a run that is settled; behind 0 stand all.
    fn runs(&mut self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>>;

    /// The last run ever appended, as far as is known without asking; 0: none.
    fn last_run(&self) -> i64;

    /// The earliest origin of all runs that are not settled, wherever they stand in their queues; `None`:
    /// nothing is pending. Where so many wait that one call does not look at all of them, it is 0, which is
    /// before every run, until more calls have looked at the rest.
    fn first_origin(&mut self) -> Result<Option<i64>>;

    /// All suspects, in any order.
    fn suspects(&self) -> Vec<Suspect>;

    /// The users refused alone since the last acceptance, in any order.
    fn refused_in_a_row(&self) -> Vec<String>;

    /// The same as it is now, where other processes count as well. `None`: only this store's commits change it.
    ///
    /// Errors: as [`commit`](Self::commit).
    fn refused_in_a_row_anew(&mut self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// The first `limit` rejected events that `filter` takes, by id.
    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>>;

    /// The rejected events with these ids, each once, by id; unknown ones are left out.
    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>>;

    /// The id of the last rejected event ever; 0: none.
    fn last_rejected(&self) -> i64;

    /// The pause that outlasted the last sender.
    fn pause(&self) -> Option<PauseState>;

    /// The number of lanes that pending runs are spread over; 0: not decided yet.
    fn lanes(&self) -> u8;

    /// The sums. What is pending has changed with every run that was read, also where somebody else appends them; its
    /// bytes are 0 where nobody counts them.
    fn totals(&self) -> Totals;
}

/// What the store of one host knows besides, whose events come from a journal.
pub trait HostStore: Store {
    /// How far each segment is taken over.
    fn offsets(&self) -> Offsets;

    /// Says how much disk it may use from now on.
    fn set_disk_use(&mut self, disk_use: DiskUse);

    /// Forgets receipts that are older than `before_ms`; others may go with them that are dated later than
    /// `now_ms`, a file of them at a time. Says whether there may be more.
    ///
    /// Errors: as [`commit`](Store::commit).
    fn forget_receipts(&mut self, before_ms: i64, now_ms: i64) -> Result<bool>;
}

/// The store of a host that keeps files: the sender syncs, replaces and removes them.
pub trait FileStore: HostStore {
    /// Where its files are.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Whether the ledger is to go on in its next file.
    fn wants_next_ledger(&self) -> bool;

    /// Begins the next file. Until [`use_next_ledger`](Self::use_next_ledger), after
    /// [`NextLedger::publish`] outside of every lock, nothing may be committed.
    ///
    /// Errors: as [`commit`](Store::commit).
    fn begin_next_ledger(&mut self, spare: SpareLedger) -> Result<NextLedger>;

    /// Goes on in the next file.
    fn use_next_ledger(&mut self, next: NextLedger);

    /// Has the next file of the ledger, which is wanted from now on, speak of copies of these files of queues
    /// and rejected events: without the bytes of events that have left. The files themselves go when it
    /// is published. Those that it does not speak of go as well.
    fn rewrite(&mut self, files: BTreeSet<(Folder, String)>);

    /// The files of queues and rejected events that it speaks of.
    fn named_files(&self) -> BTreeSet<(Folder, String)>;

    /// Notes what may go once everything up to now is durable.
    fn note_sync_point(&mut self) -> SyncPoint;

    /// Commits that everything up to the point is durable; says the number of that commit, which has to be
    /// durable itself before anything goes.
    ///
    /// Errors: as [`commit`](Store::commit).
    fn commit_sync_point(&mut self) -> Result<u64>;

    /// Forgets the files that [`SyncPoint::remove`] has removed.
    ///
    /// Errors: as [`commit`](Store::commit).
    fn forget_removed(&mut self, point: &SyncPoint) -> Result<()>;
}
