//! `identity.json`: the user, endpoint and account that a spool belongs to, the directory that it
//! was created in, and the boots of the host that it has seen.

use std::fs::{File, Metadata};
use std::io::{ErrorKind as IoKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dir::{Dir, Safety};
use super::directory::{file_system, open_own_dir, open_own_dir_to_read, sync_ancestors};
use super::files::spool_name;
use super::layers::{is_overlay, refuse_lower_layer};
use super::lock_file::{LockFile, SENDER_LOCK};
use super::lost_identity;
use super::place::{Noted, Place};
use super::rights::GroupTrust;
use super::walk::Missing;
use crate::error::{Error, ErrorKind, Result};
use crate::spelling::shell_word;

pub(super) const NAME: &str = "identity.json";
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
    /// The directory that it was written for.
    #[serde(flatten)]
    pub(super) place: Place,
    pub(super) boot_id: String,
    pub(super) boot_count: u32,
}

/// Makes a spool usable again that was copied or moved to `dir`, or whose endpoint or account
/// changes.
///
/// The caller promises that no other copy of it will ever send: everything pending in both would be
/// sent twice. A spool that has lost its identity gets a new one, for `destination`.
///
/// Errors: [`Timeout`](ErrorKind::Timeout) if the endpoint or account changes while a process sends
/// from the spool, because that process would go on sending to the old destination;
/// [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is no spool; [`Io`](ErrorKind::Io).
pub fn adopt(dir: &Path, destination: Destination<'_>) -> Result<()> {
    let (mut opened, mut about) = open_own_dir(dir, Missing::Fail, GroupTrust::Allow)?;
    if file_system(dir, &opened).is_ok_and(is_overlay) {
        refuse_lower_layer(dir, &opened)?;
        (opened, about) = open_own_dir(dir, Missing::Fail, GroupTrust::Allow)?;
    }
    let _setup = lock_identity(&opened)?;
    let place = place_of(dir, &opened, &about)?;
    let known = match read_identity(&opened)? {
        None if !lost_identity::has_events(&opened) => {
            return Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!("{}: there is no spool to adopt", spool_name(dir)),
            ));
        }
        known => known,
    };
    // Without an identity it is not known where a sender sends.
    let changes = known.as_ref().is_none_or(|known| {
        (&*known.endpoint, &*known.account) != (destination.endpoint, destination.account)
    });
    let mut identity = match known {
        Some(known) => known,
        None => {
            let boot_count = lost_identity::boot_count(&opened);
            let fresh = Identity::new(&about, place.clone(), destination, &read_boot_id()?);
            Identity {
                boot_count,
                ..fresh
            }
        }
    };
    let _no_sender = changes
        .then(|| lock_out_senders(dir, &opened))
        .transpose()?;
    identity.endpoint = destination.endpoint.to_owned();
    identity.account = destination.account.to_owned();
    identity.place = place;
    write_identity(&opened, &identity)
}

/// Checks that no process sends from the spool at `dir`, so that nobody is asked about a change of its endpoint
/// or account that [`adopt`] refuses. One may be elected right behind this.
///
/// Errors: as [`adopt`].
pub fn check_no_sender(dir: &Path) -> Result<()> {
    let opened = open_own_dir(dir, Missing::Fail, GroupTrust::Allow)?.0;
    match opened.about(SENDER_LOCK) {
        // Nobody has sent from it yet, and nothing is to be made here.
        Err(e) if e.kind() == IoKind::NotFound => Ok(()),
        _ => lock_out_senders(dir, &opened).map(drop),
    }
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
    let (identity, opened, about) = require_identity(dir)?;
    let place = place_of(dir, &opened, &about)?;
    Ok(Description {
        is_elsewhere: identity.is_elsewhere(&place, &read_boot_id()?),
        endpoint: identity.endpoint,
        account: identity.account,
    })
}

