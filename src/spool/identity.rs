//! Whose spool it is: one user, endpoint and account, one place on one disk, and the boots it has seen.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::directory::{open_own_dir, sync_way};
use super::files::{named, private_file, replace_file, try_lock};
use crate::error::{Error, ErrorKind, Result};
use crate::spelling::shell_word;

const FORMAT: u32 = 1;

/// To whom a spool belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belonging<'a> {
    /// The URL that its events go to.
    pub endpoint: &'a str,
    /// Free text that tells two accounts at one endpoint apart.
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

/// Takes over a spool that was copied or moved here, or whose endpoint or account has changed.
///
/// The caller vouches that no other copy of it will ever send: everything pending in both would be
/// sent twice.
///
/// Errors: [`Timeout`](ErrorKind::Timeout) if the endpoint or account changes while a process sends from it: that one
/// would send to the old ones; [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is no spool;
/// [`Io`](ErrorKind::Io).
pub fn adopt(dir: &Path, belonging: Belonging<'_>) -> Result<()> {
    let (handle, about) = open_own_dir(dir)?;
    let _setup = setup_lock(dir)?;
    let Some(mut identity) = read_identity(dir)? else {
        return Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!("{}: there is no spool to adopt", named(dir)),
        ));
    };
    if (&*identity.endpoint, &*identity.account) != (belonging.endpoint, belonging.account) {
        expect_no_sender(dir, &handle)?;
    }
    identity.endpoint = belonging.endpoint.to_owned();
    identity.account = belonging.account.to_owned();
    (identity.device, identity.inode) = (about.dev(), about.ino());
    write_identity(dir, &identity)
}

/// Takes the lock that a sender holds, as long as the directory's `handle` is open.
fn expect_no_sender(dir: &Path, handle: &File) -> Result<()> {
    if try_lock(handle, named(dir))? {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Timeout,
        format!(
            "{}: a process sends from it for the endpoint and account that it has; end that one, then adopt",
            named(dir)
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
    /// It was copied or moved here: no client opens it until an operator adopts it.
    pub is_elsewhere: bool,
}

/// What the spool at `dir` says about itself. Changes nothing.
///
/// Errors: [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is none, or it is another user's;
/// [`Store`](ErrorKind::Store) if a newer version wrote it; [`Io`](ErrorKind::Io).
pub fn describe(dir: &Path) -> Result<Description> {
    let (identity, about) = known_identity(dir)?;
    Ok(Description {
        is_elsewhere: identity.is_elsewhere(&about, &boot_id()?),
        endpoint: identity.endpoint,
        account: identity.account,
    })
}

impl Description {
    /// The shell command that gives the spool at `dir` to `wanted`.
    pub fn adopt_command(&self, dir: &Path, wanted: Belonging<'_>) -> String {
        adopt_command(dir, self.belonging(), wanted)
    }

    /// To whom it belongs.
    pub fn belonging(&self) -> Belonging<'_> {
        Belonging {
            endpoint: &self.endpoint,
            account: &self.account,
        }
    }
}

fn adopt_command(dir: &Path, owned: Belonging<'_>, wanted: Belonging<'_>) -> String {
    let options = differences(owned, wanted)
        .map(|(what, _, wanted)| format!(" --{what} {}", shell_word(wanted)));
    format!(
        "meditopia adopt {}{}",
        shell_word(&dir.display().to_string()),
        options.collect::<String>()
    )
}

/// What differs: its name, the one that is owned and the one that is wanted.
fn differences<'a>(
    owned: Belonging<'a>,
    wanted: Belonging<'a>,
) -> impl Iterator<Item = (&'static str, &'a str, &'a str)> {
    let both = [
        ("endpoint", owned.endpoint, wanted.endpoint),
        ("account", owned.account, wanted.account),
    ];
    both.into_iter()
        .filter(|(_, owned, wanted)| owned != wanted)
}

/// The identity of a spool that has to be there and to be this user's.
pub(super) fn known_identity(dir: &Path) -> Result<(Identity, fs::Metadata)> {
    let (_, about) = open_own_dir(dir)?;
    match read_identity(dir)? {
        Some(identity) => Ok((identity, about)),
        None => Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: there is no spool; name a directory that a program of yours enqueues to",
                named(dir)
            ),
        )),
    }
}

