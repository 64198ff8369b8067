//! What has to be true of a recovery, whatever bytes it was given.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::disk::MemoryDisk;
use crate::error::ErrorKind;
use crate::spool::{Destination, NetworkFileSystem, Spool};
use crate::store::contract::{HostStore, Store};
use crate::store::disk::{Disk, Folder};
use crate::store::log_store::LogStore;
use crate::store::recover::{Repair, Salvage, recover_on};
use crate::store::{Place, Rejected, RejectedFilter, StoredRun};

/// The boot of the spool in which recoveries run.
pub(super) const BOOT: u32 = 1;

/// A directory for what a recovery does outside of the store's files.
struct Outside {
    dir: PathBuf,
    spool: Spool,
}

impl Outside {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("meditopia-fuzz-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        let destination = Destination {
            endpoint: "https://api.example/events",
            account: "",
        };
        let spool = Spool::open(&dir.join("spool"), destination, NetworkFileSystem::Refuse);
        let spool = spool.unwrap();
        assert_eq!(spool.boot_count(), BOOT);
        Self { dir, spool }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

thread_local! {
    static OUTSIDE: OnceCell<Outside> = const { OnceCell::new() };
}

fn lane_of(user: &[u8], lanes: usize) -> usize {
    usize::from(user.last().copied().unwrap_or(0)) % lanes
}

/// Recovers a store. `None`: a newer version wrote it, or it has given all numbers there are; then it is left
/// alone.
fn recover(disk: &MemoryDisk, repair: Repair) -> Option<Salvage> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let done = OUTSIDE.with(|outside| {
        let outside = outside.get_or_init(Outside::new);
        recover_on(&disk, &outside.spool, repair, lane_of)
    });
    match done {
        Ok(salvage) => {
            if let Some(kept) = &salvage.kept {
                // Nothing is in it: the files are on the other disk.
                let _ = fs::remove_dir(kept);
            }
            Some(salvage)
        }
        Err(e) => {
            let is_newer = e.kind() == ErrorKind::Store && e.pause_reason().is_none();
            assert!(is_newer, "{e}");
            None
        }
    }
}

/// What a sender reads of a store.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) runs: BTreeMap<Place, Vec<StoredRun>>,
    pub(super) rejected: BTreeMap<i64, Rejected>,
    /// Events that wait, as the sums say.
    pub(super) pending: u64,
}

impl Seen {
    pub(super) fn waiting(&self) -> u64 {
        let runs = self.runs.values().flatten();
        runs.map(|run| run.waiting_count() as u64).sum()
    }
}

/// Opens a store and reads all of it. `None`: it is damaged, or of a newer version.
pub(super) fn read(disk: &MemoryDisk, boot_count: u32) -> Option<Seen> {
    let mut store = LogStore::open_on(Arc::new(disk.clone()), boot_count).ok()?;
    let places: Vec<Place> = store.fold.places().map(|(place, _)| place).collect();
    let mut seen = Seen {
        pending: store.totals().pending,
        ..Seen::default()
    };
    for place in places {
        let runs = store.runs(place, 0, usize::MAX).ok()?;
        if !runs.is_empty() {
            seen.runs.insert(place, runs);
        }
    }
    store.first_origin().ok()?;
    store.offsets();
    let all = store.rejected_matching(&RejectedFilter::default(), usize::MAX);
    seen.rejected = all.ok()?.into_iter().collect();
    Some(seen)
}

/// Recovers a store and checks what follows. `seen` is what a sender could read of it: what one reader
/// accepts, a recovery keeps.
pub(super) fn check(disk: &MemoryDisk, seen: Option<&Seen>) {
    let before = disk.contents();
    let looked = recover(disk, Repair::Look);
    assert!(disk.contents() == before, "to look has changed it");
    let done = recover(disk, Repair::Replace);
    let unkept = done.clone().map(|done| Salvage { kept: None, ..done });
    let Some(done) = done else { return };
    assert_eq!(looked, unkept);
    assert_eq!(done.kept.is_some(), done.damage.is_some());
    if done.kept.is_some() {
        let again = recover(disk, Repair::Look).unwrap();
        assert_eq!(again.damage, None, "{done:?}");
        assert_eq!(
            (again.pending, again.rejected),
            (done.pending, done.rejected)
        );
    }
    // What has not been replaced may be cut by a power cut; then the journal has what is not read.
    let boots = match done.kept {
        Some(_) => BOOT..BOOT + 2,
        None => BOOT..BOOT + 1,
    };
    if before.keys().any(|(folder, _)| *folder == Folder::Ledger) || done.kept.is_some() {
        for boot_count in boots {
            let found = read(&disk.copy(), boot_count);
            let found = found.unwrap_or_else(|| panic!("it is damaged again: {done:?}"));
            assert_eq!(found.waiting(), done.pending, "{done:?}");
            assert_eq!(found.pending, done.pending, "{done:?}");
            assert_eq!(found.rejected.len() as u64, done.rejected, "{done:?}");
            if let Some(seen) = seen {
                check_nothing_is_less(seen, &found, &done);
            }
        }
    }
}

fn check_nothing_is_less(seen: &Seen, found: &Seen, done: &Salvage) {
    if !done.loses_events() {
        for (place, runs) in &seen.runs {
            let kept = found.runs.get(place).map(Vec::as_slice).unwrap_or_default();
            for run in runs {
                let is_kept = kept.iter().any(|kept| kept.run == run.run);
                assert!(is_kept, "{place:?}, {run:?}: {done:?}");
            }
        }
        for (id, event) in &seen.rejected {
            assert_eq!(found.rejected.get(id), Some(event), "{id}: {done:?}");
        }
    }
}
