//! The files of a log store that have to be synced before its records count as durable.
//!
//! The files of queues and rejected events that were written to are synced first, and the ledger, which
//! speaks of them, then.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use super::disk::{Access, Disk, DiskFile, Folder};
use super::fold::Fold;
use super::syncs::MakeDurable;
use super::{failed_syncs, ledger};
use crate::mutex::lock;

/// The ledger that is written to now, and the files that its records speak of.
#[derive(Debug)]
pub(super) struct UnsyncedFiles {
    disk: Arc<dyn Disk>,
    ledger: Arc<dyn DiskFile>,
    ledger_number: u64,
    touched: Mutex<Touched>,
    /// The files whose sync has failed: nothing may be written to them any more.
    failed: Mutex<Touched>,
    /// Held while files are synced: who finds nothing to sync must not be done before whoever syncs it.
    syncing: Mutex<()>,
}

/// What was written to since the last sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) files: BTreeSet<(Folder, String)>,
    pub(super) folders: BTreeSet<Folder>,
    pub(super) ledger: bool,
}

impl Touched {
    /// Every file that the state speaks of, as if it had been written to.
    pub(super) fn of(fold: &Fold) -> Self {
        let mut touched = Self::default();
        for (place, queue) in fold.places() {
            for file in queue.files_in_use() {
                let name = super::queue_file::file_name(place, file.number);
                touched.files.insert((Folder::Queues, name));
                touched.folders.insert(Folder::Queues);
            }
        }
        for file in &fold.rejected {
            let name = super::rejected_file::file_name(file.number);
            touched.files.insert((Folder::Rejected, name));
            touched.folders.insert(Folder::Rejected);
        }
        touched
    }

    fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.folders.extend(other.folders);
        self.ledger |= other.ledger;
    }
}

impl UnsyncedFiles {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        (ledger, ledger_number): (Arc<dyn DiskFile>, u64),
        (touched, failed): (Touched, Touched),
    ) -> Self {
        Self {
            disk,
            ledger,
            ledger_number,
            touched: Mutex::new(touched),
            failed: Mutex::new(failed),
            syncing: Mutex::default(),
        }
    }

    /// Bytes were written to a file, of which the next record will speak.
    pub(super) fn touch(&self, folder: Folder, name: String) {
        lock(&self.touched).files.insert((folder, name));
    }

    /// A name was given in a folder.
    pub(super) fn touch_folder(&self, folder: Folder) {
        lock(&self.touched).folders.insert(folder);
    }

    /// Notes that a sync has failed, of these files or of the ledger, for whoever opens the store next.
    fn note_failed(&self, files: impl IntoIterator<Item = (Folder, String)>) {
        let mut failed = lock(&self.failed);
        failed.files.extend(files);
        // Where even that fails, only this process knows.
        let _ = failed_syncs::note(&*self.disk, self.ledger_number, &failed);
    }

    /// Syncs what was touched, without the ledger.
    pub(super) fn sync_touched(&self) -> std::result::Result<(), (String, io::Error)> {
        let _syncing = lock(&self.syncing);
        let touched = std::mem::take(&mut *lock(&self.touched));
        let mut outcome = Ok(());
        let mut failing = Vec::new();
        let failed = lock(&self.failed).clone();
        for (folder, name) in &touched.files {
            if failed.files.contains(&(*folder, name.clone())) {
                let what = "its sync has failed before, and another one would say nothing";
                let name = self.disk.describe(Some((*folder, name)));
                outcome = Err((name, io::Error::other(what)));
                break;
            }
            let file = match self.disk.open(*folder, name, Access::Read) {
                Ok(file) => file,
                // Removed since: nothing speaks of it any more.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    outcome = Err((self.disk.describe(Some((*folder, name))), e));
                    break;
                }
            };
            if let Err(e) = file.sync() {
                failing.push((*folder, name.clone()));
                outcome = Err((self.disk.describe(Some((*folder, name))), e));
            }
        }
        if outcome.is_ok() {
            for folder in &touched.folders {
                if let Err(e) = self.disk.sync(*folder) {
                    // The names may be lost: the files need others.
                    let named = touched.files.iter().filter(|(of, _)| of == folder);
                    failing.extend(named.cloned());
                    outcome = Err((folder.name().to_owned(), e));
                    break;
                }
            }
        }
        if outcome.is_err() {
            lock(&self.touched).extend(touched);
        }
        // Only now: another thread may replace the files that have failed at once, and forget them.
        if !failing.is_empty() {
            self.note_failed(failing);
        }
        outcome
    }

    /// A file is not used any more.
    pub(super) fn forget(&self, folder: Folder, name: &str) {
        lock(&self.touched).files.remove(&(folder, name.to_owned()));
    }

    /// The files whose sync has failed.
    pub(super) fn failed(&self) -> Touched {
        lock(&self.failed).clone()
    }
}

impl MakeDurable for UnsyncedFiles {
    fn sync_all(&self) -> std::result::Result<(), (String, io::Error)> {
        let name = ledger::file_name(self.ledger_number);
        let named = |e| (self.disk.describe(Some((Folder::Ledger, &name))), e);
        if lock(&self.failed).ledger {
            let what = "a sync has failed, and the ledger has to go on in another file";
            return Err(named(io::Error::other(what)));
        }
        let synced = self.sync_touched().and_then(|()| {
            self.ledger.sync().map_err(|e| {
                self.note_failed(None);
                named(e)
            })
        });
        if synced.is_err() {
            // Whatever it was: no later sync of this ledger would count.
            lock(&self.failed).ledger = true;
        }
        synced
    }
}
