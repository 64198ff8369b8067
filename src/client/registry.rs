//! Which spools this process has open: one core for each.
//!
//! A core of `role = enqueue` stays after its last handle, so that a php-fpm worker pays for
//! opening a spool once and not at every request; a core of `role = both` goes, and so do the idle ones
//! of a process that opens more than a few.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use once_cell::race::OnceBox;

use super::core::Core;
use crate::config::{self, Settings, TokenSource};
use crate::error::{Error, ErrorKind, Result};
use crate::mutex::lock;
use crate::process::PerProcess;
use crate::spool::DirectoryId;

type Cores = Mutex<HashMap<DirectoryId, Arc<Core>>>;

/// Cores that stay open without a handle. A process that goes through many spools keeps no more of
/// their segments open.
const IDLE_KEPT: usize = 16;

fn cores() -> &'static Cores {
    static CORES: OnceBox<PerProcess<Cores>> = OnceBox::new();
    CORES
        .get_or_init(|| Box::new(PerProcess::new(Cores::default())))
        .get(|_| Cores::default())
}

/// The core for these settings, counted for one more handle: the one that is open, or a new one.
pub(super) fn open(settings: Settings) -> Result<Arc<Core>> {
    if let Some(known) = find(&settings)? {
        return Ok(known);
    }
    let fresh = Core::open(settings)?;
    let mut cores = lock(cores());
    let place = fresh.spool.directory_id();
    if let Some(known) = cores.get(&place) {
        match config::conflict(&known.settings, &fresh.settings) {
            None => return joined(known, &fresh.settings),
            Some(key) if known.handles.load(Ordering::Acquire) > 0 => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{}: this process has it open with another value for {key}; use the same, or close that client first",
                        known.spool.name()
                    ),
                ));
            }
            // Nobody uses it any more: the new settings replace it.
            Some(_) => known.writer.close(),
        }
    }
    let fresh = Arc::new(fresh);
    let_idle_ones_go(&mut cores);
    cores.insert(place, fresh.clone());
    Ok(counted(&fresh))
}

fn let_idle_ones_go(cores: &mut HashMap<DirectoryId, Arc<Core>>) {
    let is_idle = |core: &Arc<Core>| core.handles.load(Ordering::Acquire) == 0;
    let idle = cores.values().filter(|core| is_idle(core)).count();
    let mut too_many = (idle + 1).saturating_sub(IDLE_KEPT);
    cores.retain(|_, core| {
        let goes = too_many > 0 && is_idle(core);
        too_many -= usize::from(goes);
        !goes
    });
}

/// The core that is open with these settings, by a look at the directory alone: a worker of php-fpm asks
/// at every request. Whatever is unusual is for [`open`] to tell.
fn find(settings: &Settings) -> Result<Option<Arc<Core>>> {
    if lock(cores()).is_empty() {
        return Ok(None);
    }
    let Some(place) = settings.spool.as_deref().and_then(DirectoryId::read) else {
        return Ok(None);
    };
    match lock(cores()).get(&place) {
        Some(known) if config::conflict(&known.settings, settings).is_none() => {
            joined(known, settings).map(Some)
        }
        _ => Ok(None),
    }
}

/// One more handle on a core. Later calls win, for the token as for everything else that may differ.
fn joined(known: &Arc<Core>, settings: &Settings) -> Result<Arc<Core>> {
    if let TokenSource::Given(token) = &settings.bearer_token {
        known.sender.replace_token(token.clone())?;
    }
    Ok(counted(known))
}

/// The core of a forked child for the spool of its parent's `core`, counted for one more handle.
pub(super) fn in_child(core: &Core) -> Arc<Core> {
    let mut cores = lock(cores());
    let own = cores
        .entry(core.spool.directory_id())
        .or_insert_with(|| Arc::new(Core::for_child(core)));
    counted(own)
}

/// Gives a handle's share back; says whether it was the last one. A core that goes with its last
/// handle is not found by a later [`open`] any more.
pub(super) fn detach(core: &Core) -> bool {
    let mut cores = lock(cores());
    let last = core.handles.fetch_sub(1, Ordering::AcqRel) == 1;
    let place = core.spool.directory_id();
    if last
        && !core.outlives_handles()
        && cores
            .get(&place)
            .is_some_and(|known| std::ptr::eq(&**known, core))
    {
        cores.remove(&place);
    }
    last
}

fn counted(core: &Arc<Core>) -> Arc<Core> {
    core.handles.fetch_add(1, Ordering::AcqRel);
    core.clone()
}