impl Identity {
    /// Whether it was made for another directory. A device number may change with a boot, an inode
    /// does not.
    fn is_elsewhere(&self, about: &fs::Metadata, boot_id: &str) -> bool {
        let same_device = self.device == about.dev() || self.boot_id != boot_id;
        self.inode != about.ino() || !same_device
    }

    /// How many boots of the host it has seen, this one included.
    pub(super) fn boots_until(&self, boot_id: &str) -> u32 {
        self.boot_count + u32::from(self.boot_id != boot_id)
    }

    /// Whether nothing has to be written: it knows this boot and this place.
    pub(super) fn is_settled(&self, about: &fs::Metadata, boot_id: &str) -> bool {
        self.boot_id == boot_id && self.device == about.dev() && self.inode == about.ino()
    }

    pub(super) fn check(&self, dir: &Path, belonging: Belonging<'_>) -> Result<()> {
        let owned = Belonging {
            endpoint: &self.endpoint,
            account: &self.account,
        };
        match differences(owned, belonging).next() {
            None => Ok(()),
            Some((what, theirs, ours)) => Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: belongs to {what} {theirs:?}, not {ours:?}; use another spool, or give it away: {}",
                    named(dir),
                    adopt_command(dir, owned, belonging)
                ),
            )),
        }
    }
}

/// Writes the identity of a new spool, or counts a new boot, one process at a time.
pub(super) fn settle_identity(
    dir: &Path,
    about: &fs::Metadata,
    belonging: Belonging<'_>,
    boot_id: &str,
) -> Result<Identity> {
    let _setup = setup_lock(dir)?;
    let identity = match read_identity(dir)? {
        Some(identity) if identity.is_settled(about, boot_id) => return Ok(identity),
        Some(known) => {
            if known.is_elsewhere(about, boot_id) {
                return Err(Error::new(
                    ErrorKind::SpoolMismatch,
                    format!(
                        "{}: is a copy of a spool made elsewhere; sending from both would deliver everything twice; if the other is gone: meditopia adopt {}",
                        named(dir),
                        shell_word(&dir.display().to_string())
                    ),
                ));
            }
            Identity {
                device: about.dev(),
                boot_id: boot_id.to_owned(),
                boot_count: known.boots_until(boot_id),
                ..known
            }
        }
        None if dir.join("store.db").exists() => {
            return Err(Error::new(
                ErrorKind::Store,
                format!(
                    "{}: has a store but no identity.json; restore that file, or use another spool",
                    named(dir)
                ),
            ));
        }
        None => {
            // Before anybody finds a spool here: what it is then told is safe must not hang on an
            // entry that is not.
            sync_way(dir)?;
            Identity {
                format: FORMAT,
                uid: about.uid(),
                endpoint: belonging.endpoint.to_owned(),
                account: belonging.account.to_owned(),
                device: about.dev(),
                inode: about.ino(),
                boot_id: boot_id.to_owned(),
                boot_count: 1,
            }
        }
    };
    write_identity(dir, &identity)?;
    Ok(identity)
}

pub(super) fn read_identity(dir: &Path) -> Result<Option<Identity>> {
    let path = dir.join("identity.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path.display(), e)),
    };
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
                named(dir),
                identity.format
            ),
        ));
    }
    Ok(Some(identity))
}

pub(super) fn write_identity(dir: &Path, identity: &Identity) -> Result<()> {
    let text = serde_json::to_vec_pretty(identity)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("identity: {e}")))?;
    replace_file(&dir.join("identity.json"), &text)
}

/// Serialises the few processes that find a spool new, or a boot new to it.
pub(super) fn setup_lock(dir: &Path) -> Result<File> {
    let path = dir.join("identity.lock");
    let file = private_file()
        .open(&path)
        .map_err(|e| Error::io(path.display(), e))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|e| Error::io(path.display(), e))?;
    Ok(file)
}

/// Tells one boot of the host from the next.
#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let mut text = String::with_capacity(64);
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|e| Error::io(path.display(), e))?;
    Ok(text.trim().to_owned())
}

/// Without a boot id, the time of boot to the minute tells boots apart.
#[cfg(not(target_os = "linux"))]
pub(super) fn boot_id() -> Result<String> {
    let booted_ms = crate::clock::wall_ms() - (crate::clock::boot_ns() / 1_000_000) as i64;
    Ok(format!("booted-{}", booted_ms / 60_000))
}
