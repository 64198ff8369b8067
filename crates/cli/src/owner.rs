//! With whose rights a command runs: one that root calls goes on as the spool's owner.
//!
//! A spool is its owner's alone. What root made in it the owner's programs could not open, and what a
//! user puts into a directory must not have root read or write elsewhere. So root is given up before
//! the spool is touched, for good, and while the process has one thread. No other program is started, so
//! nothing of root's environment reaches one; and a process that has changed its user can be neither
//! read nor traced by it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getgroups, getuid, setgid, setgroups,
    setuid,
};

use crate::failure::{FAILED, Failure};

/// Goes on as the owner of the directory `spool` if root runs this process; else does nothing.
/// To be called before any thread is started.
///
/// Errors: who owns it cannot be told, or the kernel does not let this process become that user. Then
/// nothing may be done with the spool.
pub fn become_owner_of(spool: &Path) -> Result<(), Failure> {
    if !geteuid().is_root() && !getuid().is_root() {
        return Ok(());
    }
    let shown = spool.display();
    let about = std::fs::metadata(spool).map_err(|e| {
        failure(format!(
            "spool {shown}: {e}, so root cannot tell whose it is; name a spool that is there, or make the directory and give it to its user: install -d -m 0700 -o USER {shown}"
        ))
    })?;
    let uid = Uid::from_raw(about.uid());
    if uid.is_root() {
        return Ok(());
    }
    let (gid, groups) = groups_of(uid, Gid::from_raw(about.gid())).map_err(|e| {
        failure(format!(
            "spool {shown}: the groups of its owner, uid {uid}: {e}; run the command as that user"
        ))
    })?;
    // The groups first: without root they can no longer be changed.
    setgroups(&groups)
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|e| {
            failure(format!(
                "spool {shown}: belongs to uid {uid}, and root cannot become that user here: {e}; run the command as that user"
            ))
        })?;
    check(uid, gid, &groups).map_err(|what| {
        failure(format!(
            "spool {shown}: belongs to uid {uid}, and {what}; run the command as that user"
        ))
    })
}

/// What messages call the user that this process runs as.
pub fn name() -> String {
    let uid = geteuid();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}

/// Whether this process may not read a file.
pub fn is_refused(file: &Path) -> bool {
    File::open(file).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

/// The main group and all groups of a user; for one that the system has no name for, the group of its
/// directory, but never root's.
fn groups_of(uid: Uid, of_directory: Gid) -> nix::Result<(Gid, Vec<Gid>)> {
    let named = User::from_uid(uid)?;
    let Some((user, name)) = named.and_then(|user| {
        let name = std::ffi::CString::new(user.name.as_bytes()).ok()?;
        Some((user, name))
    }) else {
        let own = Gid::from_raw(uid.as_raw());
        let gid = if of_directory.as_raw() == 0 {
            own
        } else {
            of_directory
        };
        return Ok((gid, vec![gid]));
    };
    Ok((user.gid, getgrouplist(&name, user.gid)?))
}

/// Does not take the kernel's word: that it is that user now, and that there is no way back.
fn check(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), String> {
    let is_owner = (getuid(), geteuid()) == (uid, uid) && (getgid(), getegid()) == (gid, gid);
    let left: Vec<Gid> = getgroups().map_err(|e| format!("its groups cannot be told: {e}"))?;
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
