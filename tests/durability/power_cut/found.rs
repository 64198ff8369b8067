//! What the library finds when it opens a spool. This is the real code, in this process.

use std::collections::BTreeMap;
use std::path::Path;

use meditopia::Result;
use meditopia::internals::journal::round::{Offsets, Round};
use meditopia::internals::spool::{Destination, NetworkFileSystem, Spool};
use meditopia::internals::store::sqlite::{Reader, SqliteStore};
use meditopia::internals::store::{LaneState, Place, RejectedFilter, Store, StoredRun};

use super::api;
use super::workload::Workload;

const PAGE: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// How the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As commands that list events open it. A store that only a sender can open is opened by a
    /// sender.
    Reader,
    /// As the elected sender opens it.
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
    /// The events of the batches in doubt, and the number of batches.
    pub in_doubt: Vec<usize>,
    pub batches_in_doubt: usize,
    pub rejected: Vec<usize>,
    /// The number of ranges in the journal that are not records and have records after them.
    pub damage: usize,
    /// Whether a sender opened the store, and may have written to it.
    pub store_changed: bool,
}

enum OpenStore {
    Missing,
    Reader(Reader),
    Sender(Box<SqliteStore>),
}

impl OpenStore {
    fn open(spool: &Spool, wanted: Access) -> Result<Self> {
        if !spool.store_path().exists() {
            return Ok(Self::Missing);
        }
        // A kill during the store's creation leaves this file, and only a sender may roll it back.
        let creating = spool.dir().join("store.db-journal").exists();
        if wanted == Access::Reader
            && !creating
            && let Some(reader) = Reader::open(spool)?
        {
            return Ok(Self::Reader(reader));
        }
        Ok(Self::Sender(Box::new(SqliteStore::open(spool)?)))
    }

    fn offsets(&self) -> Result<Offsets> {
        match self {
            Self::Missing => Ok(Offsets::new()),
            Self::Reader(store) => store.offsets(),
            Self::Sender(store) => store.offsets(),
        }
    }

    fn lanes(&self, lanes: u8) -> Result<BTreeMap<u8, LaneState>> {
        match self {
            Self::Missing => Ok(BTreeMap::new()),
            Self::Reader(store) => Ok(store.lanes()?.into_iter().collect()),
            Self::Sender(store) => (0..lanes)
                .map(|lane| Ok((lane, store.lane(lane)?)))
                .collect(),
        }
    }

    fn runs(&self, place: Place, after: i64) -> Result<Vec<StoredRun>> {
        match self {
            Self::Missing => Ok(Vec::new()),
            Self::Reader(store) => store.runs(place, after, PAGE),
            Self::Sender(store) => store.runs(place, after, PAGE),
        }
    }

    fn rejected(&self, events: usize) -> Result<Vec<usize>> {
        // An event that is requeued and refused again has another row.
        let most = 2 * events as i64;
        let rows = match self {
            Self::Missing => Vec::new(),
            Self::Reader(store) => store.rejected(&RejectedFilter::default(), most as usize)?,
            Self::Sender(store) => store.rejected(&(1..=most.min(1_000)).collect::<Vec<_>>())?,
        };
        let numbers = rows.iter().flat_map(|(_, row)| api::events(&row.event));
        Ok(numbers.map(|(number, _)| number).collect())
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
        let store = OpenStore::open(&spool, wanted)?;
        let mut found = Self {
            store_changed: matches!(store, OpenStore::Sender(_)),
            rejected: store.rejected(workload.recording.event_count())?,
            ..Self::default()
        };
        let lanes = store.lanes(workload.lanes as u8)?;
        for lane in 0..workload.lanes as u8 {
            let state = lanes.get(&lane).cloned().unwrap_or_default();
            for queue in [1, 0] {
                found.read_queue(&store, Place { lane, queue }, &state)?;
            }
        }
        found.in_store = found.pending.len();
        let mut round = Round::begin(&spool, &store.offsets()?)?;
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

    fn read_queue(&mut self, store: &OpenStore, place: Place, state: &LaneState) -> Result<()> {
        let first = self.pending.len();
        let mut after = 0;
        loop {
            let runs = store.runs(place, after)?;
            let Some(last) = runs.last() else { break };
            after = last.id;
            for stored in &runs {
                assert_eq!(stored.run.events().count(), stored.run.slots.len());
                self.pending.extend(pending(&stored.run.body));
            }
        }
        let skip = state.queues[usize::from(place.queue)].skip as usize;
        assert!(
            first + skip <= self.pending.len(),
            "skips more events than there are"
        );
        self.pending.drain(first..first + skip);
        if let Some(batch) = state.in_doubt
            && batch.queue == place.queue
        {
            let batch = self.pending[first..].iter().take(batch.events as usize);
            self.in_doubt.extend(batch.map(|event| event.number));
            self.batches_in_doubt += 1;
        }
        Ok(())
    }
}

fn pending(bytes: &[u8]) -> impl Iterator<Item = Pending> {
    api::events(bytes).map(|(number, user)| Pending { number, user })
}
