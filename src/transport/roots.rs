//! The trusted roots of TLS: `ca_file` alone, or else the system's bundle, or else the compiled-in one.
//!
//! A process runs for months, and its roots are replaced meanwhile. So each new connection looks whether their
//! files have changed, and they are read again after a handshake that failed. A `ca_file` that cannot be
//! read any more is trusted no longer: what it said may have been taken back. These reads have no deadline: a
//! file on a network that hangs holds up the connections that look at it.
//!
//! The paths are fixed here because the usual crates read the environment (`SSL_CERT_FILE`) first. A
//! `ca_file` is read strictly, because an operator chose it. A system's bundle often contains a few
//! unusable certificates, which are skipped as other programs do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::FileType;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use ureq::config::Config;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use ureq::unversioned::transport::RustlsConnector;

use super::config;
use crate::error::{Error, ErrorKind, Result};
use crate::mutex::lock;
use crate::process::read_file;

/// A system's bundle has a fiftieth of this.
const BUNDLE_BYTES: u64 = 16 * 1024 * 1024;

/// Where systems keep their bundles: Debian, Fedora, RHEL, openSUSE, Alpine and macOS, FreeBSD.
pub const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The roots of one transport.
pub(super) struct Roots {
    ca_file: Option<PathBuf>,
    bundles: Vec<PathBuf>,
    last_read: Mutex<Option<(Vec<FileState>, Arc<Trusting>)>>,
}

/// Device, inode, size, and the times of change of content and file; `None`: there is no file.
type FileState = Option<(u64, u64, i64, [i64; 4])>;

/// The state of a pipe, which can be read once.
const PIPE: FileState = Some((0, 0, 0, [0; 4]));

/// What makes TLS connections that trust the roots.
pub(super) struct Trusting {
    pub(super) config: Config,
    pub(super) connector: RustlsConnector,
}

impl Roots {
    pub(super) fn new(ca_file: Option<PathBuf>, bundles: Vec<PathBuf>) -> Self {
        Self {
            ca_file,
            bundles,
            last_read: Mutex::default(),
        }
    }

    /// What trusts the roots as their files are now.
    ///
    /// Error: [`ErrorKind::Config`] that names `ca_file`.
    pub(super) fn current(&self) -> Result<Arc<Trusting>> {
        let paths = match &self.ca_file {
            Some(path) => std::slice::from_ref(path),
            None => &self.bundles[..],
        };
        // Before the read: a file that changes during it is read again the next time.
        let now: Vec<_> = paths.iter().map(|path| file_state(path)).collect();
        if let Some((then, trusting)) = &*lock(&self.last_read)
            && *then == now
        {
            return Ok(Arc::clone(trusting));
        }
        // Without the lock: a slow file does not hold up who has no need to read it.
        let roots = match &self.ca_file {
            Some(path) => certificates(path, Strictness::Refuse)?,
            None => from_system(&self.bundles),
        };
        let config = config(None, false, Duration::ZERO, Duration::ZERO, roots);
        let connector = RustlsConnector::default();
        let trusting = Arc::new(Trusting { config, connector });
        *lock(&self.last_read) = Some((now, Arc::clone(&trusting)));
        Ok(trusting)
    }

    /// A handshake failed: a file may have changed without a sign of it, over a network.
    pub(super) fn forget(&self) {
        let mut last_read = lock(&self.last_read);
        if last_read.as_ref().is_some_and(|(then, _)| then[0] != PIPE) {
            *last_read = None;
        }
    }
}

fn file_state(path: &Path) -> FileState {
    let about = rustix::fs::stat(path).ok()?;
    let times = [
        about.st_mtime,
        about.st_mtime_nsec,
        about.st_ctime,
        about.st_ctime_nsec,
    ];
    match FileType::from_raw_mode(about.st_mode).is_file() {
        true => Some((about.st_dev, about.st_ino, about.st_size, times)),
        false => PIPE,
    }
}

/// The first of `bundles` with a usable certificate, or else the compiled-in roots.
pub(super) fn from_system(bundles: &[PathBuf]) -> RootCerts {
    let usable = |path: &PathBuf| certificates(path, Strictness::SkipUnusable).ok();
    bundles.iter().find_map(usable).unwrap_or(RootCerts::WebPki)
}

/// What becomes of a certificate that cannot be used.
#[derive(Clone, Copy, PartialEq)]
enum Strictness {
    /// Of an operator's bundle, all have to be usable.
    Refuse,
    /// A system's has some that are not.
    SkipUnusable,
}

/// The certificates of a bundle, at least one.
fn certificates(path: &Path, strictness: Strictness) -> Result<RootCerts> {
    let refused = |why: String| {
        let message = format!("ca_file: {}: {why}", path.display());
        Error::new(ErrorKind::Config, message)
    };
    let pem = read_bundle(path).map_err(|cause| refused(cause.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        let number = roots.len() + 1;
        let wrong = match item {
            Ok(PemItem::Certificate(certificate)) => match check(&certificate) {
                Ok(()) => {
                    roots.push(certificate);
                    continue;
                }
                Err(why) => format!("certificate {number} is unusable: {why}"),
            },
            Ok(_) => continue,
            Err(error) => format!("damaged at certificate {number}: {error}"),
        };
        if strictness == Strictness::Refuse {
            return Err(refused(wrong));
        }
    }
    if roots.is_empty() {
        return Err(refused(
            "contains no certificate; a PEM bundle is expected".into(),
        ));
    }
    Ok(RootCerts::from(roots))
}

/// Reads a file of certificates, up to a bound that no bundle reaches.
fn read_bundle(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    read_file(path, BUNDLE_BYTES + 1, &mut pem)?;
    match pem.len() as u64 <= BUNDLE_BYTES {
        true => Ok(pem),
        false => Err(io::Error::other(format!(
            "has more than {BUNDLE_BYTES} bytes, which no bundle has"
        ))),
    }
}

fn check(certificate: &Certificate<'_>) -> std::result::Result<(), rustls::Error> {
    RootCertStore::empty().add(CertificateDer::from(certificate.der()))
}