/// Whether the spool at `dir` has events and no `identity.json`: [`adopt`] makes a new one.
///
/// Errors: as [`describe`].
pub fn has_lost_identity(dir: &Path) -> Result<bool> {
    let (opened, _) = open_own_dir_to_read(dir)?;
    Ok(read_identity(&opened)?.is_none() && lost_identity::has_events(&opened))
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

/// The command that gives a spool without an identity a new one.
pub(super) fn adopt_command_for(dir: &Path, wanted: Option<Destination<'_>>) -> String {
    let none = Destination {
        endpoint: "",
        account: "",
    };
    match wanted {
        Some(wanted) => adopt_command(dir, none, wanted),
        None => format!("{} --endpoint URL", adopt_command(dir, none, none)),
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
    let (opened, about) = open_own_dir_to_read(dir)?;
    match read_identity(&opened)? {
        Some(identity) => Ok((identity, opened, about)),
        None if lost_identity::has_events(&opened) => Err(lost_identity::lost(dir, None)),
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
    /// The identity of a spool that this boot is the first of.
    fn new(about: &Metadata, place: Place, destination: Destination<'_>, boot_id: &str) -> Self {
        Self {
            format: FORMAT,
            uid: about.uid(),
            endpoint: destination.endpoint.to_owned(),
            account: destination.account.to_owned(),
            place,
            boot_id: boot_id.to_owned(),
            boot_count: 1,
        }
    }

    /// Whether it was written for another directory than the one at `place`.
    fn is_elsewhere(&self, place: &Place, boot_id: &str) -> bool {
        let noted = match self.boot_id == boot_id {
            true => Noted::InThisBoot,
            false => Noted::Earlier,
        };
        !self.place.is_at(place, noted) || self.place.is_beside_its_original(place, noted)
    }

    /// How many boots of the host the spool has seen, including the one with this id.
    pub(super) fn boot_count_at(&self, boot_id: &str) -> u32 {
        self.boot_count + u32::from(self.boot_id != boot_id)
    }

    /// Whether it already has this directory and this boot, so that nothing has to be written.
    pub(super) fn is_up_to_date(&self, place: &Place, boot_id: &str) -> bool {
        self.boot_id == boot_id && self.place.has_all_of(place)
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
                    "{}: belongs to {what} {theirs:?}, not {ours:?}; set {what} = {theirs:?}, or name another spool; only if its events are to go to {ours:?} from now on: {}",
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
    place: &Place,
    destination: Destination<'_>,
    boot_id: &str,
) -> Result<Identity> {
    let _setup = lock_identity(opened)?;
    let identity = match read_identity(opened)? {
        Some(identity) if identity.is_up_to_date(place, boot_id) => return Ok(identity),
        Some(mut known) => {
            if known.is_elsewhere(place, boot_id) {
                return Err(refuse_copy(dir, opened));
            }
            known.place.follow(place);
            Identity {
                boot_id: boot_id.to_owned(),
                boot_count: known.boot_count_at(boot_id),
                ..known
            }
        }
        None if lost_identity::has_events(opened) => {
            return Err(lost_identity::lost(dir, Some(destination)));
        }
        None => {
            // Before another process can find the spool: what that process acknowledges must not
            // depend on a directory entry that is not durable.
            sync_ancestors(dir)?;
            Identity::new(about, place.clone(), destination, boot_id)
        }
    };
    write_identity(opened, &identity)?;
    Ok(identity)
}

fn refuse_copy(dir: &Path, opened: &Dir) -> Error {
    let what = match file_system(dir, opened).is_ok_and(is_overlay) {
        false => "is a copy of another spool",
        true => {
            "is a copy of another spool, or was made with the container's image or in another container: mount a volume here, or name a directory that the image does not have"
        }
    };
    Error::new(
        ErrorKind::SpoolMismatch,
        format!(
            "{}: {what}; sending from both would deliver every event twice; if the other one is gone: meditopia adopt {}",
            spool_name(dir),
            shell_word(&dir.display().to_string())
        ),
    )
}

/// Where an open directory is.
pub(super) fn place_of(dir: &Path, opened: &Dir, about: &Metadata) -> Result<Place> {
    Ok(Place::of(opened, about, file_system(dir, opened)?))
}

/// Writes the identity of an open spool again, if the file is gone.
pub(super) fn restore_identity(opened: &Dir, identity: &Identity) -> Result<bool> {
    let _setup = lock_identity(opened)?;
    if read_identity(opened)?.is_some() {
        return Ok(false);
    }
    write_identity(opened, identity)?;
    Ok(true)
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
