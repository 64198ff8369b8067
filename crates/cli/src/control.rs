//! Which user decides what a path leads to.
//!
//! Root can open every file, so whoever can swap one for a symbolic link, or rename a directory on the way,
//! would read and write with root's rights. Before root opens a file that it was given by name, the way to it
//! is walked from `/` on, until there is a directory, a link or a file that another user can change.
//! If there is none, nobody but root can change what the path leads to, neither before nor after the walk.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use meditopia::internals::spool::path_components;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, StatVfsMountFlags};
use rustix::io::Errno;

/// As the kernel has it.
const LINKS_AT_MOST: usize = 40;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
/// How the kernel shows an owner that a user namespace has no number for.
const UNMAPPED: u32 = 65_534;

/// Who can change what a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Root alone.
    Root,
    /// A user, whose directory, link or file is on the way; with its group.
    User { uid: u32, gid: u32 },
    /// Every user who may write to this directory or file.
    Anybody { place: PathBuf, mode: u32 },
}

/// Walks the way to `path`.
///
/// Error [`io::ErrorKind::NotFound`]: there is nothing, and only root can put something there.
pub fn who_controls(path: &Path) -> io::Result<Control> {
    let path = std::path::absolute(path)?;
    let mut left = path_components(&path);
    let mut links = 0;
    let (mut at, mut place) = (open_root()?, PathBuf::from("/"));
    loop {
        let dir = rustix::fs::fstat(&at)?;
        let is_last = left.is_empty();
        let control = control_of(&dir, &at, &place);
        if control != Control::Root || is_last {
            return Ok(control);
        }
        let Some(name) = left.pop_front() else {
            return Ok(control);
        };
        let others_add = dir.st_mode & OTHERS_WRITE != 0 && !is_read_only(&at);
        let about = match rustix::fs::statat(&at, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(Errno::NOENT) if others_add => return Ok(anybody(&place, &dir)),
            Err(e) => return Err(e.into()),
        };
        if !is_of_root(about.st_uid) {
            let (uid, gid) = (about.st_uid, about.st_gid);
            return Ok(Control::User { uid, gid });
        }
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                at = rustix::fs::openat(&at, &*name, flags, Mode::empty())?;
                place.push(&name);
            }
            // Others may have moved or linked a file of root's to here.
            _ if others_add => return Ok(anybody(&place, &dir)),
            FileType::Symlink => {
                links += 1;
                if links > LINKS_AT_MOST {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&at, &*name, Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes())).to_owned();
                if target.is_absolute() {
                    (at, place) = (open_root()?, PathBuf::from("/"));
                }
                let behind = std::mem::replace(&mut left, path_components(&target));
                left.extend(behind);
            }
            _ if !left.is_empty() => return Err(Errno::NOTDIR.into()),
            _ if about.st_mode & OTHERS_WRITE != 0 && !is_read_only(&at) => {
                return Ok(anybody(&place.join(&name), &about));
            }
            _ => return Ok(Control::Root),
        }
    }
}

fn anybody(place: &Path, about: &Stat) -> Control {
    Control::Anybody {
        place: place.to_owned(),
        mode: about.st_mode & 0o7777,
    }
}

/// Who can change what has a name in this directory. In one with the sticky bit nobody can but its owner.
fn control_of(dir: &Stat, handle: &OwnedFd, place: &Path) -> Control {
    if !is_of_root(dir.st_uid) {
        let (uid, gid) = (dir.st_uid, dir.st_gid);
        return Control::User { uid, gid };
    }
    let others_write = dir.st_mode & OTHERS_WRITE != 0 && dir.st_mode & STICKY == 0;
    match others_write && !is_read_only(handle) {
        true => anybody(place, dir),
        false => Control::Root,
    }
}

/// A configuration that an orchestrator mounts has mode 0777 and is read-only.
fn is_read_only(handle: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(handle).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether root has this number, or a user outside of this user namespace, in which root is no more than that.
fn is_of_root(uid: u32) -> bool {
    uid == 0 || (uid == UNMAPPED && is_in_user_namespace())
}

fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    !map.is_empty() && words != ["0", "0", "4294967295"]
}

fn open_root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, "/", flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    const USER: u32 = 12_345;

    #[test]
    fn a_path_is_roots_alone_only_if_no_other_user_can_change_anything_on_the_way() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let user = Control::User {
            uid: USER,
            gid: USER,
        };
        for (name, mode) in [
            ("own", 0o755),
            ("home", 0o755),
            ("open", 0o775),
            ("sticky", 0o1777),
        ] {
            fs::create_dir(at(name)).unwrap();
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
            fs::write(at(name).join("file"), "").unwrap();
        }
        fs::create_dir(at("sticky/dir")).unwrap();
        for file in ["sticky/dir/file", "own/theirs"] {
            fs::write(at(file), "").unwrap();
        }
        fs::write(at("own/shared"), "").unwrap();
        fs::set_permissions(at("own/shared"), Permissions::from_mode(0o664)).unwrap();
        symlink("../home/file", at("own/link")).unwrap();
        symlink(at("own/file"), at("own/roots_link")).unwrap();
        symlink("../own/file", at("sticky/link")).unwrap();
        symlink("circle", at("own/circle")).unwrap();
        for theirs in ["home", "own/theirs", "sticky/link"] {
            lchown(at(theirs), Some(USER), Some(USER)).unwrap();
        }

        for roots in [
            "own/file",
            "own/roots_link",
            "sticky/dir/file",
            "own/../own/file",
            "own",
        ] {
            assert_eq!(who_controls(&at(roots)).unwrap(), Control::Root, "{roots}");
        }
        for theirs in [
            "home/file",
            "home/missing",
            "own/theirs",
            "own/link",
            "sticky/link",
        ] {
            assert_eq!(who_controls(&at(theirs)).unwrap(), user, "{theirs}");
        }
        for (path, place, mode) in [
            ("open/file", "open", 0o775),
            ("own/shared", "own/shared", 0o664),
            ("sticky/missing", "sticky", 0o1777),
            ("sticky/file", "sticky", 0o1777),
        ] {
            let place = at(place);
            let control = Control::Anybody { place, mode };
            assert_eq!(who_controls(&at(path)).unwrap(), control, "{path}");
        }
        let failed = |path: &str| who_controls(&at(path)).unwrap_err();
        assert_eq!(failed("own/missing").kind(), io::ErrorKind::NotFound);
        assert_eq!(
            failed("own/circle").raw_os_error(),
            Some(Errno::LOOP.raw_os_error())
        );
        assert_eq!(failed("own/file/x").kind(), io::ErrorKind::NotADirectory);
    }
}
