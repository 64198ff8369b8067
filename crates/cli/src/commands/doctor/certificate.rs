//! Finds out who signed a server's certificate, in particular if the certificate is not trusted.
//!
//! The handshake accepts any certificate; the client only reads it and sends no request.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::output::sanitize;

/// The names of the issuer of the certificate that `host` presents.
pub fn issuer(host: &str, stream: &mut TcpStream) -> Result<String, String> {
    let message = |e: Error| e.to_string();
    let provider = Arc::new(ring::default_provider());
    let recorder = Arc::new(CertificateRecorder {
        provider: Arc::clone(&provider),
        certificate: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(message)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(message)?;
    let handshake = connection.complete_io(stream);
    let certificate = recorder
        .certificate
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match certificate {
        Some(der) => issuer_of(&der).ok_or_else(|| "its issuer cannot be read".to_owned()),
        None => Err(handshake.map_or_else(|e| e.to_string(), |_| "no certificate".to_owned())),
    }
}

/// Accepts every certificate, and keeps it.
#[derive(Debug)]
struct CertificateRecorder {
    provider: Arc<CryptoProvider>,
    certificate: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for CertificateRecorder {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut recorded = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *recorded = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The organisation and common name of the issuer in a certificate (RFC 5280, DER).
fn issuer_of(der: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let (SEQUENCE, certificate, _) = element(der)? else {
        return None;
    };
    let (SEQUENCE, mut rest, _) = element(certificate)? else {
        return None;
    };
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // The serial number and the algorithm precede the issuer.
    let rest = element(element(rest)?.2)?.2;
    let (SEQUENCE, mut names, _) = element(rest)? else {
        return None;
    };
    let mut issuer = Vec::new();
    while !names.is_empty() {
        let (_, set, rest) = element(names)?;
        names = rest;
        let (_, pair, _) = element(set)?;
        let (_, kind, value) = element(pair)?;
        // organizationName and commonName
        if matches!(kind, [0x55, 0x04, 0x0A | 0x03]) {
            let text = String::from_utf8_lossy(element(value)?.1);
            issuer.push(sanitize(&text));
        }
    }
    Some(if issuer.is_empty() {
        "an issuer without a name".to_owned()
    } else {
        issuer.join(", ")
    })
}

/// The tag and the content of the first element of `der`, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let length = bytes
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
