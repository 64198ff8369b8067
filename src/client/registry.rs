//! Which spools this process has open: one core for each.
//!
//! A core with `role = enqueue` stays open after its last client, so that a php-fpm worker opens
//! the spool once and not at every request. A core with `role = both` is closed with its last
//! client. A process that opens many spools keeps only a few cores without a client. Cores are
//! opened and closed outside of the lock, under which nothing waits for a disk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use once_cell::race::OnceBox;

use super::core::Core;
use crate::config::{self, Settings, TokenSource};
use crate::error::{Error, ErrorKind, Result};
use crate::mutex::lock;
use crate::process::PerProcess;
use crate::spool::{DirectoryId, GroupTrust};

type Cores = Mutex<HashMap<DirectoryId, Arc<Core>>>;

/// How many cores may stay open without a client; each keeps a segment and the spool's directory open.
const IDLE_MAX: usize = 8;

fn cores() -> &'static Cores {
    static CORES: OnceBox<PerProcess<Cores>> = OnceBox::new();
    CORES
        .get_or_init(|| Box::new(PerProcess::new(Cores::default())))
        .get(|_| Cores::default())
}

/// Calls `during` while a thread has the cores locked.
#[cfg(test)]
pub(super) fn while_locked<T>(during: impl FnOnce() -> T) -> T {
    let _cores = lock(cores());
    during()
}

/// The core for these settings, open already or new, with one more client counted. The bearer token of a
/// later client replaces that of earlier ones, because later calls win.
pub(super) fn open(settings: Settings) -> Result<Arc<Core>> {
    if let Some(known) = find(&settings) {
        if let TokenSource::Given(token) = settings.bearer_token {
            known.sender.replace_token(token);
        }
        return Ok(known);
    }
    let fresh = Arc::new(Core::open(settings)?);
    match insert(&fresh)? {
        Inserted::Fresh { replaced, idle } => {
            if let Some(replaced) = replaced {
                replaced.writer.close();
            }
            drop(idle);
            Ok(fresh)
        }
        Inserted::Known(known) => {
            if let Some(token) = fresh.sender.token().current() {
                known.sender.replace_token((*token).clone());
            }
            Ok(known)
        }
    }
}

/// The core that clients with the settings of a new one use.
enum Inserted {
    /// The new one. The others have no client, and are closed outside of the lock.
    Fresh {
        replaced: Option<Arc<Core>>,
        idle: Vec<Arc<Core>>,
    },
    /// One that another thread has inserted meanwhile, or that a new path led to.
    Known(Arc<Core>),
}

/// Inserts `fresh`, unless there is a core for its settings; one more client is counted.
fn insert(fresh: &Arc<Core>) -> Result<Inserted> {
    let mut cores = lock(cores());
    let directory = fresh.spool.directory_id();
    if let Some(known) = cores.get(&directory) {
        match config::conflict(&known.settings, &fresh.settings) {
            None => return Ok(Inserted::Known(add_client(known))),
            Some(key) if known.clients.load(Ordering::Acquire) > 0 => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{}: this process has the spool open with another value for {key}; use the same value, or close the other client first",
                        known.spool.name()
                    ),
                ));
            }
            // The known core has no client, so a core with the new settings replaces it.
            Some(_) => {}
        }
    }
    let replaced = cores.remove(&directory);
    let idle = remove_idle(&mut cores);
    cores.insert(directory, add_client(fresh));
    Ok(Inserted::Fresh { replaced, idle })
}

/// Makes room for one more core.
fn remove_idle(cores: &mut HashMap<DirectoryId, Arc<Core>>) -> Vec<Arc<Core>> {
    let is_idle = |core: &Arc<Core>| core.clients.load(Ordering::Acquire) == 0;
    let idle = cores.values().filter(|core| is_idle(core)).count();
    let mut too_many = (idle + 1).saturating_sub(IDLE_MAX);
    let removed = cores.extract_if(|_, core| {
        let is_removed = too_many > 0 && is_idle(core);
        too_many -= usize::from(is_removed);
        is_removed
    });
    removed.map(|(_, core)| core).collect()
}

/// The core that is open with these settings, found by the ID of the directory alone, because a
/// php-fpm worker asks at every request. [`open`] reports whatever is unusual.
fn find(settings: &Settings) -> Option<Arc<Core>> {
    if lock(cores()).is_empty() {
        return None;
    }
    let trust = GroupTrust::from_setting(settings.trust_group);
    let directory = DirectoryId::read(settings.spool.as_deref()?, trust)?;
    let cores = lock(cores());
    let known = cores.get(&directory)?;
    let is_same = config::conflict(&known.settings, settings).is_none();
    is_same.then(|| add_client(known))
}

/// The core of a forked child for the spool of its parent's `core`, with one more client counted.
pub(super) fn in_child(core: &Core) -> Arc<Core> {
    let mut cores = lock(cores());
    let own = cores
        .entry(core.spool.directory_id())
        .or_insert_with(|| Arc::new(Core::for_child(core)));
    add_client(own)
}

/// Removes a client from its core, and returns whether it was the last one. A later [`open`] does
/// not find a core that is closed with its last client.
pub(super) fn detach(core: &Core) -> bool {
    let mut cores = lock(cores());
    let last = core.clients.fetch_sub(1, Ordering::AcqRel) == 1;
    let directory = core.spool.directory_id();
    let mut removed = None;
    if last
        && !core.outlives_clients()
        && cores
            .get(&directory)
            .is_some_and(|known| std::ptr::eq(&**known, core))
    {
        removed = cores.remove(&directory);
    }
    drop(cores);
    drop(removed);
    last
}

fn add_client(core: &Arc<Core>) -> Arc<Core> {
    core.clients.fetch_add(1, Ordering::AcqRel);
    core.clone()
}
