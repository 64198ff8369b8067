//! Failures in words for people, without error numbers and type names.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};
use ureq::Error;
use ureq::http::Uri;

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
    if let Some(cause) = of_rustls(error) {
        return describe_tls(cause);
    }
    match error {
        Error::Io(cause) => describe_io(cause),
        Error::Tls(_) => "the host is no name that a certificate can be for; check endpoint".into(),
        Error::Timeout(_) => "timed out".into(),
        Error::Protocol(cause) => format!("not a valid HTTP answer: {cause}"),
        Error::LargeResponseHeader(_, limit) => {
            format!("the head of the answer is larger than {limit} bytes")
        }
        Error::Other(cause) => cause.to_string(),
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

/// Whether the server looked at the client's certificate in its handshake, and ended that.
pub(super) fn lacks_client_certificate(error: &Error) -> bool {
    matches!(of_rustls(error), Some(rustls::Error::AlertReceived(alert)) if is_about_client(*alert))
}

/// Whether a server says this only of a client's certificate.
fn is_about_client(alert: AlertDescription) -> bool {
    use AlertDescription::*;
    matches!(
        alert,
        CertificateRequired
            | NoCertificate
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
    )
}

fn of_rustls(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Rustls(cause) => Some(cause),
        Error::Io(cause) => cause.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn describe_tls(error: &rustls::Error) -> String {
    use AlertDescription as Alert;
    use rustls::Error as Tls;
    use rustls::PeerIncompatible as Incompatible;
    let words = match error {
        Tls::InvalidCertificate(cause) => return describe_certificate(cause),
        Tls::InvalidMessage(_) => "the server does not speak TLS",
        Tls::NoCertificatesPresented => "the server presents no certificate",
        Tls::AlertReceived(alert) if is_about_client(*alert) => {
            "the server demands a client certificate, and libmeditopia has none; \
             check endpoint and proxy, because the Partners API demands none"
        }
        Tls::AlertReceived(Alert::ProtocolVersion)
        | Tls::PeerIncompatible(
            Incompatible::ServerDoesNotSupportTls12Or13
            | Incompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server speaks neither TLS 1.2 nor 1.3; it needs a newer configuration",
        Tls::AlertReceived(Alert::UnrecognisedName) => {
            "the server does not know the host's name; check endpoint and DNS"
        }
        Tls::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity) => {
            "the server refused the handshake; it demands a client certificate, \
             or has no cipher of TLS 1.2 with ECDHE or of TLS 1.3"
        }
        Tls::DecryptError | Tls::PeerSentOversizedRecord => {
            "TLS bytes were damaged on the way, or by a program in between"
        }
        other => {
            let why = in_words(&other.to_string());
            return format!("the server refused TLS, or a program in between broke it ({why})");
        }
    };
    words.to_owned()
}

/// A text of rustls, with the names of variants in it as words: "DecodeError" is "decode error".
fn in_words(text: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for letter in text.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words
}

fn describe_certificate(error: &CertificateError) -> String {
    use CertificateError::*;
    let words = match error {
        UnknownIssuer => {
            "certificate not trusted (unknown issuer); set ca_file if a private CA or a proxy signed it"
        }
        Expired | ExpiredContext { .. } => "certificate has expired; check this host's clock too",
        NotValidYet | NotValidYetContext { .. } => {
            "certificate is not valid yet; check this host's clock"
        }
        NotValidForName => "certificate is for another name; check the host in endpoint",
        NotValidForNameContext { presented, .. } => {
            // Lists of hundreds are common on shared servers.
            let names = presented.get(..5).unwrap_or(presented).join(", ");
            return format!(
                "certificate is for another name ({names}); check the host in endpoint"
            );
        }
        Revoked => "certificate was revoked; the server needs a new one",
        BadSignature => {
            "certificate not trusted (wrong signature); \
             if ca_file names its CA, that has another key now: renew the file"
        }
        InvalidPurpose | InvalidPurposeContext { .. } => {
            "certificate is not one for a server; the server needs one for server authentication"
        }
        UnsupportedSignatureAlgorithmContext { .. }
        | UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "certificate is signed in a way that is not accepted, such as SHA-1; \
             the server needs a newer one"
        }
        BadEncoding => "certificate is damaged; the server needs another one",
        other => {
            // What webpki says has a type of its own, of which only the text is at hand.
            let text = other.to_string();
            // "Other(OtherError(CaUsedAsEndEntity))"
            let name = text.rfind('(').map_or(0, |at| at + 1);
            match text[name..].trim_end_matches(')') {
                "CaUsedAsEndEntity" => {
                    "the server presents the certificate of a CA as its own; \
                     it needs one that the CA has signed, and ca_file names the CA"
                }
                "EndEntityUsedAsCa" => {
                    "certificate is signed by one that is no CA's; the server needs another one"
                }
                "UnsupportedCertVersion" => {
                    "certificate is not of X.509 version 3; the server needs a newer one"
                }
                "NameConstraintViolation" => {
                    "certificate not trusted: its CA may not sign for this name"
                }
                name => {
                    return format!(
                        "certificate refused ({}); the server needs another one",
                        in_words(name)
                    );
                }
            }
        }
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
