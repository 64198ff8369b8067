//! What the library finds when it opens a spool. This is the real code, in this process.

use std::path::Path;

use meditopia::internals::journal::round::{Offsets, Round};
use meditopia::internals::spool::{Destination, NetworkFileSystem, Spool};
use meditopia::internals::store::reader::ListPosition;
use meditopia::internals::store::{
    HostStore, LaneState, LogStore, Place, Reader, RejectedFilter, Store, StoredRun,
};
use meditopia::{Error, ErrorKind, Result};

use super::api;
use super::workload::Workload;

const PAGE: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// How the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As commands that list events open it.
    Reader,
    /// As the elected sender opens it, which makes of what a cut has left a store to go on with.
    Sender,
}

/// A pending event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub number: usize,
    pub user: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of delivery: the suspects of each lane, its regular queue, the journal.
    pub pending: Vec<Pending>,
    /// How many of `pending` are in the store.
    pub in_store: usize,
    /// How many the store says it has.
    pub counted: u64,
    /// The events of the batches in doubt, and the number of batches.
    pub in_doubt: Vec<usize>,
    pub batches_in_doubt: usize,
    pub rejected: Vec<usize>,
    /// The number of ranges in the journal that are not records and have records after them.
    pub damage: usize,
}

enum OpenStore {
    Missing,
    Reader(Box<Reader>),
    Sender(Box<LogStore>),
}

impl OpenStore {
    fn open(spool: &Spool, wanted: Access) -> Result<Self> {
        Ok(match wanted {
            Access::Reader => {
                Reader::open(spool)?.map_or(Self::Missing, |it| Self::Reader(Box::new(it)))
            }
            Access::Sender => Self::Sender(Box::new(LogStore::open(spool)?)),
        })
    }

    fn offsets(&self) -> Offsets {
        match self {
            Self::Missing => Offsets::new(),
            Self::Reader(store) => store.offsets(),
            Self::Sender(store) => store.offsets(),
        }
    }

    fn lane(&self, lane: u8) -> LaneState {
        let known = match self {
            Self::Missing => None,
            Self::Reader(store) => store.lanes().into_iter().find(|(known, _)| *known == lane),
            Self::Sender(store) => Some((lane, store.lane(lane))),
        };
        known.map(|(_, state)| state).unwrap_or_default()
    }

    fn pending_count(&self) -> u64 {
        match self {
            Self::Missing => 0,
            Self::Reader(store) => store.totals().pending,
            Self::Sender(store) => store.totals().pending,
        }
    }

    /// All runs of a queue, in order.
    fn runs(&mut self, place: Place) -> Result<Vec<StoredRun>> {
        match self {
            Self::Missing => Ok(Vec::new()),
            Self::Reader(store) => store.first_runs_with(place, usize::MAX),
            Self::Sender(store) => {
                let mut all: Vec<StoredRun> = Vec::new();
                loop {
                    let after = all.last().map_or(0, |run| run.id);
                    let runs = store.runs(place, after, PAGE)?;
                    if runs.is_empty() {
                        return Ok(all);
                    }
                    all.extend(runs);
                }
            }
        }
    }

    fn rejected(&mut self) -> Result<Vec<usize>> {
        let all = RejectedFilter::default();
        let rows = match self {
            Self::Missing => Vec::new(),
            Self::Reader(store) => store.rejected(&all, usize::MAX)?,
            Self::Sender(store) => store.rejected_matching(&all, usize::MAX)?,
        };
        let numbers = rows.iter().flat_map(|(_, row)| api::events(&row.event));
        Ok(numbers.map(|(number, _)| number).collect())
    }

    /// How many runs a list of what is pending shows.
    fn listed_runs(&mut self) -> Result<Option<usize>> {
        let Self::Reader(reader) = self else {
            return Ok(None);
        };
        let (mut position, mut count) = (ListPosition::from_run(0), 0);
        loop {
            match reader.next_runs(&mut position, PAGE)?.len() {
                0 => return Ok(Some(count)),
                more => count += more,
            }
        }
    }
}

impl Found {
    /// Opens the spool at `dir`, as `workload` has left it, and reads all of it.
    pub fn read(dir: &Path, workload: &Workload, wanted: Access) -> Result<Self> {
        let destination = Destination {
            endpoint: &workload.endpoint,
            account: "",
        };
        let spool = Spool::open(dir, destination, NetworkFileSystem::Refuse)?;
        let mut store = OpenStore::open(&spool, wanted)?;
        let mut found = Self {
            rejected: store.rejected()?,
            ..Self::default()
        };
        let mut runs = 0;
        for lane in 0..workload.lanes as u8 {
            let state = store.lane(lane);
            for queue in [1, 0] {
                runs += found.read_queue(&mut store, Place { lane, queue }, &state)?;
            }
        }
        found.in_store = found.pending.len();
        found.counted = store.pending_count();
        if let Some(listed) = store.listed_runs()?
            && listed != runs
        {
            let what = format!("a list shows {listed} runs of {runs}");
            return Err(Error::new(ErrorKind::Internal, what));
        }
        let mut round = Round::begin(&spool, &store.offsets())?;
        loop {
            let chunk = round.read_chunk(CHUNK_BYTES, |fragment, _| {
                found.pending.extend(pending(fragment));
            })?;
            found.damage += chunk.damage.len();
            if !chunk.more {
                return Ok(found);
            }
        }
    }

    /// Reads a queue; says of how many runs.
    fn read_queue(
        &mut self,
        store: &mut OpenStore,
        place: Place,
        state: &LaneState,
    ) -> Result<usize> {
        let first = self.pending.len();
        let runs = store.runs(place)?;
        for stored in &runs {
            assert_eq!(stored.run.events().count(), stored.run.slots.len());
            let waiting = stored.waiting();
            self.pending
                .extend(waiting.flat_map(|(_, fragment, _)| pending(fragment)));
        }
        if let Some(batch) = state.in_doubt
            && batch.queue == place.queue
        {
            let in_doubt = self.pending[first..].iter().take(batch.events as usize);
            self.in_doubt.extend(in_doubt.map(|event| event.number));
            self.batches_in_doubt += 1;
        }
        Ok(runs.len())
    }
}

fn pending(bytes: &[u8]) -> impl Iterator<Item = Pending> {
    api::events(bytes).map(|(number, user)| Pending { number, user })
}
