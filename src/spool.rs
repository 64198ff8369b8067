//! The spool directory: where everything lives that outlasts a process, and whose it is.
//!
//! ```text
//! <spool>/identity.json   to which user, endpoint and account it belongs; boots seen
//!         journal/        segments of events, one per writing process
//!         store.db        what the sender has taken over (SQLite)
//!         sender.json     who sends, its heartbeat, how far it has taken over
//!         commands/       operators' wishes, for the sender to carry out
//!         damaged/        bytes of segments that could not be read
//!         wake            socket of the sender
//! ```
//!
//! A spool belongs to one user, one endpoint and one account for ever, because events of different
//! ones must not mix. It also remembers its inode: two copies of one spool would send everything
//! twice, so a copy is refused until an operator adopts it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{Error, ErrorKind, Result};

const FORMAT: u32 = 1;

/// Whether a spool may live on a file system that other hosts see too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFileSystem {
    /// Refused: locks and memory maps cannot be trusted there.
    Refuse,
    /// The operator vouches for it.
    Allow,
}

/// To whom a spool belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belonging<'a> {
    /// The URL that its events go to.
    pub endpoint: &'a str,
    /// Free text that tells two accounts at one endpoint apart.
    pub account: &'a str,
}

/// An open spool directory.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    boot_count: u32,
    device: u64,
    inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    format: u32,
    uid: u32,
    endpoint: String,
    account: String,
    device: u64,
    inode: u64,
    boot_id: String,
    boot_count: u32,
}

impl Spool {
    /// Opens the spool at `dir`, or creates it (0700) with this belonging.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`] if it belongs to another user, endpoint or account, is
    /// writable by others, lies on a network file system, or is a copy; [`ErrorKind::Store`] if a
    /// newer version wrote it; [`ErrorKind::Io`].
    pub fn open(dir: &Path, belonging: Belonging<'_>, network: NetworkFileSystem) -> Result<Self> {
        let created = create_dir(dir)?;
        let (handle, about) = open_own_dir(dir)?;
        if network == NetworkFileSystem::Refuse {
            refuse_network(dir, &handle)?;
        }
        if created {
            sync_parent(dir)?;
        }

        let boot_id = boot_id()?;
        let identity = match read_identity(dir)? {
            Some(identity) if identity.is_settled(&about, &boot_id) => identity,
            _ => settle_identity(dir, &about, belonging, &boot_id)?,
        };
        identity.check(dir, belonging)?;
        Ok(Self {
            dir: dir.to_owned(),
            boot_count: identity.boot_count,
            device: about.dev(),
            inode: about.ino(),
        })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many boots of the host it has seen; the first is 1.
    pub fn boot_count(&self) -> u32 {
        self.boot_count
    }

    /// Device and inode: the same spool under two paths is one spool.
    pub fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// `journal/`, with the segments.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// `damaged/`, with bytes of segments that could not be read.
    pub fn damaged(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    /// `commands/`, with operators' wishes.
    pub fn commands(&self) -> PathBuf {
        self.dir.join("commands")
    }

    /// The SQLite database.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store.db")
    }

    /// The sender's heartbeat.
    pub fn sender(&self) -> PathBuf {
        self.dir.join("sender.json")
    }

    /// The sender's wake-up socket.
    pub fn wake(&self) -> PathBuf {
        self.dir.join("wake")
    }

    /// Makes one of its directories, if it is not there.
    pub fn make_dir(&self, dir: &Path) -> Result<()> {
        if create_dir(dir)? {
            sync_parent(dir)?;
        }
        Ok(())
    }

    /// How messages name it.
    pub fn name(&self) -> String {
        named(&self.dir)
    }
}

/// Takes over a spool that was copied or moved here, or whose endpoint or account has changed.
///
/// The caller vouches that no other copy of it will ever send: everything pending in both would be
/// sent twice.
pub fn adopt(dir: &Path, belonging: Belonging<'_>) -> Result<()> {
    let (_, about) = open_own_dir(dir)?;
    let _setup = setup_lock(dir)?;
    let Some(mut identity) = read_identity(dir)? else {
        return Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!("{}: there is no spool to adopt", named(dir)),
        ));
    };
    identity.endpoint = belonging.endpoint.to_owned();
    identity.account = belonging.account.to_owned();
    (identity.device, identity.inode) = (about.dev(), about.ino());
    write_identity(dir, &identity)
}

impl Identity {
    /// Whether nothing has to be written: it knows this boot and this place.
    fn is_settled(&self, about: &fs::Metadata, boot_id: &str) -> bool {
        self.boot_id == boot_id && self.device == about.dev() && self.inode == about.ino()
    }

