//! Who may write to a spool: its owner alone, or also a group that the configuration trusts.
//!
//! An orchestrator sets other rights than the library: Kubernetes gives the files of a volume to `fsGroup` at
//! each start of a pod (2770), the root of an `emptyDir` is everybody's (0777), OpenShift runs each project as
//! a uid of its own in group 0. What the process owns it takes back. What it does not own it uses only if
//! `trust_group` says so, and the group is one of the process's own.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::dir::Dir;
use super::files::spool_name;
use crate::error::{Error, ErrorKind, Result};
use crate::process::calls;
use crate::spelling::shell_word;

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const GROUP_DOES_ALL: u32 = 0o070;
/// The file system's own, in the root of a volume.
const LOST_AND_FOUND: &str = "lost+found";
/// How deep a spool is.
const DEEPEST: usize = 4;

/// What to do where an orchestrator has set the rights: the end of each refusal.
pub(super) const IN_CONTAINERS: &str = "in Kubernetes or OpenShift name a directory below the mount (or below its subPath), so that this process makes and owns it, and set fsGroupChangePolicy: OnRootMismatch beside fsGroup (docs/kubernetes.md)";

/// Whether the group of a spool's directory may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupTrust {
    /// No: the spool is its owner's alone.
    Refuse,
    /// Yes: the configuration says so, or an operator who named this spool.
    Allow,
}

impl GroupTrust {
    /// What `trust_group` says.
    pub fn from_setting(trust_group: bool) -> Self {
        match trust_group {
            true => Self::Allow,
            false => Self::Refuse,
        }
    }
}

/// For whom the files of a spool are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// For their owner alone.
    Owner,
    /// Also for this group.
    Group(u32),
}

impl Sharing {
    pub(super) fn file_mode(self) -> Mode {
        match self {
            Self::Owner => Mode::RUSR | Mode::WUSR,
            Self::Group(_) => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP,
        }
    }

    /// A shared directory hands its group on to what is made in it.
    pub(super) fn dir_mode(self) -> Mode {
        match self {
            Self::Owner => Mode::RWXU,
            Self::Group(_) => Mode::RWXU | Mode::RWXG | Mode::SGID,
        }
    }

    /// The group that files have to have, if it matters.
    pub(super) fn group(self) -> Option<u32> {
        match self {
            Self::Owner => None,
            Self::Group(group) => Some(group),
        }
    }
}

/// What the rights of a directory say.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Fine(Sharing),
    /// This process owns the directory, and others may write to it.
    Tighten(Sharing),
    Refuse(String),
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a group is one of this process's own.
fn is_our_group(gid: u32) -> bool {
    let is_it = |group: rustix::fs::Gid| group.as_raw() == gid;
    is_it(rustix::process::getegid())
        || rustix::process::getgroups().is_ok_and(|groups| groups.into_iter().any(is_it))
}

