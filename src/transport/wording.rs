//! Failures in the words of the person who reads them at night, without codes and type names.

use std::fmt;
use std::io;

use rustls::CertificateError;
use ureq::Error;
use ureq::http::Uri;

use super::line::Cut;

/// Host and port of an address; never its user, password or path.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Peer {
    pub(super) fn of(uri: &Uri) -> Self {
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

pub(super) fn of_io(error: &io::Error) -> String {
    use io::ErrorKind::*;
    let words = match error.kind() {
        ConnectionRefused => "connection refused",
        TimedOut => "timed out",
        UnexpectedEof => "the connection was closed",
        ConnectionReset | ConnectionAborted | BrokenPipe => "the connection was reset",
        NetworkUnreachable => "network unreachable",
        HostUnreachable => "host unreachable",
        _ => return without_code(&error.to_string()).to_owned(),
    };
    words.to_owned()
}

fn without_code(text: &str) -> &str {
    text.rfind(" (os error").map_or(text, |at| &text[..at])
}

pub(super) fn of_error(error: &Error) -> String {
    match error {
        Error::Io(cause) => of_io(cause),
        Error::Timeout(_) => "timed out".into(),
        Error::Protocol(cause) => format!("not a valid HTTP answer: {cause}"),
        Error::LargeResponseHeader(_, limit) => {
            format!("the head of the answer is over {limit} bytes")
        }
        Error::Other(cause) if cause.is::<Cut>() => Cut.to_string(),
        other => other.to_string(),
    }
}

/// What a proxy answered to CONNECT; ureq says "proxy server responded 407/407".
pub(super) fn of_refusal(reason: &str) -> String {
    match reason.rsplit_once('/') {
        Some((_, "407")) => "HTTP 407; give user and password in the proxy option".into(),
        Some((_, status)) => format!("HTTP {status}"),
        None => reason.to_owned(),
    }
}

pub(super) fn of_handshake(error: &Error) -> String {
    let of_rustls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(cause) => of_certificate(cause),
        rustls::Error::InvalidMessage(_) => "the other side does not speak TLS".into(),
        rustls::Error::AlertReceived(alert) => format!("refused by the other side ({alert:?})"),
        other => other.to_string(),
    };
    match error {
        Error::Rustls(cause) => of_rustls(cause),
        Error::Io(cause) => match cause.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(inner) => of_rustls(inner),
            None => of_io(cause),
        },
        other => of_error(other),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError::*;
    match error {
        UnknownIssuer => {
            "certificate not trusted (unknown issuer); set ca_file if a private CA or a proxy signs it"
                .into()
        }
        Expired | ExpiredContext { .. } => "certificate has expired; check this host's clock too".into(),
        NotValidYet | NotValidYetContext { .. } => {
            "certificate is not valid yet; check this host's clock".into()
        }
        NotValidForName => "certificate is for another host".into(),
        NotValidForNameContext { presented, .. } => {
            format!("certificate is for another host ({})", presented.join(", "))
        }
        Revoked => "certificate was revoked".into(),
        other => format!("certificate refused: {other}"),
    }
}
