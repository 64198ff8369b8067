//! The TLS of a connection to the store: always checked, certificate and name.

use std::path::Path;
use std::sync::Arc;

use meditopia::internals::transport::SYSTEM_BUNDLES;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::{Failure, Result};

/// What makes connections that trust the authorities of `ca_file`, or else the system's.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<MakeRustlsConnect> {
    let roots = match ca_file {
        Some(file) => named_roots(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Failure::misconfigured(format_args!("TLS: {cause}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// All of them have to be usable, because an operator chose them.
fn named_roots(file: &Path) -> Result<RootCertStore> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::misconfigured(format_args!("the CA file {}: {what}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|cause| wrong(&cause))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|cause| wrong(&cause))?;
        roots.add(certificate).map_err(|cause| wrong(&cause))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"contains no certificate; a PEM bundle is expected")),
        false => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore> {
    for bundle in SYSTEM_BUNDLES {
        let Ok(certificates) = CertificateDer::pem_file_iter(bundle) else {
            continue;
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.flatten());
        if !roots.is_empty() {
            return Ok(roots);
        }
    }
    Err(Failure::misconfigured(
        "this system has no bundle of certificate authorities; install ca-certificates, or name a file with store_ca_file",
    ))
}
