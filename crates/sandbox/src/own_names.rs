//! By which names a server on this host answers.
//!
//! A web page of any site can have its name resolve to this host, and its scripts then read what a server here
//! answers (DNS rebinding). The browser sends that name in `Host`, so that only requests to a name of this host are
//! answered. An address is no name that a site could have: probes and scrapes by the address of a pod are answered.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The names of a server.
#[derive(Debug, Clone)]
pub struct OwnNames {
    port: u16,
    host_name: Option<String>,
    /// Further names. One without a port is answered whatever port the client names.
    more: Arc<[Authority]>,
    /// What a client with another name is told to do.
    advice: &'static str,
}

impl OwnNames {
    /// The names of a server at this port: `localhost`, any address, and `host_name`, each with the port or without
    /// one; and `more`.
    pub fn new(port: u16, host_name: Option<&str>, more: &[Authority]) -> Self {
        Self {
            port,
            host_name: host_name.map(str::to_ascii_lowercase),
            more: more.into(),
            advice: "use localhost or an address, or allow the name (meditopia run --allow-host)",
        }
    }

    /// The same, of a server that no option gives further names.
    pub(crate) fn without_more(self) -> Self {
        Self {
            advice: "use localhost or an address",
            ..self
        }
    }

    /// Whether this server answers a request to `host`, which may have a port.
    pub fn has(&self, host: &Authority) -> bool {
        let (name, port) = (name_of(host), host.port_u16());
        let is_more = |more: &Authority| {
            name_of(more) == name && (more.port().is_none() || more.port_u16() == port)
        };
        if self.more.iter().any(is_more) {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_own = name == "localhost"
            || address.parse::<IpAddr>().is_ok()
            || self.host_name.as_deref() == Some(&name);
        is_own && host.port().is_none_or(|port| port.as_u16() == self.port)
    }
}

fn name_of(host: &Authority) -> String {
    host.host().trim_end_matches('.').to_ascii_lowercase()
}

/// Passes on requests to a name of this server. A request without `Host` is not from a browser.
pub async fn refuse_other_names(
    State(names): State<OwnNames>,
    request: Request,
    next: Next,
) -> Response {
    let in_headers = request.headers().get_all(HOST).iter();
    let in_headers = in_headers.map(|host| Authority::try_from(host.as_bytes()).ok());
    let in_uri = request.uri().authority().cloned().map(Some);
    let is_own = |host: Option<Authority>| host.is_some_and(|host| names.has(&host));
    if in_headers.chain(in_uri).all(is_own) {
        return next.run(request).await;
    }
    let advice = names.advice;
    let refusal =
        format!("the Host of this request is no name of this server with its port; {advice}\n");
    (StatusCode::MISDIRECTED_REQUEST, refusal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_by_its_addresses_and_names_with_its_port_and_by_no_other_name() {
        let more = ["shop.internal", "proxy.internal:80"].map(|name| name.parse().unwrap());
        let names = OwnNames::new(9464, Some("Host-7"), &more);
        let has = |host: &str| host.parse().is_ok_and(|host| names.has(&host));
        for own in [
            "localhost:9464",
            "LOCALHOST.:9464",
            "localhost",
            "127.0.0.1:9464",
            "10.244.1.7:9464",
            "[::1]:9464",
            "[fd00::7]:9464",
            "host-7:9464",
            "HOST-7",
            "shop.internal:1",
            "Shop.Internal",
            "proxy.internal:80",
        ] {
            assert!(has(own), "{own}");
        }
        for other in [
            "evil.example:9464",
            "evil.example",
            "localhost.evil.example:9464",
            "127.0.0.1.evil.example:9464",
            "host-7.evil.example:9464",
            "localhost:80",
            "127.0.0.1:9465",
            "127.1:9464",
            "2130706433:9464",
            "proxy.internal:9464",
            "",
            ":9464",
            "[::1",
        ] {
            assert!(!has(other), "{other}");
        }
    }
}
