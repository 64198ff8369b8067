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

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use meditopia::internals::spool::owner_of;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getgroups, getuid, setgid, setgroups,
    setuid,
};

use crate::failure::{FAILED, Failure};

/// Makes this process continue as the owner of the directory `spool` if root runs it; otherwise does
/// nothing. Call this before any thread is started.
///
/// Errors: the owner cannot be determined, or the kernel does not let this process become that user.
/// The command must then not touch the spool.
pub fn become_owner_of(spool: &Path) -> Result<(), Failure> {
    if !geteuid().is_root() && !getuid().is_root() {
        return Ok(());
    }
    let shown = spool.display();
    let owner = owner_of(spool).map_err(|e| failure(e.to_string()))?;
    let (owner, group) = owner.ok_or_else(|| {
        failure(format!(
            "spool {shown}: there is no such directory, so root cannot tell who owns it; name a spool that exists, or create the directory for its user: install -d -m 0700 -o USER {shown}"
        ))
    })?;
    let uid = Uid::from_raw(owner);
    if uid.is_root() {
        return Ok(());
    }
    let (gid, groups) = groups_of(uid, Gid::from_raw(group)).map_err(|e| {
        failure(format!(
            "spool {shown}: cannot look up the groups of its owner, uid {uid}: {e}; run the command as that user"
        ))
    })?;
    // The groups come first, because only root can change them.
    setgroups(&groups)
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|e| {
            failure(format!(
                "spool {shown}: it belongs to uid {uid}, and root cannot become that user here: {e}; run the command as that user"
            ))
        })?;
    verify_change(uid, gid, &groups).map_err(|problem| {
        failure(format!(
            "spool {shown}: it belongs to uid {uid}, and {problem}; run the command as that user"
        ))
    })
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
    File::open(file).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
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
