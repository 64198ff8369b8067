//! The trusted roots of TLS: `ca_file` alone, or else the system's bundle, or else the compiled-in one.
//!
//! The paths are fixed here because the usual crates read the environment (`SSL_CERT_FILE`) first. A
//! `ca_file` is read strictly, because an operator chose it. A system's bundle often contains a few
//! unusable certificates, which are skipped as other programs do.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::error::{Error, ErrorKind, Result};
use crate::process::read_file;

/// A system's bundle has a fiftieth of this.
const BUNDLE_BYTES: u64 = 16 * 1024 * 1024;

/// Where systems keep their bundles: Debian, Fedora, RHEL, openSUSE, Alpine and macOS, FreeBSD.
pub(super) const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The certificates of an operator's bundle: at least one, and all of them usable.
pub(super) fn from_file(path: &Path) -> Result<RootCerts> {
    let refused = |why: String| {
        let message = format!("ca_file: {}: {why}", path.display());
        Error::new(ErrorKind::Config, message)
    };
    let pem = read_bundle(path).map_err(|cause| refused(cause.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        let number = roots.len() + 1;
        match item {
            Ok(PemItem::Certificate(certificate)) => {
                check(&certificate)
                    .map_err(|why| refused(format!("certificate {number} is unusable: {why}")))?;
                roots.push(certificate);
            }
            Ok(_) => {}
            Err(error) => {
                return Err(refused(format!("damaged at certificate {number}: {error}")));
            }
        }
    }
    if roots.is_empty() {
        return Err(refused(
            "contains no certificate; a PEM bundle is expected".into(),
        ));
    }
    Ok(RootCerts::from(roots))
}

/// The first of `bundles` with a usable certificate, or else the compiled-in roots.
pub(super) fn from_system(bundles: &[PathBuf]) -> RootCerts {
    let usable = |path: &PathBuf| {
        let pem = read_bundle(path).ok()?;
        let roots: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) if check(&certificate).is_ok() => {
                    Some(certificate)
                }
                _ => None,
            })
            .collect();
        (!roots.is_empty()).then(|| RootCerts::from(roots))
    };
    bundles.iter().find_map(usable).unwrap_or(RootCerts::WebPki)
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
