//! Checks the way to the API, or to the proxy in front of it: name, connection and certificate.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use meditopia::internals::config::Settings;
use meditopia::internals::transport::{connect_to, resolve, without_secret};

use super::certificate;
use super::{Finding, Report};

/// Variables that name a proxy for other programs. The library does not read them.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Returns whether it makes sense to send a request.
pub fn check(settings: &Settings, report: &mut Report) -> bool {
    let proxy = settings.proxy_in_use();
    if settings.proxy.is_some() && proxy.is_none() {
        report.add(&Finding::ok(
            "proxy",
            "not used: the endpoint is on this host",
        ));
    }
    let (peer, host, port) = match proxy {
        Some(proxy) => ("proxy", proxy.host(), proxy.port()),
        None => (
            "endpoint",
            settings.endpoint.host(),
            settings.endpoint.port(),
        ),
    };
    let addresses = match resolve(host, port, settings.connect_timeout) {
        Ok(addresses) => addresses,
        Err(why) => {
            report.add(&Finding::fail(
                "name",
                format!("{peer} {host}: {why}"),
                "check the name, and /etc/resolv.conf",
            ));
            return false;
        }
    };
    report.add(&Finding::ok(
        "name",
        format!("{peer} {host} resolves to {}", join(&addresses)),
    ));
    match connect_to(&addresses, settings.connect_timeout) {
        Ok((stream, address)) => {
            report.add(&Finding::ok(
                "connection",
                format!("{peer} {address} accepts connections"),
            ));
            if proxy.is_none() && settings.endpoint.is_https() {
                report_certificate(settings, stream, report);
            }
            true
        }
        Err(why) => {
            let advice = match proxy_variable() {
                Some(name) if proxy.is_none() => {
                    format!("{name} is set, but the library does not read it: set the option proxy")
                }
                _ => format!(
                    "check that the {peer} is up, and that no firewall blocks connections to port {port}"
                ),
            };
            report.add(&Finding::fail(
                "connection",
                format!("{peer} {host}:{port}: {why}"),
                advice,
            ));
            false
        }
    }
}

fn proxy_variable() -> Option<&'static str> {
    PROXY_VARIABLES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn join(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    addresses.join(", ")
}

/// Reports who signed the certificate. Whether it is trusted shows in the request.
fn report_certificate(settings: &Settings, mut stream: TcpStream, report: &mut Report) {
    let host = settings.endpoint.host().trim_matches(['[', ']']);
    let timeout = Some(settings.connect_timeout);
    let with_timeouts = stream
        .set_read_timeout(timeout)
        .and_then(|()| stream.set_write_timeout(timeout));
    match with_timeouts
        .map_err(|e| e.to_string())
        .and_then(|()| certificate::issuer(host, &mut stream))
    {
        Ok(issuer) => {
            // A server that has seen the token may have put it there.
            let issuer = match settings.bearer_token.read() {
                Ok(Some(token)) => without_secret(token.expose(), issuer),
                _ => issuer,
            };
            report.add(&Finding::ok(
                "certificate",
                format!("{host} presents one signed by {issuer}"),
            ));
        }
        // The request will fail as well and report why.
        Err(_) => drop(stream.flush()),
    }
}
