//! `identity.json`: the user, endpoint and account that a spool belongs to, the directory that it
//! was created in, and the boots that it has seen.

use std::fs::{File, Metadata};
use std::io::{ErrorKind as IoKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dir::{Dir, Safety};
use super::directory::{file_system, open_own_dir, sync_ancestors};
use super::files::spool_name;
use super::layers::{is_overlay, refuse_lower_layer};
use super::lock_file::{LockFile, SENDER_LOCK};
use super::walk::Missing;
use crate::error::{Error, ErrorKind, Result};
use crate::spelling::shell_word;

const NAME: &str = "identity.json";
const LOCK: &str = "identity.lock";
const FORMAT: u32 = 1;
const BYTES_AT_MOST: usize = 1024 * 1024;
/// A process has the lock while it syncs one small file and the directories above the spool.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the events of a spool go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination<'a> {
    /// The URL that receives them.
    pub endpoint: &'a str,
    /// Free text that distinguishes two accounts at one endpoint.
    pub account: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) format: u32,
    pub(super) uid: u32,
    pub(super) endpoint: String,
    pub(super) account: String,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) boot_id: String,
    pub(super) boot_count: u32,
}

/// Makes a spool usable again that was copied or moved to `dir`, or whose endpoint or account
/// changes.
///
/// The caller promises that no other copy of it will ever send: everything pending in both would be
/// sent twice.
///
/// Errors: [`Timeout`](ErrorKind::Timeout) if the endpoint or account changes while a process sends
/// from the spool, because that process would go on sending to the old destination;
/// [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is no spool; [`Io`](ErrorKind::Io).
pub fn adopt(dir: &Path, destination: Destination<'_>) -> Result<()> {
    let (mut opened, mut about) = open_own_dir(dir, Missing::Fail)?;
    if file_system(dir, &opened).is_ok_and(is_overlay) {
        refuse_lower_layer(dir, &opened)?;
        (opened, about) = open_own_dir(dir, Missing::Fail)?;
    }
    let _setup = lock_identity(&opened)?;
    let Some(mut identity) = read_identity(&opened)? else {
        return Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!("{}: there is no spool to adopt", spool_name(dir)),
        ));
    };
    let changes =
        (&*identity.endpoint, &*identity.account) != (destination.endpoint, destination.account);
    let _no_sender = changes
        .then(|| lock_out_senders(dir, &opened))
        .transpose()?;
    identity.endpoint = destination.endpoint.to_owned();
    identity.account = destination.account.to_owned();
    (identity.device, identity.inode) = (about.dev(), about.ino());
    write_identity(&opened, &identity)
}

/// Takes the lock of a sender; no process is elected while it lives.
fn lock_out_senders(dir: &Path, opened: &Dir) -> Result<LockFile> {
    if let Some(lock) = LockFile::try_take(opened, SENDER_LOCK)? {
        return Ok(lock);
    }
    Err(Error::new(
        ErrorKind::Timeout,
        format!(
            "{}: a process is sending from it to its present endpoint and account; end that one, then adopt",
            spool_name(dir)
        ),
    ))
}

/// What a spool says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The URL that its events go to.
    pub endpoint: String,
    /// The account that it belongs to.
    pub account: String,
    /// It was copied or moved to this directory: no client opens it until an operator adopts it.
    pub is_elsewhere: bool,
}

/// Reads what the spool at `dir` says about itself. Changes nothing.
///
/// Errors: [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is no spool, or it is another
/// user's; [`Store`](ErrorKind::Store) if a newer version wrote it; [`Io`](ErrorKind::Io).
pub fn describe(dir: &Path) -> Result<Description> {
    let (identity, _, about) = require_identity(dir)?;
    Ok(Description {
        is_elsewhere: identity.is_elsewhere(&about, &read_boot_id()?),
        endpoint: identity.endpoint,
        account: identity.account,
    })
}

/// The last boot of a host in which the spool at `dir` was used, as the spool counts them.
pub(crate) fn last_boot_count(dir: &Path) -> Result<u32> {
    Ok(require_identity(dir)?.0.boot_count)
}

impl Description {
    /// The shell command that adopts the spool at `dir` for `wanted`.
    pub fn adopt_command(&self, dir: &Path, wanted: Destination<'_>) -> String {
        adopt_command(dir, self.destination(), wanted)
    }

    /// Where its events go.
    pub fn destination(&self) -> Destination<'_> {
        Destination {
            endpoint: &self.endpoint,
            account: &self.account,
        }
    }
}

fn adopt_command(dir: &Path, owned: Destination<'_>, wanted: Destination<'_>) -> String {
    let options = differences(owned, wanted)
        .map(|(what, _, wanted)| format!(" --{what} {}", shell_word(wanted)));
    format!(
        "meditopia adopt {}{}",
        shell_word(&dir.display().to_string()),
        options.collect::<String>()
    )
}

/// What differs: its name, the present value and the wanted one.
fn differences<'a>(
    owned: Destination<'a>,
    wanted: Destination<'a>,
) -> impl Iterator<Item = (&'static str, &'a str, &'a str)> {
    let both = [
        ("endpoint", owned.endpoint, wanted.endpoint),
        ("account", owned.account, wanted.account),
    ];
    both.into_iter()
        .filter(|(_, owned, wanted)| owned != wanted)
}

/// The identity of the spool at `dir`, which has to exist and to be this user's.
pub(super) fn require_identity(dir: &Path) -> Result<(Identity, Dir, Metadata)> {
    let (opened, about) = open_own_dir(dir, Missing::Fail)?;
    match read_identity(&opened)? {
        Some(identity) => Ok((identity, opened, about)),
        None => Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: there is no spool; name a directory that one of your applications enqueues to",
                spool_name(dir)
            ),
        )),
    }
}

