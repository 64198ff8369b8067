//! What the library finds when it opens a spool: the real code, in this process.

use std::collections::BTreeMap;
use std::path::Path;

use meditopia::Result;
use meditopia::internals::journal::round::{Offsets, Round};
use meditopia::internals::spool::{Destination, NetworkFileSystem, Spool};
use meditopia::internals::store::sqlite::{Reader, SqliteStore};
use meditopia::internals::store::{LaneState, Place, RejectedFilter, Store, StoredRun};

use super::api;
use super::life::Life;

const PAGE: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// As whom to look at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// Whoever lists events; a store that only a sender can open is opened as one.
    Reader,
    /// The elected sender.
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
    /// In the order in which they would go: the suspects of each lane, its queue, the journal.
    pub pending: Vec<Pending>,
    /// How many of `pending` stand in the store.
    pub in_store: usize,
    /// The members of the batches in doubt, and the number of batches.
    pub in_doubt: Vec<usize>,
    pub batches_in_doubt: usize,
    pub rejected: Vec<usize>,
    /// Places of the journal that are no record, with whole records behind them.
    pub damage: usize,
    /// The sender has written to the store.
    pub store_touched: bool,
}

enum Opened {
    Nothing,
    Looking(Reader),
    Sending(Box<SqliteStore>),
}

impl Opened {
    fn open(spool: &Spool, wanted: As) -> Result<Self> {
        if !spool.store_path().exists() {
            return Ok(Self::Nothing);
        }
        // Left by a death in the middle of the store's creation: only a sender may roll it back.
        let creating = spool.dir().join("store.db-journal").exists();
        if wanted == As::Reader
            && !creating
            && let Some(reader) = Reader::open(spool)?
        {
            return Ok(Self::Looking(reader));
        }
        Ok(Self::Sending(Box::new(SqliteStore::open(spool)?)))
    }

    fn offsets(&self) -> Result<Offsets> {
        match self {
            Self::Nothing => Ok(Offsets::new()),
            Self::Looking(store) => store.offsets(),
            Self::Sending(store) => store.offsets(),
        }
    }

    fn lanes(&self, lanes: u8) -> Result<BTreeMap<u8, LaneState>> {
        match self {
            Self::Nothing => Ok(BTreeMap::new()),
            Self::Looking(store) => Ok(store.lanes()?.into_iter().collect()),
            Self::Sending(store) => (0..lanes)
                .map(|lane| Ok((lane, store.lane(lane)?)))
                .collect(),
        }
    }

    fn runs(&self, place: Place, after: i64) -> Result<Vec<StoredRun>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Looking(store) => store.runs(place, after, PAGE),
            Self::Sending(store) => store.runs(place, after, PAGE),
        }
    }

    fn rejected(&self, events: usize) -> Result<Vec<usize>> {
        // An event that is requeued and refused again has another row.
        let most = 2 * events as i64;
        let rows = match self {
            Self::Nothing => Vec::new(),
            Self::Looking(store) => store.rejected(&RejectedFilter::default(), most as usize)?,
            Self::Sending(store) => store.rejected(&(1..=most.min(1_000)).collect::<Vec<_>>())?,
        };
        let numbers = rows.iter().flat_map(|(_, row)| api::events(&row.event));
        Ok(numbers.map(|(number, _)| number).collect())
    }
}

impl Found {
    /// Opens the spool at `dir`, as `life` has left it, and looks at all of it.
    pub fn at(dir: &Path, life: &Life, wanted: As) -> Result<Self> {
        let destination = Destination {
            endpoint: &life.endpoint,
            account: "",
        };
        let spool = Spool::open(dir, destination, NetworkFileSystem::Refuse)?;
        let store = Opened::open(&spool, wanted)?;
        let mut found = Self {
            store_touched: matches!(store, Opened::Sending(_)),
            rejected: store.rejected(life.recording.events())?,
            ..Self::default()
        };
        let lanes = store.lanes(life.lanes as u8)?;
        for lane in 0..life.lanes as u8 {
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

    fn read_queue(&mut self, store: &Opened, place: Place, state: &LaneState) -> Result<()> {
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
            "skips what is not there"
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
