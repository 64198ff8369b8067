//! A disk in memory: what the kernel has, what would survive a power cut, and who holds which lock.
//!
//! Every operation is counted, and can be made to fail, to be the last one of its process, or to be the
//! moment when the application closes descriptors of the library. What the operations do is in
//! `sim_operations`, what a cut leaves in `power_cut`.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::power_cut::{Inode, NameOp, Pending};
use super::schedule::Gate;
use crate::mutex::lock;
use crate::store::disk::Folder;

/// How long a thread of a process waits for its turn.
const PATIENCE: Duration = Duration::from_millis(20);

thread_local! {
    /// Who this thread is when it comes to turns, if it is not its process.
    static ACTOR: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Has this thread take turns of its own.
pub(super) fn act_as(actor: u32) {
    ACTOR.set(Some(actor));
}

/// How many bytes a write writes, and its error.
type CutShort = (usize, i32);

/// A name in a folder.
pub(super) type Name = (Folder, String);

/// What happens at one operation of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, once.
    Error(i32),
    /// It fails, and so does every later one of its kind that can.
    ErrorForEver(i32),
    /// A write writes only so many bytes, and fails. Any other operation fails.
    Short(usize, i32),
    /// The process is killed; a write has written so many bytes by then.
    Kill(usize),
    /// The application closes the descriptor that is the nth which is open.
    Close(usize),
    /// The application closes every descriptor of the library.
    CloseAll,
}

/// What kind of operation is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Look,
    Change,
    Write,
    Sync,
}

/// An open file of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle {
    pub(super) inode: usize,
    pub(super) folder: Folder,
    pub(super) process: u32,
    pub(super) is_locked: bool,
    pub(super) is_open: bool,
}

/// Everything behind the mutex.
#[derive(Debug, Default)]
pub(super) struct Sim {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<Name, usize>,
    pub(super) durable_names: BTreeMap<Name, usize>,
    pub(super) name_ops: Vec<NameOp>,
    pub(super) handles: BTreeMap<u64, Handle>,
    pub(super) next_handle: u64,
    /// By process: operations so far, the fault to come, and whether it was killed.
    counts: HashMap<u32, u64>,
    faults: HashMap<u32, (u64, Fault)>,
    dead: HashMap<u32, bool>,
    /// Syncs that fail, counted down; `u64::MAX`: for ever.
    pub(super) failing_syncs: u64,
    /// So many syncs succeed before.
    pub(super) good_syncs: u64,
    /// Writes to queues and rejected events wait until the ledger was written: an ablation.
    pub(super) is_data_late: bool,
    pub(super) late: Vec<(usize, Pending)>,
    pub(super) is_ledger_written: bool,
    pub(super) gate: Gate,
    /// Bytes that were asked for by reads, to find reads that allocate too much.
    pub(super) largest_read: usize,
}

