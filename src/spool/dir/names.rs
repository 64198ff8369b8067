//! Names in a directory: files that are replaced, touched, renamed and removed.

use std::fs::File;
use std::io::{self, ErrorKind as IoKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::{Dir, Safety, check_name, wrong_kind};
use crate::error::is_unsupported;
use crate::process::{ClosedInChild, calls};
use crate::spool::file_limit::{check_file_limit, file_limit};

impl Dir {
    /// Replaces a whole file: readers see the old content or the new one. What an earlier attempt has
    /// left, or whatever else has the name of the new file, is removed and never written to.
    pub(crate) fn replace(&self, name: &str, content: &[u8], safety: Safety) -> io::Result<()> {
        check_file_limit(content.len() as u64, file_limit())?;
        self.replace_with(name, safety, |mut file| file.write_all(content))
    }

    /// Overwrites a small file of text with `content`, behind which spaces may follow. A reader may meet a moment
    /// in which it is half written.
    pub(in crate::spool) fn overwrite(&self, name: &str, mut content: Vec<u8>) -> io::Result<()> {
        let file = self.open_to_write(name)?;
        let size = calls::fstat(&*file)?.st_size.cast_unsigned() as usize;
        content.resize(content.len().max(size), b' ');
        check_file_limit(content.len() as u64, file_limit())?;
        file.check()?;
        file.write_all_at(&content, 0)
    }

    /// The same for content that `write` writes to the new file.
    pub(crate) fn replace_with(
        &self,
        name: &str,
        safety: Safety,
        write: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let fresh = fresh_name(name);
        self.remove(&fresh)?;
        let file = ClosedInChild::of(self.create(&fresh, OFlags::WRONLY)?);
        write(&file)?;
        file.check()?;
        if safety == Safety::Power {
            file.sync_all()?;
        }
        self.rename(&fresh, self, name)?;
        match safety {
            Safety::Process => Ok(()),
            Safety::Power => self.sync(),
        }
    }

    /// Gives what has a name the present time, as if it was just read and written.
    pub(in crate::spool) fn touch(&self, name: &str) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        let (dir, name) = (self.fd()?, check_name(name)?);
        Ok(calls::utimensat(dir, name, &times)?)
    }

    /// Gives a file another name, in this directory or in another one of the spool.
    pub(crate) fn rename(&self, from: &str, dir: &Self, to: &str) -> io::Result<()> {
        let (from, to) = (check_name(from)?, check_name(to)?);
        Ok(calls::renameat(
            (self.fd()?, from),
            (dir.fd()?, to),
            RenameFlags::empty(),
        )?)
    }

    /// The same if no file has that name yet. Where the file system cannot say so, the caller's lock has
    /// to make a plain rename safe.
    pub(crate) fn rename_to_free(&self, from: &str, dir: &Self, to: &str) -> io::Result<()> {
        let (old, new) = (check_name(from)?, check_name(to)?);
        let no_replace = RenameFlags::NOREPLACE;
        let renamed = calls::renameat((self.fd()?, old), (dir.fd()?, new), no_replace);
        match renamed.map_err(io::Error::from) {
            Err(e) if is_unsupported(&e) => self.rename_if_free(from, dir, to),
            renamed => renamed,
        }
    }

    /// Nobody takes the name in between: whoever gives names holds the caller's lock.
    pub(super) fn rename_if_free(&self, from: &str, dir: &Self, to: &str) -> io::Result<()> {
        match dir.about(to) {
            Err(e) if e.kind() == IoKind::NotFound => self.rename(from, dir, to),
            Err(e) => Err(e),
            Ok(_) => Err(IoKind::AlreadyExists.into()),
        }
    }

    /// Removes whatever has a name, if it is no directory; says whether there was something.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match calls::unlinkat(self.fd()?, check_name(name)?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR | Errno::PERM) if self.is_dir(name) => Err(wrong_kind(
                &self.path(name),
                FileType::Directory,
                "a regular file",
            )),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(calls::unlinkat(
            self.fd()?,
            check_name(name)?,
            AtFlags::REMOVEDIR,
        )?)
    }
}

/// Under which name a file is written before it replaces the one with this name.
fn fresh_name(name: &str) -> String {
    let fresh = Path::new(name).with_extension("new");
    fresh.to_string_lossy().into_owned()
}
