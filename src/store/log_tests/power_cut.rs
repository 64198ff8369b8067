//! What a power cut leaves of the files of a `SimDisk`.
//!
//! Of a file, every piece of 512 or 4,096 bytes is as some moment since the last sync had it, each for
//! itself, and so is its size: writes are kept, dropped, torn and reordered. Of the names, a change is
//! kept only with the earlier ones of the same names.

use std::collections::BTreeSet;

use super::sim_disk::{Name, Sim, SimDisk};
use crate::store::disk::Folder;

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) kernel: Vec<u8>,
    pub(super) disk: Vec<u8>,
    pub(super) pending: Vec<Pending>,
}

/// A change of a file that is not synced.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// A change of names that is not synced.
#[derive(Debug, Clone)]
pub(super) enum NameOp {
    Create(Name, usize),
    Rename(Name, Name),
    Remove(Name),
}

impl NameOp {
    fn names(&self) -> Vec<&Name> {
        match self {
            Self::Create(name, _) | Self::Remove(name) => vec![name],
            Self::Rename(from, to) => vec![from, to],
        }
    }
}

impl Pending {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(_, new) if new.is_empty() => {}
            Self::Write(at, new) => {
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Truncate(size) => bytes.resize(*size, 0),
        }
    }

    fn size_behind(&self, size: usize) -> usize {
        match self {
            Self::Write(_, new) if new.is_empty() => size,
            Self::Write(at, new) => size.max(at + new.len()),
            Self::Truncate(size) => *size,
        }
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Pending) {
        change.apply(&mut self.kernel);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.disk);
        }
    }

    fn cut(&mut self, rng: &mut fastrand::Rng) {
        let changes = std::mem::take(&mut self.pending);
        let piece = match rng.u8(..8) {
            0 => 0,
            1 | 2 => {
                changes
                    .iter()
                    .for_each(|change| change.apply(&mut self.disk));
                0
            }
            // A file system that keeps the order.
            3 => {
                let kept = rng.usize(..=changes.len());
                changes[..kept]
                    .iter()
                    .for_each(|change| change.apply(&mut self.disk));
                0
            }
            4 | 5 => 4_096,
            _ => 512,
        };
        if piece > 0 {
            self.cut_in_pieces(&changes, piece, rng);
        }
        self.kernel.clone_from(&self.disk);
    }

    fn cut_in_pieces(&mut self, changes: &[Pending], piece: usize, rng: &mut fastrand::Rng) {
        let mut sizes = vec![self.disk.len()];
        for change in changes {
            sizes.extend(sizes.last().map(|size| change.size_behind(*size)));
        }
        let longest = sizes.iter().copied().max().unwrap_or(0);
        let pieces = longest.div_ceil(piece);
        // How many of the changes each piece has seen. Most often all or none of the late ones.
        let is_mostly_kept = rng.bool();
        let seen: Vec<usize> = (0..pieces)
            .map(|_| match rng.u8(..4) {
                0 | 1 if is_mostly_kept => changes.len(),
                0 => 0,
                _ => rng.usize(..=changes.len()),
            })
            .collect();
        let mut bytes = self.disk.clone();
        bytes.resize(longest, 0);
        for (number, change) in changes.iter().enumerate() {
            let (from, new) = match change {
                Pending::Write(at, new) => (*at, new.clone()),
                Pending::Truncate(size) => (*size, vec![0; longest.saturating_sub(*size)]),
            };
            for (at, byte) in (from..).zip(new) {
                if number < seen[at / piece] {
                    bytes[at] = byte;
                }
            }
        }
        let size = match rng.u8(..3) {
            0 => *rng.choice(&sizes).unwrap_or(&0),
            _ => sizes.last().copied().unwrap_or(0),
        };
        bytes.resize(size, 0);
        self.disk = bytes;
    }
}

impl Sim {
    fn apply_durably(&mut self, change: &NameOp) {
        match change {
            NameOp::Create(name, inode) => {
                self.durable_names.insert(name.clone(), *inode);
            }
            NameOp::Rename(from, to) => {
                if let Some(inode) = self.durable_names.remove(from) {
                    self.durable_names.insert(to.clone(), inode);
                }
            }
            NameOp::Remove(name) => {
                self.durable_names.remove(name);
            }
        }
    }

    /// Makes the changes of a folder durable, with those that they rest on.
    pub(super) fn sync_names(&mut self, folder: Folder) {
        let changes = std::mem::take(&mut self.name_ops);
        let mut needed: BTreeSet<Name> = BTreeSet::new();
        let mut is_kept = vec![false; changes.len()];
        for (at, change) in changes.iter().enumerate().rev() {
            let names = change.names();
            if names
                .iter()
                .any(|name| name.0 == folder || needed.contains(*name))
            {
                needed.extend(names.into_iter().cloned());
                is_kept[at] = true;
            }
        }
        for (change, is_kept) in changes.into_iter().zip(is_kept) {
            match is_kept {
                true => self.apply_durably(&change),
                false => self.name_ops.push(change),
            }
        }
    }

    fn cut(&mut self, rng: &mut fastrand::Rng) {
        self.forget_processes();
        let (mut blocked, kept_of_four) = (BTreeSet::new(), rng.u8(..=4));
        for change in std::mem::take(&mut self.name_ops) {
            let is_blocked = change.names().iter().any(|name| blocked.contains(*name));
            if !is_blocked && rng.u8(..4) < kept_of_four {
                self.apply_durably(&change);
            } else {
                blocked.extend(change.names().into_iter().cloned());
            }
        }
        self.names.clone_from(&self.durable_names);
        for file in &mut self.inodes {
            file.cut(rng);
        }
    }
}

impl SimDisk {
    /// Cuts the power. Every process is gone.
    pub(super) fn cut(&self, rng: &mut fastrand::Rng) {
        self.with(|sim| sim.cut(rng));
    }
}
