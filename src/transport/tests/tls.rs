//! TLS against real servers: which certificates the client trusts, and that nothing is sent before.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::server::{Authority, Server};
use super::*;

#[test]
fn a_server_certified_by_ca_file_is_trusted() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let transport = Options::new(server.https())
        .ca_file(authority.bundle())
        .open();

    for _ in 0..50 {
        assert_eq!(transport.post_once().answer().status, 204);
    }

    assert_eq!(server.connections(), 1);
    assert_eq!(server.requests()[49].body, BODY);
}

#[test]
fn a_large_request_body_arrives_whole_over_tls() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let transport = Options::new(server.https())
        .ca_file(authority.bundle())
        .open();
    let body: Vec<u8> = (0..1_000_000_u32).map(|at| at as u8).collect();

    transport.post(&token(), &body).answer();

    assert!(server.requests()[0].body == body);
}

#[test]
fn a_request_is_not_sent_if_the_certificate_has_an_unknown_issuer() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start_tls(&theirs.certify("localhost"), |peer| peer.serve(NO_CONTENT));
    let named = Options::new(server.https()).ca_file(ours.bundle());
    let by_system = Options::new(server.https());

    for options in [named, by_system] {
        let why = options.open().post_once().not_sent();
        let expected = format!(
            "TLS with localhost:{}: certificate not trusted (unknown issuer); set ca_file",
            server.address.port()
        );
        assert!(why.starts_with(&expected), "{why}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_request_is_not_sent_if_the_certificate_has_expired() {
    let authority = Authority::new();
    let expired = authority.certify_with("localhost", |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let server = Server::start_tls(&expired, |peer| peer.serve(NO_CONTENT));
    let transport = Options::new(server.https())
        .ca_file(authority.bundle())
        .open();

    let why = transport.post_once().not_sent();

    assert!(why.contains("certificate has expired"), "{why}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_request_is_not_sent_if_the_certificate_is_for_another_host() {
    let authority = Authority::new();
    let other = authority.certify("elsewhere.example");
    let server = Server::start_tls(&other, |peer| peer.serve(NO_CONTENT));
    let transport = Options::new(server.https())
        .ca_file(authority.bundle())
        .open();

    let why = transport.post_once().not_sent();

    assert!(
        why.contains("another name") && why.contains("elsewhere.example"),
        "{why}"
    );
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_request_to_an_https_endpoint_is_never_sent_in_the_clear() {
    let server = Server::start(|peer| {
        peer.first_byte();
        peer.send(NO_CONTENT);
        peer.serve(NO_CONTENT);
    });

    let why = Options::new(server.https()).open().post_once().not_sent();

    assert!(why.ends_with("the server does not speak TLS"), "{why}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_request_is_not_sent_if_the_tls_handshake_never_ends() {
    let (done, wait) = channel();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer| peer.stall(&wait));
    let transport = Options::new(server.https())
        .connect_timeout(millis(200))
        .open();

    let why = transport.post_once().not_sent();

    drop(done);
    assert!(
        why.starts_with("TLS with ") && why.ends_with("timed out"),
        "{why}"
    );
}

#[test]
fn a_request_is_not_sent_if_the_tls_handshake_is_cut_off() {
    let server = Server::start(|peer| {
        peer.first_byte();
    });

    let why = Options::new(server.https()).open().post_once().not_sent();

    assert!(why.starts_with("TLS with "), "{why}");
}

#[test]
fn a_request_is_unsettled_if_the_connection_closes_after_the_tls_handshake() {
    let authority = Authority::new();
    let identity = authority.certify("localhost");
    for tell in [true, false] {
        let server = Server::start_tls(&identity, move |peer| {
            peer.request();
            if tell {
                peer.close_notify();
            }
        });
        let transport = Options::new(server.https())
            .ca_file(authority.bundle())
            .open();
        transport.post_once().unsettled();
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn an_answer_without_a_length_over_tls_must_end_with_a_close_notify() {
    let authority = Authority::new();
    let identity = authority.certify("localhost");
    let post = |orderly: bool| {
        let server = Server::start_tls(&identity, move |peer| {
            peer.request();
            peer.send(b"HTTP/1.1 422 No\r\nConnection: close\r\n\r\nall");
            if orderly {
                peer.close_notify();
            }
        });
        Options::new(server.https())
            .ca_file(authority.bundle())
            .open()
            .post_once()
    };

    assert_eq!(post(true).answer().body, b"all");
    post(false).unsettled();
}

#[test]
fn a_new_connection_resumes_the_tls_session() {
    let authority = Authority::new();
    let (tell, resumed) = channel();
    let tell = Mutex::new(tell);
    let server = Server::start_tls(&authority.certify("localhost"), move |peer| {
        peer.request();
        tell.lock().unwrap().send(peer.resumed()).unwrap();
        peer.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        peer.close_notify();
    });
    let transport = Options::new(server.https())
        .ca_file(authority.bundle())
        .open();

    let seen = [(); 2].map(|()| {
        transport.post_once().answer();
        resumed.recv().unwrap()
    });

    assert_eq!(seen, [false, true]);
}

#[test]
fn an_unusable_ca_file_is_named_before_the_first_request() {
    let authority = Authority::new();
    let pem = std::fs::read_to_string(authority.bundle()).unwrap();
    let not_a_certificate =
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let cut = &pem[..pem.len() / 2];
    let directory = tempfile::tempdir().unwrap();
    let bundles = [
        (String::new(), "contains no certificate"),
        ("hello\n".to_owned(), "contains no certificate"),
        (
            format!("{pem}{not_a_certificate}"),
            "certificate 2 is unusable",
        ),
        (format!("{pem}{cut}"), "damaged at certificate 2"),
    ];
    for (at, (bundle, expected)) in bundles.into_iter().enumerate() {
        let path = directory.path().join(format!("{at}.pem"));
        std::fs::write(&path, bundle).unwrap();
        let error = Transport::new(&Options::new("https://localhost/").ca_file(&path)).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        let message = error.message();
        assert!(
            message.starts_with(&format!("ca_file: {}", path.display())),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }

    let missing = directory.path().join("missing.pem");
    let error = Transport::new(&Options::new("https://localhost/").ca_file(missing)).unwrap_err();
    assert!(error.message().contains("No such file"), "{error}");
}

#[test]
fn the_first_usable_bundle_of_the_system_supplies_the_roots() {
    use super::super::roots::from_system;
    use ureq::tls::RootCerts;
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.crt");
    std::fs::write(&empty, "# none\n").unwrap();
    let missing = directory.path().join("missing.crt");

    let found = from_system(&[
        missing.clone(),
        empty.clone(),
        authority.bundle().to_owned(),
    ]);
    let compiled_in = from_system(&[missing, empty]);

    assert!(matches!(found, RootCerts::Specific(roots) if roots.len() == 1));
    assert!(matches!(compiled_in, RootCerts::WebPki));
}