    fn check(&self, dir: &Path, belonging: Belonging<'_>) -> Result<()> {
        for (what, ours, theirs) in [
            ("endpoint", belonging.endpoint, &self.endpoint),
            ("account", belonging.account, &self.account),
        ] {
            if ours != theirs {
                return Err(Error::new(
                    ErrorKind::SpoolMismatch,
                    format!(
                        "{}: belongs to {what} {theirs:?}, not {ours:?}; use another spool, or adopt it",
                        named(dir)
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Writes the identity of a new spool, or counts a new boot, one process at a time.
fn settle_identity(
    dir: &Path,
    about: &fs::Metadata,
    belonging: Belonging<'_>,
    boot_id: &str,
) -> Result<Identity> {
    let _setup = setup_lock(dir)?;
    let identity = match read_identity(dir)? {
        Some(identity) if identity.is_settled(about, boot_id) => return Ok(identity),
        Some(known) => {
            // A device number may change with a boot, an inode does not.
            let same_device = known.device == about.dev() || known.boot_id != boot_id;
            if known.inode != about.ino() || !same_device {
                return Err(Error::new(
                    ErrorKind::SpoolMismatch,
                    format!(
                        "{}: is a copy of a spool made elsewhere; sending from both would deliver everything twice; adopt it if the other is gone",
                        named(dir)
                    ),
                ));
            }
            let boots = u32::from(known.boot_id != boot_id);
            Identity {
                device: about.dev(),
                boot_id: boot_id.to_owned(),
                boot_count: known.boot_count + boots,
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
        None => Identity {
            format: FORMAT,
            uid: about.uid(),
            endpoint: belonging.endpoint.to_owned(),
            account: belonging.account.to_owned(),
            device: about.dev(),
            inode: about.ino(),
            boot_id: boot_id.to_owned(),
            boot_count: 1,
        },
    };
    write_identity(dir, &identity)?;
    Ok(identity)
}

fn read_identity(dir: &Path) -> Result<Option<Identity>> {
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

fn write_identity(dir: &Path, identity: &Identity) -> Result<()> {
    let text = serde_json::to_vec_pretty(identity)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("identity: {e}")))?;
    replace_file(&dir.join("identity.json"), &text)
}

/// Replaces a file as a whole, durably: readers see the old one or the new one.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = private_file().truncate(true).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| Error::io(path.display(), e))?;
    sync_parent(path)
}

/// Options for a file that only its owner can read (0600, whatever the umask lets through).
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Serialises the few processes that find a spool new, or a boot new to it.
fn setup_lock(dir: &Path) -> Result<File> {
    let path = dir.join("identity.lock");
    let file = private_file()
        .open(&path)
        .map_err(|e| Error::io(path.display(), e))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|e| Error::io(path.display(), e))?;
    Ok(file)
}

/// Creates `dir` (0700) and what is missing above it; says whether it was missing.
fn create_dir(dir: &Path) -> Result<bool> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(dir) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == IoKind::AlreadyExists => Ok(false),
        Err(e) if e.kind() == IoKind::NotFound => {
            builder
                .recursive(true)
                .create(dir)
                .map_err(|e| unusable(dir, e))?;
            Ok(true)
        }
        Err(e) => Err(unusable(dir, e)),
    }
}

/// Opens the spool's directory, which has to be this user's alone.
fn open_own_dir(dir: &Path) -> Result<(File, fs::Metadata)> {
    let handle = match open_dir(dir) {
        // Another user's spool cannot even be opened, but whose it is can be told.
        Err(e) => {
            if let Ok(about) = fs::metadata(dir) {
                check_rights(dir, &about)?;
            }
            return Err(e);
        }
        Ok(handle) => handle,
    };
    let about = handle.metadata().map_err(|e| Error::io(named(dir), e))?;
    check_rights(dir, &about)?;
    Ok((handle, about))
}

pub(crate) fn open_dir(dir: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| unusable(dir, e))
}

fn unusable(dir: &Path, cause: std::io::Error) -> Error {
    let remedy = match cause.kind() {
        IoKind::PermissionDenied => format!(
            "; this process runs as uid {}, which needs a directory of its own here",
            rustix::process::geteuid().as_raw()
        ),
        IoKind::NotFound | IoKind::NotADirectory | IoKind::ReadOnlyFilesystem => {
            "; name a directory that is there, or that can be made".to_owned()
        }
        _ => String::new(),
    };
    Error::new(ErrorKind::Io, format!("{}: {cause}{remedy}", named(dir)))
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    open_dir(parent)?
        .sync_all()
        .map_err(|e| Error::io(parent.display(), e))
}

fn check_rights(dir: &Path, about: &fs::Metadata) -> Result<()> {
    let us = rustix::process::geteuid().as_raw();
    let refuse = |why: String| {
        Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!("{}: {why}", named(dir)),
        ))
    };
    if about.uid() != us {
        return refuse(format!(
            "belongs to uid {}, this process runs as uid {us}; run as that user, or use another spool",
            about.uid()
        ));
    }
    if about.mode() & 0o022 != 0 {
        return refuse(format!(
            "others may write to it (mode {:04o}); chmod 0700",
            about.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn refuse_network(dir: &Path, handle: &File) -> Result<()> {
    const NETWORK: [(u32, &str); 10] = [
        (0x0000_6969, "NFS"),
        (0x0000_517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
        (0x7375_7245, "Coda"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x6573_5546, "FUSE"),
    ];
    let about = rustix::fs::fstatfs(handle).map_err(|e| Error::io(named(dir), e))?;
    let kind = about.f_type as u32;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: lies on a network file system ({name}), whose locks cannot be trusted; use a local disk, or set allow_network_spool = true",
                named(dir)
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path, _: &File) -> Result<()> {
    Ok(())
}

/// Tells one boot of the host from the next.
#[cfg(target_os = "linux")]
fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let mut text = String::with_capacity(64);
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|e| Error::io(path.display(), e))?;
    Ok(text.trim().to_owned())
}

/// Without a boot id, the time of boot to the minute tells boots apart.
#[cfg(not(target_os = "linux"))]
fn boot_id() -> Result<String> {
    let booted_ms = clock::wall_ms() - (clock::boot_ns() / 1_000_000) as i64;
    Ok(format!("booted-{}", booted_ms / 60_000))
}

fn named(dir: &Path) -> String {
    format!("spool {}", dir.display())
}

/// A directory of its own for `durability = memory`, removed at close.
pub(crate) fn temporary_dir() -> PathBuf {
    // The environment is not read: TMPDIR belongs to the host.
    let shared_memory = Path::new("/dev/shm");
    let base = if shared_memory.is_dir() {
        shared_memory
    } else {
        Path::new("/tmp")
    };
    base.join(format!(
        "meditopia-{}-{:x}-{:08x}",
        rustix::process::getpid().as_raw_nonzero(),
        clock::boot_ns(),
        fastrand::u32(..)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const OURS: Belonging<'_> = Belonging {
        endpoint: "https://api.example/events",
        account: "",
    };

    fn open(dir: &Path) -> Result<Spool> {
        Spool::open(dir, OURS, NetworkFileSystem::Refuse)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_spool_is_private_and_opens_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b/spool");
        let first = open(&dir).unwrap();
        assert_eq!(first.boot_count(), 1);
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("identity.json")), 0o600);
        assert_eq!(open(&dir).unwrap().place(), first.place());
    }

    #[test]
    fn a_spool_of_another_endpoint_or_account_is_refused_and_unchanged() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("spool");
        open(&dir).unwrap();
        let before = fs::read(dir.join("identity.json")).unwrap();
        for other in [
            Belonging {
                endpoint: "https://other.example/events",
                ..OURS
            },
            Belonging {
                account: "staging",
                ..OURS
            },
        ] {
            let error = Spool::open(&dir, other, NetworkFileSystem::Refuse).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SpoolMismatch, "{error}");
        }
        assert_eq!(fs::read(dir.join("identity.json")).unwrap(), before);
    }

    #[test]
    fn a_copied_spool_is_refused_until_adopted() {
        let parent = tempfile::tempdir().unwrap();
        let (dir, copy) = (parent.path().join("spool"), parent.path().join("copy"));
        open(&dir).unwrap();
        DirBuilder::new().mode(0o700).create(&copy).unwrap();
        fs::copy(dir.join("identity.json"), copy.join("identity.json")).unwrap();

        let error = open(&copy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpoolMismatch);
        assert!(error.message().contains("adopt"), "{error}");

        adopt(&copy, OURS).unwrap();
        open(&copy).unwrap();
        open(&dir).unwrap();
    }

    #[test]
    fn a_reboot_is_counted_once_and_survives_a_changed_device_number() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("spool");
        open(&dir).unwrap();
        let mut identity = read_identity(&dir).unwrap().unwrap();
        identity.boot_id = "an earlier boot".to_owned();
        identity.device += 1;
        write_identity(&dir, &identity).unwrap();

        assert_eq!(open(&dir).unwrap().boot_count(), 2);
        assert_eq!(open(&dir).unwrap().boot_count(), 2);
    }

    #[test]
    fn a_spool_that_others_may_write_to_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("spool");
        open(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
        let error = open(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpoolMismatch);
        assert!(error.message().contains("0770"), "{error}");
    }
}