/// Owner, group and mode of a directory.
#[derive(Debug, Clone, Copy)]
struct Rights {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Rights {
    fn of(about: &Metadata) -> Self {
        Self {
            uid: about.uid(),
            gid: about.gid(),
            mode: about.mode() & 0o7777,
        }
    }
}

/// Judges a directory for the user `us`.
fn judge(
    rights: Rights,
    us: u32,
    is_our_group: impl Fn(u32) -> bool,
    trust: GroupTrust,
) -> Judgement {
    let Rights { uid, gid, mode } = rights;
    let is_owner = uid == us;
    let trusts_group = trust == GroupTrust::Allow && mode & GROUP_WRITES != 0;
    // Nobody can give a file to a group that is not one of the own: the owner's files are the owner's alone then.
    let shared = match trusts_group && is_our_group(gid) {
        true => Sharing::Group(gid),
        false => Sharing::Owner,
    };
    let safe = mode & OTHERS_WRITE == 0 && (trusts_group || mode & GROUP_WRITES == 0);
    if is_owner && safe {
        return Judgement::Fine(shared);
    }
    // With the sticky bit it is a place that users share, such as /tmp.
    if is_owner && mode & STICKY == 0 {
        return Judgement::Tighten(shared);
    }
    if is_owner {
        return Judgement::Refuse(format!(
            "others may write to it (mode {mode:04o}); name a directory below it; {IN_CONTAINERS}"
        ));
    }
    let group_does_all = mode & GROUP_DOES_ALL == GROUP_DOES_ALL && is_our_group(gid);
    if safe && group_does_all && shared != Sharing::Owner {
        return Judgement::Fine(shared);
    }
    let whose = format!(
        "belongs to uid {uid} and gid {gid} (mode {mode:04o}), this process runs as uid {us}; run as that user, or use another spool"
    );
    let trusted = match trust {
        GroupTrust::Refuse if group_does_all && mode & OTHERS_WRITE == 0 => {
            format!("; or set trust_group = true if all members of group {gid} may be trusted")
        }
        _ => String::new(),
    };
    Judgement::Refuse(format!("{whose}{trusted}; {IN_CONTAINERS}"))
}

/// Whether the spool's directory may be used as it is.
pub(super) fn check_rights(dir: &Path, about: &Metadata, trust: GroupTrust) -> Result<Sharing> {
    match judge(Rights::of(about), us(), is_our_group, trust) {
        Judgement::Fine(sharing) => Ok(sharing),
        Judgement::Tighten(_) => Err(refusal(dir, &open_to_others(dir, about))),
        Judgement::Refuse(why) => Err(refusal(dir, &why)),
    }
}

/// The same for whoever only reads: in a directory of this user it makes no difference who else may write.
pub(super) fn check_rights_to_read(dir: &Path, about: &Metadata) -> Result<Sharing> {
    match judge(Rights::of(about), us(), is_our_group, GroupTrust::Allow) {
        Judgement::Fine(sharing) | Judgement::Tighten(sharing) => Ok(sharing),
        Judgement::Refuse(why) => Err(refusal(dir, &why)),
    }
}

/// Checks the rights of a directory that is open. If this process owns it, and it is a spool of its or
/// empty, takes back what others may do.
pub(super) fn settle_rights(
    dir: &Path,
    opened: &Dir,
    about: &Metadata,
    trust: GroupTrust,
) -> Result<Sharing> {
    let us = us();
    let sharing = match judge(Rights::of(about), us, is_our_group, trust) {
        Judgement::Fine(sharing) => return Ok(sharing),
        Judgement::Tighten(sharing) => sharing,
        Judgement::Refuse(why) => return Err(refusal(dir, &why)),
    };
    let failed = |e: io::Error| {
        Error::io(spool_name(dir), e).with_note(&format!("; {}", open_to_others(dir, about)))
    };
    if let Some(stranger) = find_stranger(opened).map_err(failed)? {
        return Err(refusal(
            dir,
            &format!(
                "others may write to it (mode {:04o}), and {stranger:?} in it is no spool's; name a directory of its own; {IN_CONTAINERS}",
                about.mode() & 0o7777
            ),
        ));
    }
    let before = Mode::from_raw_mode(about.mode() & 0o7777);
    match set_mode(opened, tightened(before, sharing.dir_mode())) {
        Ok(()) => {}
        // Nobody can write there.
        Err(e) if e.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => return Ok(sharing),
        Err(e) => return Err(failed(e)),
    }
    let below = tighten_below(opened, sharing, us, DEEPEST);
    if !matches!(below, Ok(None)) {
        // It must not look like a directory in which nobody else has ever written.
        let _ = set_mode(opened, before);
    }
    match below {
        Ok(None) => Ok(sharing),
        Ok(Some((name, owner))) => Err(refusal(
            dir,
            &format!(
                "others may write to it (mode {:04o}), and {name} in it belongs to uid {owner}; remove that, or give it to uid {us}; {IN_CONTAINERS}",
                about.mode() & 0o7777
            ),
        )),
        Err(e) => Err(failed(e)),
    }
}

/// A mode without what others may not do. Nothing is added but what the owner needs.
fn tightened(mode: Mode, wanted: Mode) -> Mode {
    mode.intersection(wanted)
        .union(wanted.intersection(Mode::RWXU))
}

fn set_mode(dir: &Dir, mode: Mode) -> io::Result<()> {
    Ok(calls::fchmod(dir.as_file()?, mode)?)
}

/// What says that a directory is no spool, and was not made for one.
fn find_stranger(dir: &Dir) -> io::Result<Option<String>> {
    if dir.about("identity.json").is_ok() {
        return Ok(None);
    }
    for entry in dir.entries()? {
        let entry = entry?;
        if entry.name() != Some(LOST_AND_FOUND) {
            return Ok(Some(entry.shown_name()));
        }
    }
    Ok(None)
}

/// Gives what is in a directory the modes of a spool's files. Returns what another user owns, and who.
///
/// The directory itself is tightened already, so nobody else changes what its names mean.
fn tighten_below(
    dir: &Dir,
    sharing: Sharing,
    us: u32,
    depth: usize,
) -> io::Result<Option<(String, u32)>> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = match entry.name() {
            Some(LOST_AND_FOUND) | None => continue,
            Some(name) => name,
        };
        let about = match dir.about(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.st_uid != us && sharing == Sharing::Owner {
            let path = dir.path(name).display().to_string();
            return Ok(Some((path, about.st_uid)));
        }
        if about.st_uid != us {
            continue;
        }
        let mode = Mode::from_raw_mode(about.st_mode);
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory if depth > 0 => {
                dir.set_rights(name, tightened(mode, sharing.dir_mode()), None)?;
                let found = tighten_below(&dir.subdir(name)?, sharing, us, depth - 1)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            // A file with another name elsewhere is not only the spool's.
            FileType::RegularFile if about.st_nlink == 1 => {
                dir.set_rights(name, tightened(mode, sharing.file_mode()), None)?;
            }
            FileType::Socket => {
                dir.set_rights(name, tightened(mode, sharing.file_mode()), None)?;
            }
            _ => {}
        }
    }
    Ok(None)
}

