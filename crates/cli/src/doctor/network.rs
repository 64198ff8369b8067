//! The way to the API, or to the proxy before it: name, connection, and who certifies the other side.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use meditopia::internals::config::Settings;
use meditopia::internals::transport::{connect_to, resolve};

use super::certificate;
use super::{Finding, Report};

/// What a program's environment may say about proxies, which the library does not read.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Says whether it makes sense to send a request.
pub fn examine(settings: &Settings, report: &mut Report) -> bool {
    let (whom, host, port) = match &settings.proxy {
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
                format!("{whom} {host}: {why}"),
                "look at the name, and at /etc/resolv.conf",
            ));
            return false;
        }
    };
    report.add(&Finding::ok(
        "name",
        format!("{whom} {host} is {}", shown(&addresses)),
    ));
    match connect_to(&addresses, settings.connect_timeout) {
        Ok((stream, address)) => {
            report.add(&Finding::ok(
                "connection",
                format!("{whom} {address} answers"),
            ));
            if settings.proxy.is_none() && settings.endpoint.is_https() {
                tell_certificate(settings, stream, report);
            }
            true
        }
        Err(why) => {
            let advice = match proxy_variable() {
                Some(name) if settings.proxy.is_none() => {
                    format!("{name} is set, but the library does not read it: set the option proxy")
                }
                _ => format!(
                    "see whether {whom} is up, and whether a firewall lets this host connect to port {port}"
                ),
            };
            report.add(&Finding::fail(
                "connection",
                format!("{whom} {host}:{port}: {why}"),
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

fn shown(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    addresses.join(", ")
}

/// Who has signed what the other side shows; whether that is trusted is for the request to tell.
fn tell_certificate(settings: &Settings, mut stream: TcpStream, report: &mut Report) {
    let host = settings.endpoint.host().trim_matches(['[', ']']);
    let timeout = Some(settings.connect_timeout);
    let timed = stream
        .set_read_timeout(timeout)
        .and_then(|()| stream.set_write_timeout(timeout));
    match timed
        .map_err(|e| e.to_string())
        .and_then(|()| certificate::issuer(host, &mut stream))
    {
        Ok(issuer) => report.add(&Finding::ok(
            "certificate",
            format!("{host} shows one signed by {issuer}"),
        )),
        // The request will fail as well, and says why in the library's words.
        Err(_) => drop(stream.flush()),
    }
}
