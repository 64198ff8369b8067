//! Where requests go: the endpoint, and the proxy on the way.
//!
//! Only https leaves the host; http is for tests and relays on the loopback interface. An endpoint
//! may not hold a password, because it is written into the spool. A proxy may, and is therefore a
//! secret.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use secrecy::{ExposeSecret, SecretString};
use ureq::http::Uri;
use ureq::http::uri::Authority;

use crate::spelling::quoted;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The URL that events are posted to, normalised: scheme and host in lower case, no default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    host: String,
    port: u16,
    tls: bool,
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("contains an @; an endpoint takes no user name or password".to_owned());
        }
        let wrong = |what: &str| format!("{} {what}", quoted(text));
        if text.contains('#') {
            return Err(wrong("contains a #fragment, which is never sent"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("is not an https URL")),
        };
        let host = authority.host().to_ascii_lowercase();
        if !tls && !is_loopback(&host) {
            return Err(wrong("is not https; http is for a loopback host only"));
        }
        let default = if tls { HTTPS_PORT } else { HTTP_PORT };
        let port = port(authority, default).ok_or_else(|| wrong("has no usable port"))?;
        let shown_port = match port {
            port if port == default => String::new(),
            port => format!(":{port}"),
        };
        let scheme = if tls { "https" } else { "http" };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            url: format!("{scheme}://{host}{shown_port}{path}"),
            host,
            port,
            tls,
        })
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The host in lower case; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also if it is the default of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the scheme is https. If not, the host is a loopback host.
    pub fn is_https(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// An HTTP proxy. The URL may hold a password, so `Debug` shows host and port alone.
#[derive(Clone)]
pub struct Proxy {
    url: SecretString,
    host: String,
    port: u16,
}

impl Proxy {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(what.to_owned());
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("is not a URL");
        };
        let Some(authority) = uri.authority() else {
            return wrong("has no host");
        };
        if uri.scheme_str() != Some("http") {
            return wrong("is not an http:// URL");
        }
        if !matches!(
            uri.path_and_query().map_or("", |path| path.as_str()),
            "" | "/"
        ) {
            return wrong("has a path; the URL of a proxy has none");
        }
        let Some(port) = port(authority, HTTP_PORT) else {
            return wrong("has no usable port");
        };
        Ok(Self {
            url: text.into(),
            host: authority.host().to_owned(),
            port,
        })
    }

    /// The host as it was written; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also if it is the default.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The whole URL, with the password if it has one.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// The port after the host, or `default`; `None` if that is not a valid port.
fn port(authority: &Authority, default: u16) -> Option<u16> {
    let host = authority.host();
    let after_user = match authority.as_str().rsplit_once('@') {
        Some((_, address)) => address,
        None => authority.as_str(),
    };
    if host.is_empty() {
        return None;
    }
    match after_user.strip_prefix(host)? {
        "" => Some(default),
        port => port
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|&port| port > 0),
    }
}

fn is_loopback(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match (v6, host.parse::<Ipv4Addr>()) {
        (Some(v6), _) => v6
            .parse()
            .is_ok_and(|address: Ipv6Addr| address.is_loopback()),
        (None, Ok(v4)) => v4.is_loopback(),
        (None, Err(_)) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_be_https_on_any_host_but_http_on_a_loopback_host_only() {
        for good in [
            "https://partners.meditopia.com/default/v1/events",
            "https://10.0.0.1:8443",
            "http://localhost:8080/x",
            "http://127.0.0.1/x",
            "http://127.255.0.9:1/x",
            "http://[::1]:8080/x?y=z",
        ] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://partners.meditopia.com/default/v1/events",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://128.0.0.1/",
            "http://[::2]/",
            "http://[::ffff:10.0.0.1]/",
            "http://0.0.0.0/",
            "ftp://localhost/",
            "partners.meditopia.com",
            "/default/v1/events",
            "https://",
            "https://host:0/",
            "https://host:65536/",
            "https://host:/",
            "https://host/ path",
            "https://host/#x",
            "https://host/\r\nx",
            "",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_with_a_password_is_refused_by_an_error_that_does_not_quote_it() {
        for text in [
            "https://u:s3cr3t@host/",
            "http://u:s3cr3t@127.0.0.1@evil/",
            "u:s3cr3t@x",
        ] {
            let wrong = Endpoint::parse(text).expect_err(text);
            assert!(!wrong.contains("s3cr3t"), "{wrong}");
        }
    }

    #[test]
    fn two_spellings_of_one_endpoint_are_equal() {
        let one = Endpoint::parse("HTTPS://Partners.Meditopia.com:443").unwrap();
        let other = Endpoint::parse("https://partners.meditopia.com/").unwrap();
        assert_eq!(one, other);
        assert_eq!(one.as_str(), "https://partners.meditopia.com/");
        let (host, port) = (one.host(), one.port());
        assert_eq!(
            (host, port, one.is_https()),
            ("partners.meditopia.com", 443, true)
        );
        let local = Endpoint::parse("http://[::1]:8080/a?b").unwrap();
        assert_eq!(local.to_string(), "http://[::1]:8080/a?b");
        assert_eq!((local.host(), local.port()), ("[::1]", 8080));
    }

    #[test]
    fn a_proxy_may_have_a_password_which_neither_debug_nor_an_error_shows() {
        let proxy = Proxy::parse("http://u:s3cr3t@proxy:3128").unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy:3128)");
        assert_eq!(proxy.expose(), "http://u:s3cr3t@proxy:3128");
        assert!(Proxy::parse("http://[::1]:3128/").is_ok());
        for bad in [
            "https://u:s3cr3t@proxy:3128",
            "socks5://u:s3cr3t@proxy",
            "u:s3cr3t@proxy:3128",
            "http://u:s3cr3t@proxy/path",
            "http://u:s3cr3t@proxy:x",
            "http://u:s3cr3t@",
            "s3cr3t s3cr3t",
        ] {
            let wrong = Proxy::parse(bad).expect_err(bad);
            assert!(!wrong.contains("s3cr3t"), "{wrong}");
        }
    }
}
