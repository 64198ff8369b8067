//! Failures in words for people, without error numbers and type names.

use std::fmt;
use std::io;

use rustls::CertificateError;
use ureq::Error;
use ureq::http::Uri;

use super::tcp::ConnectionCut;

/// The host and port of an address, without its user, password or path.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Peer {
    pub(super) fn from_uri(uri: &Uri) -> Self {
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        Self {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

pub(super) fn describe_io(error: &io::Error) -> String {
    use io::ErrorKind::*;
    let words = match error.kind() {
        ConnectionRefused => "connection refused",
        TimedOut => "timed out",
        UnexpectedEof => "the connection was closed",
        ConnectionReset | ConnectionAborted | BrokenPipe => "the connection was reset",
        NetworkUnreachable => "network unreachable",
        HostUnreachable => "host unreachable",
        _ => return without_error_number(&error.to_string()).to_owned(),
    };
    words.to_owned()
}

fn without_error_number(text: &str) -> &str {
    text.rfind(" (os error").map_or(text, |at| &text[..at])
}

pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Io(cause) => describe_io(cause),
        Error::Timeout(_) => "timed out".into(),
        Error::Protocol(cause) => format!("not a valid HTTP answer: {cause}"),
        Error::LargeResponseHeader(_, limit) => {
            format!("the head of the answer is larger than {limit} bytes")
        }
        Error::Other(cause) if cause.is::<ConnectionCut>() => ConnectionCut.to_string(),
        other => other.to_string(),
    }
}

/// What a proxy answered to CONNECT. ureq reports it as "proxy server responded 407/407".
pub(super) fn describe_proxy_refusal(reason: &str) -> String {
    match reason.rsplit_once('/') {
        Some((_, "407")) => "HTTP 407; set the user and password in the option proxy".into(),
        Some((_, status)) => format!("HTTP {status}"),
        None => reason.to_owned(),
    }
}

pub(super) fn describe_handshake(error: &Error) -> String {
    let describe_rustls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(cause) => describe_certificate(cause),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".into(),
        rustls::Error::AlertReceived(alert) => {
            format!("the server refused the handshake ({alert:?})")
        }
        other => other.to_string(),
    };
    match error {
        Error::Rustls(cause) => describe_rustls(cause),
        Error::Io(cause) => match cause.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(inner) => describe_rustls(inner),
            None => describe_io(cause),
        },
        other => describe(other),
    }
}

fn describe_certificate(error: &CertificateError) -> String {
    use CertificateError::*;
    match error {
        UnknownIssuer => {
            "certificate not trusted (unknown issuer); set ca_file if a private CA or a proxy signed it"
                .into()
        }
        Expired | ExpiredContext { .. } => "certificate has expired; check this host's clock too".into(),
        NotValidYet | NotValidYetContext { .. } => {
            "certificate is not valid yet; check this host's clock".into()
        }
        NotValidForName => "certificate is for another name".into(),
        NotValidForNameContext { presented, .. } => {
            format!("certificate is for another name ({})", presented.join(", "))
        }
        Revoked => "certificate was revoked".into(),
        other => format!("certificate refused: {other}"),
    }
}