fn open_to_others(dir: &Path, about: &Metadata) -> String {
    format!(
        "others may write to it (mode {:04o}); its application takes that back when it opens it, or: chmod 0700 {}; {IN_CONTAINERS}",
        about.mode() & 0o7777,
        shell_word(&dir.display().to_string())
    )
}

fn refusal(dir: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::SpoolMismatch,
        format!("{}: {why}", spool_name(dir)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_used_tightened_or_refused_by_its_owner_its_group_and_its_mode() {
        use GroupTrust::{Allow, Refuse};
        #[derive(Debug, PartialEq)]
        enum Said {
            Own,
            Shared,
            Tighten,
            Refused(&'static str),
        }
        use Said::{Own, Refused, Shared, Tighten};
        let is_our_group = |gid| [1000, 2000].contains(&gid);
        let subdirectory = "fsGroupChangePolicy: OnRootMismatch";
        // Owner, group, mode, what the configuration says, judgement.
        let cases = [
            (1000, 1000, 0o700, Refuse, Own),
            (1000, 1000, 0o755, Refuse, Own),
            (1000, 2000, 0o2770, Refuse, Tighten),
            (1000, 2000, 0o2770, Allow, Shared),
            (1000, 2000, 0o2750, Allow, Own),
            // Kubernetes gave it to a group that this process is not in, and so cannot make files for.
            (1000, 3000, 0o2770, Allow, Own),
            (1000, 3000, 0o2777, Allow, Tighten),
            (1000, 2000, 0o777, Refuse, Tighten),
            (1000, 2000, 0o777, Allow, Tighten),
            (1000, 1000, 0o1777, Refuse, Refused("a directory below it")),
            (0, 0, 0o777, Refuse, Refused(subdirectory)),
            (0, 2000, 0o2777, Allow, Refused(subdirectory)),
            (0, 2000, 0o2770, Refuse, Refused("trust_group = true")),
            (0, 2000, 0o2770, Allow, Shared),
            (1001, 2000, 0o2770, Allow, Shared),
            (1001, 2000, 0o2750, Allow, Refused("belongs to uid 1001")),
            (1001, 3000, 0o2770, Allow, Refused("belongs to uid 1001")),
            (1001, 1001, 0o700, Allow, Refused(subdirectory)),
        ];
        for (uid, gid, mode, trust, expected) in cases {
            let judged = judge(Rights { uid, gid, mode }, 1000, is_our_group, trust);
            let said = match (&judged, &expected) {
                (Judgement::Fine(Sharing::Owner), _) => Own,
                (Judgement::Fine(Sharing::Group(_)), _) => Shared,
                (Judgement::Tighten(_), _) => Tighten,
                (Judgement::Refuse(why), Refused(word)) if why.contains(word) => Refused(word),
                (Judgement::Refuse(_), _) => Refused("otherwise"),
            };
            assert_eq!(said, expected, "{uid} {gid} {mode:o} {trust:?}: {judged:?}");
        }
    }
}
