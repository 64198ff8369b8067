//! What a client of the sandbox may do: name it rightly, and get on with its request.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::RawConnection;

#[test]
fn a_sandbox_answers_by_names_of_this_host_with_its_port_and_by_no_other_name() {
    let api = Sandbox::start();
    let port = api.address().port();
    for (host, is_own) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("evil:{port}"), false),
        (format!("evil.example:{port}"), false),
        ("localhost:1".to_owned(), false),
    ] {
        for line in ["GET /", "GET /sandbox/ledger", "POST /default/v1/events"] {
            let mut connection = RawConnection::new(&api);
            connection.send(&format!(
                "{line} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n"
            ));
            let status = connection.read_response().status;
            assert_eq!(status != 421, is_own, "{line} {host}: {status}");
        }
    }
    // What was refused is no request of the API.
    assert_eq!(api.ledger().requests, 2);
}

#[test]
fn connections_that_do_not_get_on_with_a_request_make_room_for_those_that_do() {
    let api = Sandbox::start();
    let mut page = TcpStream::connect(api.address()).unwrap();
    page.write_all(b"GET /sandbox/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    page.read_exact(&mut [0; 16]).unwrap();
    let half_sent: Vec<TcpStream> = (0..600)
        .map(|number| {
            let mut connection = TcpStream::connect(api.address()).unwrap();
            let half = [
                "",
                "POST /default/v1/events HTTP/1.1\r\nhost: localhost\r\n",
            ][number % 2];
            // Earlier connections may have made room already.
            let _ = connection.write_all(half.as_bytes());
            connection
        })
        .collect();
    let mut connection = RawConnection::new(&api);
    connection.send("GET /sandbox/ledger HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(connection.read_response().status, 200);
    let is_closed = |mut connection: &TcpStream| {
        connection.set_nonblocking(true).unwrap();
        let ended = std::io::copy(&mut connection, &mut std::io::sink());
        !ended.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    };
    meditopia_testkit::wait::wait_until("the oldest connections are closed", || {
        half_sent[..60].iter().all(is_closed)
    });
    assert!(!is_closed(&half_sent[599]));
    assert!(!is_closed(&page), "the page is closed in its answer");
}