impl Identity {
    /// Whether it was written for another directory. A reboot may change the device number, but not
    /// the inode.
    fn is_elsewhere(&self, about: &Metadata, boot_id: &str) -> bool {
        let same_device = self.device == about.dev() || self.boot_id != boot_id;
        self.inode != about.ino() || !same_device
    }

    /// How many boots of the host the spool has seen, including the one with this id.
    pub(super) fn boot_count_at(&self, boot_id: &str) -> u32 {
        self.boot_count + u32::from(self.boot_id != boot_id)
    }

    /// Whether it already has this directory and this boot, so that nothing has to be written.
    pub(super) fn is_up_to_date(&self, about: &Metadata, boot_id: &str) -> bool {
        self.boot_id == boot_id && self.device == about.dev() && self.inode == about.ino()
    }

    pub(super) fn check(&self, dir: &Path, destination: Destination<'_>) -> Result<()> {
        let owned = Destination {
            endpoint: &self.endpoint,
            account: &self.account,
        };
        match differences(owned, destination).next() {
            None => Ok(()),
            Some((what, theirs, ours)) => Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: belongs to {what} {theirs:?}, not {ours:?}; use another spool, or adopt this one: {}",
                    spool_name(dir),
                    adopt_command(dir, owned, destination)
                ),
            )),
        }
    }
}

/// Writes the identity of a new spool, or counts a new boot, one process at a time.
pub(super) fn update_identity(
    dir: &Path,
    opened: &Dir,
    about: &Metadata,
    destination: Destination<'_>,
    boot_id: &str,
) -> Result<Identity> {
    let _setup = lock_identity(opened)?;
    let identity = match read_identity(opened)? {
        Some(identity) if identity.is_up_to_date(about, boot_id) => return Ok(identity),
        Some(known) => {
            if known.is_elsewhere(about, boot_id) {
                return Err(Error::new(
                    ErrorKind::SpoolMismatch,
                    format!(
                        "{}: is a copy of another spool; sending from both would deliver every event twice; if the other one is gone: meditopia adopt {}",
                        spool_name(dir),
                        shell_word(&dir.display().to_string())
                    ),
                ));
            }
            Identity {
                device: about.dev(),
                boot_id: boot_id.to_owned(),
                boot_count: known.boot_count_at(boot_id),
                ..known
            }
        }
        None if opened.about("ledger").is_ok() => {
            return Err(Error::new(
                ErrorKind::Store,
                format!(
                    "{}: has a store but no identity.json; restore that file, or use another spool",
                    spool_name(dir)
                ),
            ));
        }
        None => {
            // Before another process can find the spool: what that process acknowledges must not
            // depend on a directory entry that is not durable.
            sync_ancestors(dir)?;
            Identity {
                format: FORMAT,
                uid: about.uid(),
                endpoint: destination.endpoint.to_owned(),
                account: destination.account.to_owned(),
                device: about.dev(),
                inode: about.ino(),
                boot_id: boot_id.to_owned(),
                boot_count: 1,
            }
        }
    };
    write_identity(opened, &identity)?;
    Ok(identity)
}

pub(super) fn read_identity(dir: &Dir) -> Result<Option<Identity>> {
    let text = match dir.read(NAME, BYTES_AT_MOST) {
        Ok(text) => text,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(dir.error(NAME, e)),
    };
    let path = dir.path(NAME);
    let identity: Identity = serde_json::from_slice(&text).map_err(|e| {
        Error::new(
            ErrorKind::Store,
            format!("{}: cannot be read: {e}; restore it", path.display()),
        )
    })?;
    if identity.format > FORMAT {
        return Err(Error::new(
            ErrorKind::Store,
            format!(
                "{}: has format {}, this library knows {FORMAT}; use a newer libmeditopia",
                path.display(),
                identity.format
            ),
        ));
    }
    Ok(Some(identity))
}

pub(super) fn write_identity(dir: &Dir, identity: &Identity) -> Result<()> {
    let text = serde_json::to_vec_pretty(identity)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("identity: {e}")))?;
    dir.replace(NAME, &text, Safety::Power)
        .map_err(|e| dir.error(NAME, e))
}

/// Takes the lock under which processes write the identity one at a time.
pub(super) fn lock_identity(dir: &Dir) -> Result<LockFile> {
    LockFile::wait_for(dir, LOCK, LOCK_TIMEOUT)
}

/// What distinguishes one boot of the host from the next. Nothing else that every kernel has does: the wall
/// clock can be set, and the id of the kernel's own tmpfs is a new one at each boot only from Linux 5.13 on.
///
/// Errors: [`Config`](ErrorKind::Config) where the file is missing or hidden, which does not pass by itself;
/// [`Io`](ErrorKind::Io).
#[cfg(target_os = "linux")]
pub(super) fn read_boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let mut text = String::with_capacity(64);
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read.map_err(|e| (e.kind(), Error::io(path.display(), e))) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err((IoKind::NotFound | IoKind::NotADirectory | IoKind::PermissionDenied, e)) => {
            let remedy = "events of two boots are told apart by this file; in a chroot, mount --bind it there (an empty file in its place is enough to mount it on); under systemd, leave ProcSubset=pid out";
            Err(Error::new(
                ErrorKind::Config,
                format!("{}; {remedy}", e.message()),
            ))
        }
        Err((_, e)) => Err(e),
    }
}

/// Without a boot id, the minute of the boot distinguishes boots.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_boot_id() -> Result<String> {
    let booted_ms = crate::clock::wall_ms() - (crate::clock::boot_ns() / 1_000_000) as i64;
    Ok(format!("booted-{}", booted_ms / 60_000))
}
