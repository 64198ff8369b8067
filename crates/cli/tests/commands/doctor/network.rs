//! Checks of the way to the API: name, connection, proxy and certificate.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use meditopia_testkit::unused_address;
use rustls::pki_types::PrivateKeyDer;

use super::{FAILURES, Fixture, TOKEN, WARNINGS, assert_finding, start_server};

#[test]
fn doctor_reports_an_unused_port_a_wrong_name_and_a_login_page() {
    let lines =
        Fixture::at(&format!("http://{}/events", unused_address()), TOKEN).findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  connection", "connection refused");

    let lines = Fixture::at("https://no-such-host.invalid/events", TOKEN).findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  name", "no-such-host.invalid");

    let page = start_server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned());
    let lines = Fixture::at(&format!("http://{page}/events"), TOKEN).findings(FAILURES, &[]);
    assert_finding(
        &lines,
        "FAIL  API",
        "does not look like the Partners API: HTTP 200 without",
    );
}

#[test]
fn doctor_reports_a_proxy_that_refuses_without_its_password() {
    let proxy = start_server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned());
    let fixture = Fixture::at("https://partners.example/events", TOKEN)
        .with("MEDITOPIA_PROXY", &format!("http://me:pa55word@{proxy}"));
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(&lines, "ok    connection", "proxy");
    assert_finding(&lines, "FAIL  proxy", "HTTP 403");

    let fixture = Fixture::at("https://partners.example/events", TOKEN)
        .with("MEDITOPIA_PROXY", &format!("http://{}", unused_address()));
    assert_finding(
        &fixture.findings(FAILURES, &[]),
        "FAIL  connection",
        "proxy",
    );
}

#[test]
fn doctor_names_the_issuer_of_a_certificate_from_an_unknown_authority() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Corporate Middlebox");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params.clone(), &key);
    let authority = params.self_signed(&key).unwrap();
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = own.signed_by(&own_key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivateKeyDer::try_from(own_key.serialize_der()).unwrap(),
    )
    .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client may close the connection after it has seen the certificate.
            if connection.complete_io(&mut stream).is_err() {
                continue;
            }
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        }
    });

    let fixture = Fixture::at(&format!("https://localhost:{port}/events"), TOKEN);
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(&lines, "ok    certificate", "signed by Corporate Middlebox");
    assert_finding(&lines, "FAIL  TLS", "unknown issuer");

    let bundle = tempfile::NamedTempFile::new().unwrap();
    fs::write(bundle.path(), authority.pem()).unwrap();
    let fixture = fixture.with("MEDITOPIA_CA_FILE", bundle.path().to_str().unwrap());
    let lines = fixture.findings(WARNINGS, &[]);
    assert_finding(&lines, "ok    TLS", "trusted");
    assert_finding(&lines, "warn  clock", "no date");
}

#[test]
fn doctor_says_that_a_proxy_is_not_used_for_an_endpoint_on_this_host() {
    let page = start_server("HTTP/1.1 204 No Content\r\n\r\n".to_owned());
    let fixture = Fixture::at(&format!("http://{page}/events"), TOKEN).with(
        "MEDITOPIA_PROXY",
        &format!("http://me:pa55word@{}", unused_address()),
    );
    let lines = fixture.findings(WARNINGS, &[]);
    assert_finding(&lines, "ok    proxy", "not used");
    assert_finding(&lines, "ok    connection", "endpoint");
}
