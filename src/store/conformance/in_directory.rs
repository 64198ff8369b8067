//! The store of a host in a real directory.

use std::io;

use tempfile::TempDir;

use super::kept::{Kept, Opened};
use crate::spool::Spool;
use crate::spool::tests::new_spool_in;
use crate::store::contract::{FileStore, Store};
use crate::store::guards::shrink;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::{Reader, Receipt, ReceiptFilter};

/// How large files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    AsInUse,
    Small,
}

/// A log store in a spool of its own.
pub(super) struct InDirectory {
    spool: Spool,
    size: Size,
    _parent: TempDir,
}

impl InDirectory {
    pub(super) fn new() -> Self {
        Self::with_files(Size::AsInUse, tempfile::tempdir())
    }

    /// One that begins files of 4 KiB at most, and gives back what it can whenever it is opened: so that
    /// what is read stands in many files, some of which were replaced.
    pub(super) fn with_small_files() -> Self {
        Self::with_files(Size::Small, tempfile::tempdir())
    }

    fn with_files(size: Size, parent: io::Result<TempDir>) -> Self {
        let parent = parent.unwrap();
        Self {
            spool: new_spool_in(parent.path()),
            size,
            _parent: parent,
        }
    }
}

impl Kept for InDirectory {
    fn another(&self) -> Box<dyn Kept> {
        // A test that needs many opens them hundreds of times: on a disk, it would mostly wait for syncs.
        let parent = match tempfile::tempdir_in("/dev/shm") {
            Err(_) => tempfile::tempdir(),
            in_memory => in_memory,
        };
        Box::new(Self::with_files(self.size, parent))
    }

    fn open(&self) -> Opened {
        let mut store = LogStore::open(&self.spool).unwrap();
        if self.size == Size::Small {
            shrink(11);
            give_back(&mut store);
        }
        Opened::HostStore(Box::new(store))
    }

    fn receipts(&self) -> Vec<Receipt> {
        let reader = Reader::open(&self.spool).unwrap().unwrap();
        let found = reader.receipts(&ReceiptFilter::default(), usize::MAX);
        let found = found.unwrap().into_iter();
        found.map(|(_, receipt)| receipt).collect()
    }
}

impl Drop for InDirectory {
    fn drop(&mut self) {
        if self.size == Size::Small {
            shrink(0);
        }
    }
}

/// What a sender does for the files between its steps.
fn give_back(store: &mut LogStore) {
    let disk = store.disk();
    let point = store.note_sync_point();
    store.syncs().sync_until(point.seq()).unwrap();
    let seq = store.commit_sync_point().unwrap();
    store.syncs().sync_until(seq).unwrap();
    point.mark(&*disk).unwrap();
    point.remove(&*disk).unwrap();
    store.forget_removed(&point).unwrap();
    let spare = SpareLedger::take(&*disk).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
}
