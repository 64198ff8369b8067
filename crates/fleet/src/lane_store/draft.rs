//! What the next statement is to change, gathered from the changes of a commit or of several joint ones.
//!
//! What one change has done and a later one undoes is not said: a run that is appended and settled at once never
//! stands in the database.

use std::collections::{BTreeMap, BTreeSet};

use meditopia::internals::store::{Receipt, Rejected, StoredRun, Suspect};

use super::known::Known;
use crate::parcel::Checksum;

/// What the next statement is to change, beside the columns of the lane that every statement says.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// There is something to say at all.
    pub(crate) is_wanted: bool,
    /// The lane's state, its rest or the pause has changed.
    pub(crate) has_state: bool,
    /// The sums have changed.
    pub(crate) has_totals: bool,
    /// A batch is put in doubt: its runs are checked.
    pub(crate) puts_in_doubt: bool,
    /// Before which run none waited before any was settled, by queue, if any is.
    pub(crate) settled_from: [Option<i64>; 2],
    /// Runs that are settled, with their queues.
    pub(crate) settled: Vec<(u8, Known)>,
    /// Which events have left runs that still wait, by queue and run.
    pub(crate) marked: BTreeMap<(u8, i64), (Checksum, u128)>,
    /// Runs for the suspects' queue.
    pub(crate) appended: BTreeMap<i64, (StoredRun, Checksum)>,
    pub(crate) rejected: BTreeMap<i64, Rejected>,
    pub(crate) forgotten: BTreeSet<i64>,
    pub(crate) receipts: Vec<(i64, Receipt)>,
    /// `None`: the user is not suspect any more.
    pub(crate) suspects: BTreeMap<Vec<u8>, Option<Suspect>>,
    /// Users that were refused alone, since something was accepted if it was.
    pub(crate) refused: Vec<String>,
    pub(crate) is_accepted: bool,
}

impl Draft {
    pub(crate) fn settle(&mut self, queue: u8, run: Known) {
        self.marked.remove(&(queue, run.id));
        if queue == 0 || self.appended.remove(&run.id).is_none() {
            self.settled.push((queue, run));
        }
    }

    pub(crate) fn mark(&mut self, queue: u8, run: &Known) {
        match self.appended.get_mut(&run.id) {
            Some((appended, _)) if queue == 1 => appended.marks = run.marks,
            _ => {
                let mark = (run.checksum, run.marks);
                self.marked.insert((queue, run.id), mark);
            }
        }
    }

    pub(crate) fn forget(&mut self, id: i64) {
        if self.rejected.remove(&id).is_none() {
            self.forgotten.insert(id);
        }
    }

    pub(crate) fn accept(&mut self) {
        self.is_accepted = true;
        self.refused.clear();
    }
}
