//! What the sender of a host knows while it is elected: the lanes of its store, and how far its journal
//! is taken over. One step is one commit.

use std::sync::Arc;

use crate::clock::BootTime;
use crate::dispatch::{self, Dispatcher};
use crate::error::Result;
use crate::journal::round::Offsets;
use crate::log::Log;
use crate::store::FileStore;

pub(super) struct State {
    pub(super) dispatcher: Dispatcher<dyn FileStore>,
    pub(super) offsets: Offsets,
    /// How many files of the journal that are no segments were named last.
    pub(super) foreign_named: usize,
    /// Everything enqueued up to this time is taken over.
    pub(super) taken_upto: BootTime,
    /// The journal holds more than the disk has room for in the store.
    pub(super) take_over_is_limited: bool,
}

impl State {
    /// Reads what the last sender left.
    pub(super) fn open(
        store: Box<dyn FileStore>,
        options: dispatch::Options,
        log: Arc<Log>,
    ) -> Result<Self> {
        let offsets = store.offsets();
        Ok(Self {
            dispatcher: Dispatcher::open(store, options, log)?,
            offsets,
            foreign_named: 0,
            taken_upto: BootTime::default(),
            take_over_is_limited: false,
        })
    }
}
