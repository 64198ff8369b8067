//! TLS against real servers: which certificates the client trusts, and that nothing is sent before.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::super::roots::Roots;
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
fn a_ca_file_that_is_replaced_counts_from_the_next_connection_on() {
    const ONCE: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let (old, new) = (Authority::new(), Authority::new());
    let [one, other] = [&old, &new].map(|authority| {
        Server::start_tls(&authority.certify("partners.example"), |peer| {
            peer.serve(ONCE)
        })
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let replace = |by: &Authority| {
        let next = directory.path().join("next.pem");
        std::fs::copy(by.bundle(), &next).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    replace(&old);
    let transport = Options::new("https://partners.example/")
        .ca_file(&path)
        .open();
    let transport = transport.with_addresses(vec![one.address]);
    assert_eq!(transport.post_once().answer().status, 204);

    // A server that the new roots do not certify is trusted no longer.
    replace(&new);
    let why = transport.post_once().not_sent();
    assert!(why.contains("unknown issuer"), "{why}");
    let transport = transport.with_addresses(vec![other.address]);
    assert_eq!(transport.post_once().answer().status, 204);

    // Rewritten in its place.
    std::fs::copy(old.bundle(), &path).unwrap();
    transport.post_once().not_sent();
    std::fs::copy(new.bundle(), &path).unwrap();
    assert_eq!(transport.post_once().answer().status, 204);

    // What it said may have been taken back.
    std::fs::write(&path, "damaged").unwrap();
    let why = transport.post_once().not_sent();
    assert!(
        why.starts_with("ca_file: ") && why.contains("no certificate"),
        "{why}"
    );
    std::fs::remove_file(&path).unwrap();
    let why = transport.post_once().not_sent();
    assert!(why.contains("No such file"), "{why}");
    replace(&new);
    assert_eq!(transport.post_once().answer().status, 204);
}

#[test]
fn the_systems_roots_that_are_replaced_count_from_the_next_connection_on() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start_tls(&ours.certify("localhost"), |peer| peer.serve(NO_CONTENT));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca-certificates.crt");
    std::fs::copy(theirs.bundle(), &path).unwrap();
    let mut transport = Options::new(server.https()).open();
    let missing = directory.path().join("missing.crt");
    transport.roots = Arc::new(Roots::new(None, vec![missing, path.clone()]));
    let why = transport.post_once().not_sent();
    assert!(why.contains("unknown issuer"), "{why}");

    std::fs::copy(ours.bundle(), directory.path().join("next")).unwrap();
    std::fs::rename(directory.path().join("next"), &path).unwrap();

    assert_eq!(transport.post_once().answer().status, 204);
}

#[test]
fn roots_are_read_once_for_many_connections_and_again_after_a_handshake_failed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start_tls(&theirs.certify("localhost"), |peer| peer.serve(NO_CONTENT));
    let transport = Options::new(server.https()).ca_file(ours.bundle()).open();
    let roots = || transport.roots.current().unwrap();
    let first = roots();
    assert!(Arc::ptr_eq(&first, &roots()));

    transport.post_once().not_sent();

    assert!(!Arc::ptr_eq(&first, &roots()));
}

#[test]
fn a_pipe_in_the_place_of_ca_file_is_read_once() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    });
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, &std::fs::read(authority.bundle()).unwrap()).unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let transport = Options::new(server.https()).ca_file(path).open();

    for _ in 0..2 {
        assert_eq!(transport.post_once().answer().status, 204);
    }
    // A failed handshake does not forget what can be read no more.
    transport.roots.forget();
    assert_eq!(transport.post_once().answer().status, 204);
}

#[test]
fn a_request_is_not_sent_if_the_server_demands_a_client_certificate() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = Server::start_demanding(&authority, version);
        let transport = Options::new(server.https())
            .ca_file(authority.bundle())
            .open();

        for body in [BODY, &vec![b'x'; 4 * 1024 * 1024]] {
            let why = match transport.post(&token(), body) {
                Exchange::NotSent { why } => why,
                other => panic!("{version:?}: {other:?}"),
            };
            assert!(why.starts_with("TLS"), "{version:?}: {why}");
            let expected = ": the server demands a client certificate, and libmeditopia has none";
            assert!(why.contains(expected), "{version:?}: {why}");
        }
        assert_eq!(server.requests().len(), 0);
    }
}

#[test]
fn a_certificate_that_no_server_should_have_is_told_in_words() {
    let authority = Authority::new();
    let by_ca = authority.as_identity();
    let for_client = authority.certify_with("localhost", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let not_yet = authority.certify_with("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
        params.not_after = rcgen::date_time_ymd(4001, 1, 1);
    });
    for (identity, expected) in [
        (
            by_ca,
            "the server presents the certificate of a CA as its own; it needs",
        ),
        (
            for_client,
            "certificate is not one for a server; the server needs",
        ),
        (
            not_yet,
            "certificate is not valid yet; check this host's clock",
        ),
    ] {
        let server = Server::start_tls(&identity, |peer| peer.serve(NO_CONTENT));
        let transport = Options::new(server.https())
            .ca_file(authority.bundle())
            .open();

        let why = transport.post_once().not_sent();

        let port = server.address.port();
        let expected = format!("TLS with localhost:{port}: {expected}");
        assert!(why.starts_with(&expected), "{why}");
    }
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
