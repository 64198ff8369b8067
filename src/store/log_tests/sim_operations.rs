//! The operations of the disk in memory: what each does to names, bytes, locks and what would survive a cut.

use std::io;

use super::power_cut::{Inode, NameOp, Pending};
use super::sim_disk::{Handle, Op, SimDisk, SimFile, errno};
use crate::mutex::lock;
use crate::store::disk::{Access, Disk, DiskFile, Folder};

impl Disk for SimDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        let (sim, _) = self.begin(Op::Look)?;
        let names = sim.names.keys().filter(|(of, _)| *of == folder);
        Ok(names.map(|(_, name)| name.clone()).collect())
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let op = match access {
            Access::Create => Op::Change,
            Access::Read | Access::Write => Op::Look,
        };
        let (mut sim, _) = self.begin(op)?;
        let key = (folder, name.to_owned());
        let inode = match (sim.names.get(&key).copied(), access) {
            (Some(_), Access::Create) => return Err(errno(libc::EEXIST)),
            (None, Access::Create) => {
                sim.inodes.push(Inode::default());
                let inode = sim.inodes.len() - 1;
                sim.names.insert(key.clone(), inode);
                sim.name_ops.push(NameOp::Create(key, inode));
                inode
            }
            (Some(inode), _) => inode,
            (None, _) => return Err(errno(libc::ENOENT)),
        };
        let handle = sim.next_handle;
        sim.next_handle += 1;
        sim.handles.insert(
            handle,
            Handle {
                inode,
                folder,
                process: self.process,
                is_locked: false,
                is_open: true,
            },
        );
        Ok(Box::new(SimFile {
            disk: self.clone(),
            handle,
        }))
    }

    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()> {
        let (mut sim, _) = self.begin(Op::Change)?;
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        if sim.names.contains_key(&to) {
            return Err(errno(libc::EEXIST));
        }
        let inode = sim.names.remove(&from).ok_or_else(|| errno(libc::ENOENT))?;
        sim.names.insert(to.clone(), inode);
        sim.name_ops.push(NameOp::Rename(from, to));
        Ok(())
    }

    fn replace(&self, folder: Folder, from: &str, to: &str) -> io::Result<()> {
        let (mut sim, _) = self.begin(Op::Change)?;
        let (from, to) = ((folder, from.to_owned()), (folder, to.to_owned()));
        let inode = sim.names.remove(&from).ok_or_else(|| errno(libc::ENOENT))?;
        sim.names.insert(to.clone(), inode);
        sim.name_ops.push(NameOp::Rename(from, to));
        Ok(())
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        let (mut sim, _) = self.begin(Op::Change)?;
        let key = (folder, name.to_owned());
        if sim.names.remove(&key).is_some() {
            sim.name_ops.push(NameOp::Remove(key));
        }
        Ok(())
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        let (mut sim, _) = self.begin(Op::Sync)?;
        sim.sync_outcome()?;
        sim.sync_names(folder);
        Ok(())
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        match file {
            Some((folder, name)) => format!("{}/{name}", folder.name()),
            None => "spool".to_owned(),
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut sim, _) = self.disk.begin(Op::Look)?;
        sim.largest_read = sim.largest_read.max(buffer.len());
        let file = sim.inode_mut(self.handle)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = file.kernel.get(from..).unwrap_or(&[]);
        let got = bytes.len().min(buffer.len());
        buffer[..got].copy_from_slice(&bytes[..got]);
        Ok(got)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut sim, short) = self.disk.begin(Op::Write)?;
        let Handle { inode, folder, .. } = *sim.handle(self.handle)?;
        if sim.is_data_late && short.is_none() {
            sim.is_ledger_written = folder == Folder::Ledger;
            if folder != Folder::Ledger && offset > 0 {
                sim.late
                    .push((inode, Pending::Write(offset as usize, bytes.to_vec())));
                return Ok(());
            }
        }
        let file = sim.inode_mut(self.handle)?;
        let written = short.map_or(bytes.len(), |(written, _)| written.min(bytes.len()));
        file.change(Pending::Write(offset as usize, bytes[..written].to_vec()));
        match short {
            None => Ok(()),
            Some((_, libc::ESRCH)) => {
                sim.kill(self.disk.process);
                Err(errno(libc::ESRCH))
            }
            Some((_, code)) => Err(errno(code)),
        }
    }

    fn size(&self) -> io::Result<u64> {
        let (mut sim, _) = self.disk.begin(Op::Look)?;
        Ok(sim.inode_mut(self.handle)?.kernel.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let (mut sim, _) = self.disk.begin(Op::Change)?;
        let file = sim.inode_mut(self.handle)?;
        file.change(Pending::Truncate(size as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut sim, _) = self.disk.begin(Op::Sync)?;
        let outcome = sim.sync_outcome();
        let file = sim.inode_mut(self.handle)?;
        match outcome {
            Ok(()) => file.sync(),
            // The kernel takes the pages for clean from now on, and never writes them.
            Err(_) => file.pending.clear(),
        }
        outcome
    }

    fn allocate(&self, _from: u64, _upto: u64) -> io::Result<()> {
        let (sim, _) = self.disk.begin(Op::Change)?;
        sim.handle(self.handle)?;
        Ok(())
    }

    fn punch(&self, from: u64, upto: u64) -> io::Result<()> {
        let (mut sim, _) = self.disk.begin(Op::Change)?;
        let file = sim.inode_mut(self.handle)?;
        let upto = (upto as usize).min(file.kernel.len());
        if let Some(length) = upto.checked_sub(from as usize) {
            file.change(Pending::Write(from as usize, vec![0; length]));
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let (mut sim, _) = self.disk.begin(Op::Look)?;
        let inode = sim.handle(self.handle)?.inode;
        let is_held = sim.handles.iter().any(|(other, handle)| {
            *other != self.handle && handle.inode == inode && handle.is_locked
        });
        if let Some(handle) = sim.handles.get_mut(&self.handle) {
            handle.is_locked = !is_held;
        }
        Ok(!is_held)
    }

    fn check_open(&self) -> io::Result<()> {
        let (sim, _) = self.disk.begin(Op::Look)?;
        sim.handle(self.handle).map(|_| ())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        lock(&self.disk.shared.0).handles.remove(&self.handle);
    }
}
