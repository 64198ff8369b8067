//! The rights of what is made in a directory, whatever the umask of the process takes from them.

use std::fs::File;
use std::io;

use rustix::fs::{FileType, Gid, Mode, Stat};

use super::{Dir, check_name, wrong_kind};
use crate::process::calls;
use crate::spool::mode::{open_to_pass, set_mode_at};

impl Dir {
    /// Gives a file or a directory its rights, if its maker has not yet done so: whatever the umask of this
    /// process is, it can use what it has made.
    pub(super) fn completes_rights(&self, name: &str, about: &Stat) -> io::Result<bool> {
        let kind = FileType::from_raw_mode(about.st_mode);
        let wanted = match kind.is_dir() {
            true => self.sharing.dir_mode(),
            false => self.sharing.file_mode(),
        };
        let owner = wanted & Mode::RWXU;
        let us = rustix::process::geteuid().as_raw();
        let is_whole = Mode::from_raw_mode(about.st_mode).contains(owner);
        if is_whole || about.st_uid != us || kind.is_symlink() {
            return Ok(false);
        }
        self.set_rights(name, wanted, self.sharing.group())?;
        Ok(true)
    }

    /// Gives what has a name in it this mode and group. A link is not followed: in a spool that a group shares,
    /// another user of the group may put one there at any moment.
    pub(in crate::spool) fn set_rights(
        &self,
        name: &str,
        mode: Mode,
        group: Option<u32>,
    ) -> io::Result<()> {
        let (dir, name) = (self.fd()?, check_name(name)?);
        let named = open_to_pass(dir, name)?;
        let about = calls::fstat(&*named)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory | FileType::Socket => {}
            // One with another name elsewhere is not only the spool's.
            FileType::RegularFile if about.st_nlink <= 1 => {}
            kind => {
                return Err(wrong_kind(
                    &self.path(name),
                    kind,
                    "a file of the spool alone",
                ));
            }
        }
        if let Some(group) = group
            && about.st_gid != group
        {
            calls::set_group(&*named, Gid::from_raw(group))?;
        }
        // After the group, because to change that takes the setgid bit.
        Ok(set_mode_at(&named, (dir, name), mode)?)
    }

    /// The same for a file that is open, and was just made.
    pub(super) fn complete(&self, file: &File) -> io::Result<()> {
        let about = calls::fstat(file)?;
        if let Some(group) = self.sharing.group()
            && about.st_gid != group
        {
            calls::set_group(file, Gid::from_raw(group))?;
        }
        let wanted = self.sharing.file_mode();
        if about.st_mode & 0o7777 != wanted.as_raw_mode() {
            calls::fchmod(file, wanted)?;
        }
        Ok(())
    }
}