/// The disk, as one process sees it.
#[derive(Debug, Clone)]
pub(super) struct SimDisk {
    pub(super) shared: Arc<(Mutex<Sim>, Condvar)>,
    pub(super) process: u32,
}

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) handle: u64,
}

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl SimDisk {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::default(),
            process: 0,
        }
    }

    /// The same disk for another process.
    pub(super) fn process(&self, process: u32) -> Self {
        Self {
            shared: self.shared.clone(),
            process,
        }
    }

    /// A disk that has the same files, for one process of its own.
    pub(super) fn copy(&self) -> Self {
        let sim = lock(&self.shared.0);
        let copy = Sim {
            inodes: sim.inodes.clone(),
            names: sim.names.clone(),
            durable_names: sim.durable_names.clone(),
            name_ops: sim.name_ops.clone(),
            ..Sim::default()
        };
        Self {
            shared: Arc::new((Mutex::new(copy), Condvar::new())),
            process: 0,
        }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Sim) -> T) -> T {
        act(&mut lock(&self.shared.0))
    }

    /// Operations of this process so far.
    pub(super) fn operations(&self) -> u64 {
        self.with(|sim| sim.counts.get(&self.process).copied().unwrap_or(0))
    }

    /// Has `fault` happen at the operation that comes `after` that many more.
    pub(super) fn fault_after(&self, after: u64, fault: Fault) {
        let at = self.operations() + after;
        self.with(|sim| sim.faults.insert(self.process, (at, fault)));
    }

    pub(super) fn clear_faults(&self) {
        self.with(|sim| {
            sim.faults.clear();
            sim.failing_syncs = 0;
        });
    }

    pub(super) fn is_dead(&self) -> bool {
        self.with(|sim| sim.dead.get(&self.process).copied().unwrap_or(false))
    }

    /// Ends this process.
    pub(super) fn kill(&self) {
        self.with(|sim| sim.kill(self.process));
    }

    /// The bytes of a file, as the kernel has them.
    pub(super) fn content(&self, folder: Folder, name: &str) -> Option<Vec<u8>> {
        self.with(|sim| {
            let inode = *sim.names.get(&(folder, name.to_owned()))?;
            Some(sim.inodes[inode].kernel.clone())
        })
    }

    /// Changes the bytes of a file behind everybody's back, on the disk too.
    pub(super) fn tamper(&self, folder: Folder, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.with(|sim| {
            let inode = sim.names[&(folder, name.to_owned())];
            let file = &mut sim.inodes[inode];
            change(&mut file.kernel);
            file.disk.clone_from(&file.kernel);
            file.pending.clear();
        });
    }

    /// Every file.
    pub(super) fn files(&self) -> Vec<Name> {
        self.with(|sim| sim.names.keys().cloned().collect())
    }

    /// Puts a file there, durably.
    pub(super) fn put(&self, folder: Folder, name: &str, bytes: &[u8]) {
        self.with(|sim| {
            sim.inodes.push(Inode {
                kernel: bytes.to_vec(),
                disk: bytes.to_vec(),
                pending: Vec::new(),
            });
            let inode = sim.inodes.len() - 1;
            sim.names.insert((folder, name.to_owned()), inode);
            sim.durable_names.insert((folder, name.to_owned()), inode);
        });
    }

    /// Counts an operation and lets happen what is to happen at it. `Ok(Some(n))`: only `n` bytes of the
    /// write are written, and the error that follows.
    pub(super) fn begin(&self, op: Op) -> io::Result<(MutexGuard<'_, Sim>, Option<CutShort>)> {
        let mut sim = lock(&self.shared.0);
        let actor = ACTOR.get().unwrap_or(self.process);
        while !sim.gate.may_run(actor) {
            // Whose turn it is may wait for a lock of somebody whose turn it is not.
            let waited = self.shared.1.wait_timeout(sim, PATIENCE);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            sim = woken;
            if waited.timed_out() && ACTOR.get().is_some() {
                sim.gate.skip();
                self.shared.1.notify_all();
            }
        }
        if let Some((process, nth)) = sim.gate.take_close() {
            sim.close(process, nth);
        }
        if sim.gate.ran(actor) {
            self.shared.1.notify_all();
        }
        if std::mem::take(&mut sim.is_ledger_written) {
            for (inode, write) in std::mem::take(&mut sim.late) {
                sim.inodes[inode].change(write);
            }
        }
        if sim.dead.get(&self.process) == Some(&true) {
            return Err(errno(libc::ESRCH));
        }
        let count = sim.counts.entry(self.process).or_insert(0);
        let now = *count;
        *count += 1;
        let fault = sim.faults.get(&self.process).copied();
        let Some((_, fault)) = fault.filter(|(at, fault)| match fault {
            Fault::ErrorForEver(_) => now >= *at && op != Op::Look,
            _ => now == *at,
        }) else {
            return Ok((sim, None));
        };
        match fault {
            Fault::Error(code) | Fault::ErrorForEver(code) => Err(errno(code)),
            Fault::Short(bytes, code) if op == Op::Write => Ok((sim, Some((bytes, code)))),
            Fault::Short(_, code) => Err(errno(code)),
            Fault::Kill(bytes) if op == Op::Write => Ok((sim, Some((bytes, libc::ESRCH)))),
            Fault::Kill(_) => {
                sim.kill(self.process);
                Err(errno(libc::ESRCH))
            }
            Fault::Close(nth) => {
                sim.close(self.process, Some(nth));
                Ok((sim, None))
            }
            Fault::CloseAll => {
                sim.close(self.process, None);
                Ok((sim, None))
            }
        }
    }
}

impl Sim {
    pub(super) fn kill(&mut self, process: u32) {
        self.dead.insert(process, true);
        self.late.clear();
        self.is_ledger_written = false;
        self.handles.retain(|_, handle| handle.process != process);
    }

    /// The application closes the nth open descriptor of a process, or all.
    fn close(&mut self, process: u32, nth: Option<usize>) {
        let open = self
            .handles
            .values_mut()
            .filter(|handle| handle.process == process && handle.is_open);
        for (at, handle) in open.enumerate() {
            if nth.is_none_or(|nth| nth == at) {
                handle.is_open = false;
                handle.is_locked = false;
            }
        }
    }

    /// Everybody is gone, as after a power cut.
    pub(super) fn forget_processes(&mut self) {
        self.handles.clear();
        self.late.clear();
        self.is_ledger_written = false;
        self.faults.clear();
        self.failing_syncs = 0;
        let known: Vec<u32> = self.counts.keys().copied().collect();
        self.dead
            .extend(known.into_iter().map(|process| (process, true)));
    }

    pub(super) fn handle(&self, handle: u64) -> io::Result<&Handle> {
        let known = self.handles.get(&handle);
        let open = known.filter(|handle| handle.is_open);
        open.ok_or_else(|| errno(libc::EBADF))
    }

    pub(super) fn inode_mut(&mut self, handle: u64) -> io::Result<&mut Inode> {
        let inode = self.handle(handle)?.inode;
        Ok(&mut self.inodes[inode])
    }

    pub(super) fn sync_outcome(&mut self) -> io::Result<()> {
        if self.failing_syncs == 0 {
            return Ok(());
        }
        if self.good_syncs > 0 {
            self.good_syncs -= 1;
            return Ok(());
        }
        if self.failing_syncs < u64::MAX {
            self.failing_syncs -= 1;
        }
        Err(errno(libc::EIO))
    }
}
