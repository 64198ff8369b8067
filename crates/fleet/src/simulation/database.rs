//! The database: its rows, and the statements that change them, each of which happens as a whole or not at all.
//!
//! What a statement checks in SQL it checks here in the same words: the compare-and-set on (step, lease), the checksums
//! of rows, the numbers of rows that it found. A copy of all rows is what a replica has that is behind.
//!
//! Some fields are no columns: `link` and `doubt` say what a promise is about, and no statement reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lane_store::state::Head;
use crate::parcel::{checksum, encode_slots};
use meditopia::internals::journal::round::Offsets;
use meditopia::internals::store::{
    LaneState, PauseState, Rejected, Rest, Run, StoredRun, Suspect, Totals,
};

use super::events::{Doubt, numbers_of};
use super::guards::Guards;

/// The compare-and-set of a statement found another row than its author had read (MD001).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

/// Events as they stand in a row.
#[derive(Debug, Clone)]
pub struct Rows {
    pub run: Arc<Run>,
    pub checksum: [u8; 8],
    /// The numbers of its events, in the order of the run.
    pub numbers: Arc<[u32]>,
}

impl Rows {
    pub fn of(run: Run) -> Self {
        Self {
            checksum: checksum(&run.body, &encode_slots(&run.slots)),
            numbers: numbers_of(&run).into(),
            run: Arc::new(run),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Parcel {
    pub rows: Rows,
}

#[derive(Debug, Clone)]
pub struct RunRow {
    pub origin: i64,
    pub rows: Rows,
    pub marks: u128,
}

impl RunRow {
    /// The numbers of the events that wait.
    pub fn waiting(&self) -> impl Iterator<Item = u32> {
        let numbers = self.rows.numbers.iter().enumerate();
        numbers
            .filter(|(place, _)| self.marks >> place & 1 == 0)
            .map(|(_, number)| *number)
    }

    pub fn stored(&self, id: i64) -> StoredRun {
        StoredRun {
            id,
            origin: self.origin,
            run: (*self.rows.run).clone(),
            marks: self.marks,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct SpoolRow {
    pub step: i64,
    pub nonce: u64,
    pub offsets: Offsets,
}

/// The right to change a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    pub step: i64,
    pub lease: u64,
    /// Of the statement that made this state of the row.
    pub link: u64,
}

#[derive(Debug, Clone, Default)]
pub struct SorterRow {
    pub claim: Claim,
    pub lease_until: i64,
    pub last_run: i64,
    pub appended: Vec<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct LaneRow {
    pub claim: Claim,
    pub lease_until: i64,
    pub last_suspect_run: i64,
    pub last_rejected: i64,
    pub state: LaneState,
    pub rest: Rest,
    pub pause: Option<PauseState>,
    pub totals: Totals,
    pub first_runs: [i64; 2],
    pub left_events: i64,
    /// The batch in doubt.
    pub doubt: Arc<Doubt>,
}

/// Which queue of a lane a run stands in, and its id.
pub type RunKey = (usize, u8, i64);

/// A row that a statement counts on.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub queue: u8,
    pub id: i64,
    pub checksum: [u8; 8],
}

#[derive(Debug, Clone, Default)]
pub struct Database {
    pub spools: BTreeMap<usize, SpoolRow>,
    pub last_parcel: i64,
    pub parcels: BTreeMap<i64, Parcel>,
    pub runs: BTreeMap<RunKey, RunRow>,
    pub sorter: SorterRow,
    pub lanes: Vec<LaneRow>,
    pub suspects: BTreeMap<(usize, Vec<u8>), Suspect>,
    pub refused_in_a_row: Vec<String>,
    pub rejected: BTreeMap<i64, Arc<Rejected>>,
    pub receipts: u64,
    /// The last place in the order of everything at which it was changed.
    pub place: u64,
}

/// What a step of a lane changes.
#[derive(Debug, Clone, Default)]
pub struct LaneStep {
    pub lane: usize,
    pub read: Claim,
    pub lease_until: i64,
    /// All columns that a step sets.
    pub row: LaneRow,
    /// The runs of the batch that it puts in doubt.
    pub doubted: Vec<Known>,
    /// Of which it knows every run.
    pub heads: Vec<Head>,
    pub gone: Vec<Known>,
    pub marked: Vec<(Known, u128)>,
    pub appended: Vec<(i64, RunRow)>,
    pub rejected: Vec<(i64, Rejected)>,
    pub suspects: BTreeMap<Vec<u8>, Option<Suspect>>,
    pub refused: Vec<String>,
    pub is_accepted_since: bool,
    pub receipts: u64,
}

/// What a round of the sorter changes.
#[derive(Debug, Clone, Default)]
pub struct SortStep {
    pub read: Claim,
    pub lease_until: i64,
    pub last_run: i64,
    pub appended: Vec<i64>,
    pub gone: Vec<(i64, [u8; 8])>,
    /// Lane, id, events.
    pub put: Vec<(usize, i64, Rows)>,
}

fn compare(row: Claim, read: Claim, guards: &Guards) -> Result<(), Refused> {
    let is_same = row.step == read.step && (row.lease == read.lease || !guards.lease_in_key);
    is_same
        .then_some(())
        .ok_or(Refused("another step or lease"))
}

impl Database {
    pub fn new(lanes: usize) -> Self {
        Self {
            lanes: vec![LaneRow::default(); lanes],
            sorter: SorterRow {
                appended: vec![0; lanes],
                ..SorterRow::default()
            },
            ..Self::default()
        }
    }

    /// `meditopia.begin_spool`.
    pub fn begin_spool(&mut self, spool: usize) -> SpoolRow {
        self.spools.entry(spool).or_default().clone()
    }

    /// `nextval`: it is drawn before the commit, and not given back by a rollback.
    pub fn draw_parcel(&mut self) -> i64 {
        self.last_parcel += 1;
        self.last_parcel
    }

    /// `meditopia.forward`.
    pub fn forward(
        &mut self,
        spool: usize,
        (step, after): (i64, Option<u64>),
        to: (u64, Offsets),
        parcels: Vec<(i64, Rows)>,
    ) -> Result<(), Refused> {
        let row = self.spools.get_mut(&spool).ok_or(Refused("no spool"))?;
        if row.step != step || after.is_some_and(|nonce| nonce != row.nonce) {
            return Err(Refused("another step of the spool"));
        }
        row.step += 1;
        (row.nonce, row.offsets) = to;
        let parcels = parcels.into_iter();
        self.parcels
            .extend(parcels.map(|(id, rows)| (id, Parcel { rows })));
        Ok(())
    }

    /// The commit of a transaction that has called `meditopia.enqueue`.
    pub fn enqueue(&mut self, id: i64, rows: Rows) {
        self.parcels.insert(id, Parcel { rows });
    }

    /// Takes the lease of the sorter, if nobody has it.
    pub fn take_sorter(
        &mut self,
        (lease, link): (u64, u64),
        (now_ms, until_ms): (i64, i64),
    ) -> Result<SorterRow, Refused> {
        let row = &mut self.sorter;
        if row.lease_until >= now_ms {
            return Err(Refused("the sorter's lease is another's"));
        }
        row.claim = Claim {
            step: row.claim.step + 1,
            lease,
            link,
        };
        row.lease_until = until_ms;
        Ok(row.clone())
    }

    /// Reads the sorter's row again after an error, as that of a lane.
    pub fn read_sorter_again(
        &mut self,
        known: &[u64],
        (lease, link): (u64, u64),
        until_ms: i64,
    ) -> Result<SorterRow, Refused> {
        let row = &mut self.sorter;
        if !known.contains(&row.claim.lease) {
            return Err(Refused("the lease is lost"));
        }
        row.claim.step += 1;
        row.claim.lease = lease;
        row.claim.link = link;
        row.lease_until = until_ms;
        Ok(row.clone())
    }

    /// A round of the sorter.
    pub fn sort(&mut self, step: SortStep, link: u64, guards: &Guards) -> Result<(), Refused> {
        compare(self.sorter.claim, step.read, guards)?;
        for (id, checksum) in &step.gone {
            let parcel = self.parcels.get(id).ok_or(Refused("no such parcel"))?;
            if guards.checks_parcels && parcel.rows.checksum != *checksum {
                return Err(Refused("another parcel"));
            }
        }
        for (id, _) in &step.gone {
            self.parcels.remove(id);
        }
        for (lane, id, rows) in step.put {
            let row = RunRow {
                origin: id,
                rows,
                marks: 0,
            };
            if self.runs.insert((lane, 0, id), row).is_some() {
                return Err(Refused("a run has this id"));
            }
        }
        self.sorter.claim.step += 1;
        self.sorter.claim.link = link;
        self.sorter.last_run = step.last_run;
        self.sorter.appended = step.appended;
        self.sorter.lease_until = step.lease_until;
        Ok(())
    }

    /// Takes the lease of a lane, if nobody has it.
    pub fn take_lane(
        &mut self,
        lane: usize,
        (lease, link): (u64, u64),
        (now_ms, until_ms): (i64, i64),
    ) -> Result<LaneRow, Refused> {
        let row = &mut self.lanes[lane];
        if row.lease_until >= now_ms {
            return Err(Refused("the lane's lease is another's"));
        }
        row.claim = Claim {
            step: row.claim.step + 1,
            lease,
            link,
        };
        row.lease_until = until_ms;
        Ok(row.clone())
    }

    /// Renews the lease of a lane, or gives it up.
    pub fn renew_lane(
        &mut self,
        lane: usize,
        read: Claim,
        link: u64,
        until_ms: i64,
        guards: &Guards,
    ) -> Result<(), Refused> {
        let row = &mut self.lanes[lane];
        compare(row.claim, read, guards)?;
        row.claim.step += 1;
        row.claim.link = link;
        row.lease_until = until_ms;
        Ok(())
    }

    /// Reads a lane again after an error, and draws another lease for the same owner, so that what was sent before is
    /// done by now, or never will be.
    pub fn read_lane_again(
        &mut self,
        lane: usize,
        known: &[u64],
        (lease, link): (u64, u64),
        until_ms: i64,
    ) -> Result<LaneRow, Refused> {
        let row = &mut self.lanes[lane];
        if !known.contains(&row.claim.lease) {
            return Err(Refused("the lease is lost"));
        }
        row.claim.step += 1;
        row.claim.lease = lease;
        row.claim.link = link;
        row.lease_until = until_ms;
        Ok(row.clone())
    }

    /// A step of a lane.
    pub fn step(&mut self, step: LaneStep, link: u64, guards: &Guards) -> Result<(), Refused> {
        let lane = step.lane;
        compare(self.lanes[lane].claim, step.read, guards)?;
        for known in &step.doubted {
            if guards.checks_doubted {
                self.find(lane, known, true)?;
            }
        }
        for known in &step.gone {
            self.find(lane, known, guards.checks_gone)?;
        }
        for (known, _) in &step.marked {
            self.find(lane, known, guards.checks_gone)?;
        }
        for head in &step.heads {
            let (first, last) = ((lane, head.queue, head.from), (lane, head.queue, head.upto));
            if guards.checks_heads && self.runs.range(first..=last).count() != head.runs {
                return Err(Refused("a run stands before them that was not read"));
            }
        }
        for known in &step.gone {
            self.runs.remove(&(lane, known.queue, known.id));
        }
        for (known, marks) in &step.marked {
            if let Some(row) = self.runs.get_mut(&(lane, known.queue, known.id)) {
                row.marks = *marks;
            }
        }
        for (id, row) in step.appended {
            if self.runs.insert((lane, 1, id), row).is_some() {
                return Err(Refused("a suspects' run has this id"));
            }
        }
        for (id, rejected) in step.rejected {
            if self.rejected.insert(id, Arc::new(rejected)).is_some() {
                return Err(Refused("a rejected event has this id"));
            }
        }
        for (user, suspect) in step.suspects {
            match suspect {
                Some(suspect) => _ = self.suspects.insert((lane, user), suspect),
                None => _ = self.suspects.remove(&(lane, user)),
            }
        }
        if step.is_accepted_since {
            self.refused_in_a_row.clear();
        }
        self.refused_in_a_row.extend(step.refused);
        self.receipts += step.receipts;
        let claim = self.lanes[lane].claim;
        self.lanes[lane] = LaneRow {
            claim: Claim {
                step: claim.step + 1,
                link,
                ..claim
            },
            lease_until: step.lease_until,
            ..step.row
        };
        Ok(())
    }

    fn find(&self, lane: usize, known: &Known, checks: bool) -> Result<(), Refused> {
        let row = self.runs.get(&(lane, known.queue, known.id));
        let row = row.ok_or(Refused("no such run"))?;
        match checks && row.rows.checksum != known.checksum {
            true => Err(Refused("another run")),
            false => Ok(()),
        }
    }

    /// An operator's requeue: to the end, by the sorter.
    pub fn requeue(&mut self, ids: &[i64]) -> Vec<u32> {
        let mut numbers = Vec::new();
        for id in ids {
            let Some(rejected) = self.rejected.remove(id) else {
                continue;
            };
            let mut run = Run::default();
            run.push(&rejected.event, rejected.first_ms);
            let rows = Rows::of(run);
            numbers.extend_from_slice(&rows.numbers);
            let id = self.draw_parcel();
            self.parcels.insert(id, Parcel { rows });
        }
        numbers
    }

    /// The numbers of all events that a row holds, those that are rejected too.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        let parcels = self
            .parcels
            .values()
            .flat_map(|parcel| &*parcel.rows.numbers);
        parcels.copied().chain(self.pending_in_lanes()).chain(
            self.rejected
                .values()
                .map(|rejected| super::events::number_of(&rejected.event)),
        )
    }

    pub fn pending_in_lanes(&self) -> impl Iterator<Item = u32> {
        self.runs.values().flat_map(RunRow::waiting)
    }

    /// Whether the sums say what the rows say: of each lane, what was appended less what has left. And whether no run
    /// waits before the first one that is read.
    pub fn check_sums(&self) -> Result<(), String> {
        let mut counted = vec![0_u64; self.lanes.len()];
        for ((lane, queue, id), row) in &self.runs {
            if *id < self.lanes[*lane].first_runs[usize::from(*queue)] {
                return Err(format!("lane {lane}: run {id} waits and is never read"));
            }
            counted[*lane] += row.waiting().count() as u64;
        }
        for (lane, counted) in counted.into_iter().enumerate() {
            let (appended, left) = (self.sorter.appended[lane], self.lanes[lane].left_events);
            if appended - left != counted as i64 {
                return Err(format!(
                    "lane {lane}: {appended} appended and {left} left, and {counted} wait"
                ));
            }
        }
        Ok(())
    }
}
