//! Stores that are closed and opened again, what a kind of them has that another has not, and the model.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use super::model::{Model, Saved};
use crate::mutex::lock;
use crate::store::contract::{Change, HostStore, Store};
use crate::store::{Place, Receipt, Run};

/// What a kind of store has that the contract leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Has {
    /// Its lanes. A store of one lane does not keep their number.
    pub lanes: u8,
    /// Its caller appends to the regular queues. Otherwise somebody else does, at any time.
    pub regular_appends: bool,
    /// The bytes of what waits are counted, too.
    pub counted_bytes: bool,
    /// How many random lives are lived in step with the model.
    pub lives: u64,
}

impl Has {
    /// What the store of a host has.
    pub const ALL: Self = Self {
        lanes: 3,
        regular_appends: true,
        counted_bytes: true,
        lives: 40,
    };

    /// Its last lane.
    pub fn last_lane(&self) -> u8 {
        self.lanes - 1
    }

    /// Every queue of its lanes.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        (0..self.lanes).flat_map(|lane| [0, 1].map(|queue| Place { lane, queue }))
    }
}

/// A store that can be opened, and opened again once it is closed.
pub trait Kept {
    /// What it has.
    fn has(&self) -> Has {
        Has::ALL
    }

    /// A new one of the same kind, in which nothing was ever committed.
    fn another(&self) -> Box<dyn Kept>;

    /// Has these runs at the ends of their queues, in this order: in one commit of the store, if its caller appends to
    /// the regular queues.
    fn append(&self, store: &mut dyn Store, runs: &[(Place, &Run)]) {
        let changes: Vec<Change<'_>> = runs
            .iter()
            .map(|(place, run)| Change::Append {
                place: *place,
                origin: None,
                run,
            })
            .collect();
        store.commit(&changes).unwrap();
    }

    /// Opens the store as the last commit has left it.
    fn open(&self) -> Opened;

    /// The receipts that are kept, in order; none of a store that nobody can ask for them.
    fn receipts(&self) -> Vec<Receipt> {
        Vec::new()
    }
}

/// An open store.
pub enum Opened {
    /// One that has all that the lanes need.
    Store(Box<dyn Store>),
    /// One that a journal is taken over into, too.
    HostStore(Box<dyn HostStore>),
}

impl Opened {
    /// What a host's store does besides; `None` if this is none.
    pub fn host(&mut self) -> Option<&mut dyn HostStore> {
        match self {
            Self::Store(_) => None,
            Self::HostStore(store) => Some(&mut **store),
        }
    }
}

impl Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Store(store) => &**store,
            Self::HostStore(store) => &**store,
        }
    }
}

impl DerefMut for Opened {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Store(store) => &mut **store,
            Self::HostStore(store) => &mut **store,
        }
    }
}

/// The model.
pub struct InMemory {
    saved: Arc<Mutex<Saved>>,
    is_of_a_host: bool,
    has: Has,
}

impl InMemory {
    /// A store that has what lanes need, and nothing else.
    pub fn of_lanes() -> Self {
        Self {
            saved: Arc::default(),
            is_of_a_host: false,
            has: Has::ALL,
        }
    }

    /// Opens the store as the last commit has left it, for what knows only lanes.
    pub fn open_for_lanes(&self) -> Box<dyn Store> {
        Box::new(Model::open(&self.saved))
    }

    /// One that has this and no more, and takes a journal over.
    pub(super) fn with(has: Has) -> Self {
        Self {
            has,
            ..Self::of_a_host()
        }
    }

    /// A store that a journal is taken over into, too.
    pub fn of_a_host() -> Self {
        Self {
            saved: Arc::default(),
            is_of_a_host: true,
            has: Has::ALL,
        }
    }
}

impl Kept for InMemory {
    fn has(&self) -> Has {
        self.has
    }

    fn another(&self) -> Box<dyn Kept> {
        Box::new(Self {
            saved: Arc::default(),
            ..*self
        })
    }

    fn open(&self) -> Opened {
        let model = Box::new(Model::open(&self.saved));
        match self.is_of_a_host {
            true => Opened::HostStore(model),
            false => Opened::Store(model),
        }
    }

    fn receipts(&self) -> Vec<Receipt> {
        lock(&self.saved).receipts()
    }
}
