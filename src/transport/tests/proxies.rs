//! Proxies: a tunnel by CONNECT for every endpoint, and requests that a proxy refused, which were
//! never sent.

use super::server::{Authority, Server, refusing_address};
use super::*;

/// A proxy that grants and records every CONNECT.
fn tunnel() -> Server {
    Server::start(|peer| {
        let Some(request) = peer.request() else {
            return;
        };
        let target = request.head.split(' ').nth(1).unwrap().to_owned();
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n");
        peer.tunnel_to(&target);
    })
}

fn address_of(proxy: &Server) -> String {
    format!("http://{}", proxy.address)
}

#[test]
fn an_https_endpoint_is_reached_through_the_proxy_and_the_proxy_never_sees_the_token() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let proxy = tunnel();
    let options = Options::new(server.https())
        .ca_file(authority.bundle())
        .proxy(address_of(&proxy));
    let transport = options.open();

    for _ in 0..3 {
        assert_eq!(transport.post_once().answer().status, 204);
    }

    let connects = proxy.requests();
    assert_eq!(connects.len(), 1, "the tunnel is kept");
    assert!(
        connects[0]
            .head
            .starts_with(&format!("CONNECT localhost:{} ", server.address.port())),
        "{connects:?}"
    );
    assert!(!connects[0].head.contains(TOKEN));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn the_token_of_a_request_over_http_never_goes_to_a_proxy() {
    let server = Server::answering(NO_CONTENT);
    for granting in [true, false] {
        let proxy = if granting {
            tunnel()
        } else {
            Server::answering(NO_CONTENT)
        };
        for host in [
            server.address.to_string(),
            format!("localhost:{}", server.address.port()),
        ] {
            let options = Options::new(format!("http://{host}/")).proxy(address_of(&proxy));

            assert_eq!(options.open().post_once().answer().status, 204);
        }
        assert_eq!(proxy.connections(), 0);
    }
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn the_user_and_password_of_a_proxy_go_to_it_and_into_no_message() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let proxy = tunnel();
    let address = format!("http://ada:l0velace@{}", proxy.address);
    let options = Options::new(server.https()).ca_file(authority.bundle());

    options.proxy(address).open().post_once().answer();

    let connects = proxy.requests();
    let sent = connects[0].header("proxy-authorization");
    assert_eq!(sent, Some("Basic YWRhOmwwdmVsYWNl"));

    let refusing = format!("http://ada:l0velace@{}", refusing_address());
    let transport = Options::new(server.https()).proxy(refusing).open();
    let why = transport.post_once().not_sent();
    assert!(!why.contains("l0velace") && !why.contains("ada"), "{why}");
    assert!(!format!("{transport:?}").contains("l0velace"));
}

#[test]
fn a_request_that_the_proxy_refuses_is_not_sent() {
    let refusals = [
        (
            "407 Proxy Authentication Required",
            "HTTP 407; set the user and password",
        ),
        ("403 Forbidden", "HTTP 403"),
        ("502 Bad Gateway", "HTTP 502"),
    ];
    for (status, expected) in refusals {
        let proxy = Server::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let options = Options::new("https://partners.example.invalid/").proxy(address_of(&proxy));

        let why = options.open().post_once().not_sent();

        let start = format!(
            "proxy {} refused a connection to partners.example.invalid:443: {expected}",
            proxy.address
        );
        assert!(why.starts_with(&start), "{why}");
    }
}

#[test]
fn a_request_is_not_sent_if_the_proxy_is_down_or_hangs_up() {
    let away = refusing_address();
    let options = Options::new("https://partners.example.invalid/");
    let why = options
        .proxy(format!("http://{away}"))
        .open()
        .post_once()
        .not_sent();
    assert_eq!(why, format!("proxy: connect to {away}: connection refused"));

    let rude = Server::start(|peer| drop(peer.request()));
    let options = Options::new("https://partners.example.invalid/").proxy(address_of(&rude));
    let why = options.open().post_once().not_sent();
    assert!(why.starts_with(&format!("proxy {}", rude.address)), "{why}");
}

#[track_caller]
fn assert_given_up_at_the_connect_timeout(proxy: &Server) {
    let options = Options::new("https://partners.example.invalid/").proxy(address_of(proxy));
    let options = options.connect_timeout(millis(300));

    let why = options.open().post_once().not_sent();

    assert_eq!(why, format!("proxy {}: timed out", proxy.address));
}

/// The refusal takes the proxy about 2 s; the connect timeout ends before.
#[test]
fn a_proxy_that_answers_too_slowly_is_given_up_at_the_connect_timeout() {
    let proxy = Server::start(|peer| {
        peer.request();
        peer.send_slowly(b"HTTP/1.1 403 Forbidden\r\nX: ", millis(20));
        peer.send_slowly(&[b'x'; 70], millis(20));
        peer.send(b"\r\n\r\n");
    });
    assert_given_up_at_the_connect_timeout(&proxy);
}

#[test]
fn an_invalid_proxy_option_is_reported_without_its_password() {
    for address in [
        "http://ada:l0velace@",
        "http://ada:l0velace@ho st",
        "socks5://ada:l0velace@h:1",
        "https://ada:l0velace@h:1",
    ] {
        let error = Transport::new(&Options::new("https://localhost/").proxy(address)).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        let message = error.message();
        assert!(message.starts_with("proxy: "), "{message}");
        assert!(!message.contains("l0velace"), "{message}");
    }
}

#[test]
fn a_silent_proxy_is_given_up_at_the_connect_timeout() {
    let proxy = Server::start(|peer| peer.keep_open());
    assert_given_up_at_the_connect_timeout(&proxy);
}
