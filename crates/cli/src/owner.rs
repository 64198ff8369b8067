//! A command that root runs gives up root's rights and continues as the owner of the spool.
//!
//! Only the owner may access a spool. Applications of the owner could not open files that root
//! created there, and the owner must not be able to make root read or write elsewhere, for instance
//! through a symbolic link. So the command gives up root before it touches the spool, for good,
//! while the process has a single thread. It starts no other program that could inherit root's
//! environment, and the kernel does not let the new user read or trace a process that has changed
//! its user.
//!
//! The owner may swap the directory for a link while root looks. So whose it is is read from a descriptor
//! that was opened without following any link that another user may have put there, and so does the library
//! open the spool afterwards.
//!
//! Every other file that the command line or the configuration names is opened afterwards, too, with the
//! owner's rights. One is not, because it may say which spool is meant: the configuration file. Root reads
//! it only if nobody else can change what its path leads to; otherwise the command goes on as the user who
//! can, before it reads the file.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use meditopia::internals::spelling::shell_word;
use meditopia::internals::spool::owner_of;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getgroups, getuid, setgid, setgroups,
    setuid,
};
use rustix::fs::{Mode, OFlags};

use crate::control::{Control, who_controls};
use crate::failure::{FAILED, Failure, USAGE};

/// Whether this process was root's and is another user's now.
static GAVE_UP_ROOT: AtomicBool = AtomicBool::new(false);

/// Whether root started this command, and it goes on as another user. What only root could read is still
/// in this process then: its environment, and what was read of the configuration.
pub fn gave_up_root() -> bool {
    GAVE_UP_ROOT.load(Ordering::Relaxed)
}

/// Makes this process continue as the owner of the directory `spool` if root runs it; otherwise does
/// nothing. Call this before any thread is started. Root goes on as root where there is no such directory,
/// and nobody else can make one.
///
/// Errors: the owner cannot be determined, or the kernel does not let this process become that user.
/// The command must then not touch the spool.
pub fn become_owner_of(spool: &Path) -> Result<(), Failure> {
    if !is_root() {
        return Ok(());
    }
    let shown = spool.display();
    let what = format!("spool {shown}");
    let owner = owner_of(spool).map_err(|e| failure(e.to_string()))?;
    if let Some((uid, gid)) = owner {
        return become_user(Uid::from_raw(uid), Gid::from_raw(gid), &what);
    }
    match who_controls(spool) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err(failure(format!(
            "{what}: there is no such directory, and others than root can make one there, so root cannot tell who is to own it; name a spool that exists, or create the directory for its user: install -d -m 0700 -o USER {}",
            shell_word(&shown.to_string())
        ))),
    }
}

/// Makes this process continue as the user who can change what the path of `file` leads to, if root runs it
/// and there is such a user; says whether there is. Call this before root reads the file.
///
/// Errors: many users can, or the kernel does not let this process become that user.
pub fn become_controller_of(file: &Path) -> Result<bool, Failure> {
    if !is_root() && !gave_up_root() {
        return Ok(false);
    }
    let shown = file.display();
    match who_controls(file) {
        // Opening it says what is wrong.
        Err(_) | Ok(Control::Root) => Ok(false),
        // After a reload it is no longer root that reads it.
        Ok(_) if !is_root() => Ok(true),
        Ok(Control::User { uid, gid }) => {
            let what = format!("{shown} (which uid {uid} can change)");
            become_user(Uid::from_raw(uid), Gid::from_raw(gid), &what)?;
            Ok(true)
        }
        Ok(Control::Anybody { place, mode }) => Err(Failure::new(
            USAGE,
            format!(
                "{shown}: others may write to {} (mode {mode:04o}), and so decide what root opens; name another file, run the command as the spool's owner, or take that right from them: chmod go-w {}",
                place.display(),
                shell_word(&place.display().to_string())
            ),
        )),
    }
}

/// Checks that the spool belongs to the user whose configuration file names it, or says how it is sent.
///
/// Error: it does not, so that this user would act on a spool of another one.
pub fn check_spool_of_controller(file: &Path, spool: &Path) -> Result<(), Failure> {
    let us = geteuid().as_raw();
    match std::fs::metadata(spool).map(|about| about.uid()) {
        Ok(owner) if owner != us => Err(Failure::new(
            USAGE,
            format!(
                "{}: {} can change this file, so the command goes on as that user, and spool {} belongs to uid {owner}; use a configuration file that only root or the spool's owner can change",
                file.display(),
                current_user(),
                spool.display()
            ),
        )),
        // What else is wrong, opening the spool says.
        _ => Ok(()),
    }
}

fn is_root() -> bool {
    geteuid().is_root() || getuid().is_root()
}

/// Makes this process continue as a user, for good. `what` is what the user has, for messages.
fn become_user(uid: Uid, gid: Gid, what: &str) -> Result<(), Failure> {
    if uid.is_root() {
        return Ok(());
    }
    let (gid, groups) = groups_of(uid, gid).map_err(|e| {
        failure(format!(
            "{what}: cannot look up the groups of uid {uid}: {e}; run the command as that user"
        ))
    })?;
    // The groups come first, because only root can change them.
    setgroups(&groups)
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|e| {
            failure(format!(
                "{what}: it belongs to uid {uid}, and root cannot become that user here: {e}; run the command as that user"
            ))
        })?;
    verify_change(uid, gid, &groups).map_err(|problem| {
        failure(format!(
            "{what}: it belongs to uid {uid}, and {problem}; run the command as that user"
        ))
    })?;
    GAVE_UP_ROOT.store(true, Ordering::Relaxed);
    Ok(())
}

/// The name of the user that this process runs as, or `uid 1000` for a user without a name.
pub fn current_user() -> String {
    let uid = geteuid();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}

/// Whether this process lacks the permission to read a file.
pub fn is_unreadable(file: &Path) -> bool {
    // It may be a pipe by now, which would wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(file, flags, Mode::empty());
    opened.is_err_and(|e| io::Error::from(e).kind() == ErrorKind::PermissionDenied)
}

/// The main group and all groups of a user.
///
/// A user whom the system does not know gets the group of the spool's directory, but never root's.
fn groups_of(uid: Uid, group_of_directory: Gid) -> nix::Result<(Gid, Vec<Gid>)> {
    let named = User::from_uid(uid)?;
    let Some((user, name)) = named.and_then(|user| {
        let name = std::ffi::CString::new(user.name.as_bytes()).ok()?;
        Some((user, name))
    }) else {
        let own = Gid::from_raw(uid.as_raw());
        let gid = if group_of_directory.as_raw() == 0 {
            own
        } else {
            group_of_directory
        };
        return Ok((gid, vec![gid]));
    };
    Ok((user.gid, getgrouplist(&name, user.gid)?))
}

/// Verifies that this process runs as that user now, and that it cannot become root again.
fn verify_change(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), String> {
    let is_owner = (getuid(), geteuid()) == (uid, uid) && (getgid(), getegid()) == (gid, gid);
    let left: Vec<Gid> = getgroups().map_err(|e| format!("its groups cannot be read: {e}"))?;
    if !is_owner || left.iter().any(|group| !groups.contains(group)) {
        return Err("this process did not become that user".to_owned());
    }
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err("this process could become root again".to_owned());
    }
    Ok(())
}

fn failure(message: String) -> Failure {
    Failure::new(FAILED, message)
}
