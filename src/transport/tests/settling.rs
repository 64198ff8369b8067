//! Whether a request was sent, which decides whether the API may get an event twice.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::super::names::{NameCache, spawn_thread};
use super::server::{Server, refusing_address};
use super::*;

#[test]
fn a_request_is_not_sent_if_the_connection_is_refused() {
    let address = refusing_address();

    let why = Options::new(format!("http://{address}/"))
        .open()
        .post_once()
        .not_sent();

    assert_eq!(why, format!("connect to {address}: connection refused"));
}

#[test]
fn a_server_on_localhost_is_reached_without_a_look_up() {
    let server = Server::answering(NO_CONTENT);
    let mut options = Options::new(format!("http://localhost:{}/", server.address.port()));
    options.spawn = |_, _| panic!("a look-up was started");

    assert_eq!(options.open().post_once().answer().status, 204);
}

#[test]
fn a_changed_address_is_used_once_the_old_one_has_failed() {
    let server = Server::answering(NO_CONTENT);
    let addresses = Mutex::new(vec![server.address, refusing_address()]);
    let ask = move |_: &str, _: u16| Ok(vec![addresses.lock().unwrap().pop().unwrap()]);
    let mut transport = Options::new("http://partners.example/").open();
    transport.names = Arc::new(NameCache::with_resolver(spawn_thread, Box::new(ask)));

    let why = transport.post_once().not_sent();
    assert_eq!(why, "connect to partners.example:80: connection refused");
    assert_eq!(transport.post_once().answer().status, 204);
}

#[test]
fn a_request_is_not_sent_if_its_host_name_cannot_be_looked_up() {
    let mut options = Options::new("https://partners.example.invalid/");
    options.spawn = |_, _| Err(std::io::Error::other("no threads today"));

    let why = options.open().post_once().not_sent();

    assert!(
        why.starts_with("look up partners.example.invalid: "),
        "{why}"
    );
    assert!(why.contains("no threads today"), "{why}");
}

#[test]
fn a_bearer_token_that_no_header_can_carry_is_not_sent() {
    let server = Server::answering(NO_CONTENT);
    let transport = Options::new(server.http()).open();

    let why = transport
        .post(&SecretString::from("a\r\nX-Evil: b"), BODY)
        .not_sent();

    assert!(
        why.contains("bearer token") && !why.contains("Evil"),
        "{why}"
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_request_is_unsettled_if_its_connection_closes_before_the_answer() {
    let closes: [fn(&mut super::server::Peer); 5] = [
        |peer| assert!(peer.first_byte().is_some()),
        |peer| {
            peer.first_byte();
            peer.reset();
        },
        |peer| drop(peer.head()),
        |peer| drop(peer.request()),
        |peer| {
            peer.request();
            peer.reset();
        },
    ];
    for close in closes {
        let server = Server::start(close);
        let why = Options::new(server.http()).open().post_once().unsettled();
        assert!(
            why.starts_with(&format!("sent to {}", server.address)),
            "{why}"
        );
    }
}

#[test]
fn a_request_is_unsettled_if_the_server_hangs_up_in_the_middle_of_its_body() {
    let server = Server::start(|peer| {
        peer.head();
        peer.reset();
    });
    let transport = Options::new(server.http()).open();

    transport
        .post(&token(), &vec![b'x'; 32 * 1024 * 1024])
        .unsettled();
}

#[test]
fn a_request_is_unsettled_if_its_answer_ends_early() {
    let cut_short = [
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this",
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly",
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n",
        "HTTP/1.1 204 No Content\r\nX: y",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "",
    ];
    for answer in cut_short {
        let server = Server::answering_once(answer);
        let exchange = Options::new(server.http()).open().post_once();
        assert!(
            matches!(exchange, Exchange::Unsettled { .. }),
            "{answer:?}: {exchange:?}"
        );
    }
}

#[test]
fn a_request_is_unsettled_if_an_answer_without_a_length_is_reset() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 422 No\r\nConnection: close\r\n\r\nhalf of");
        peer.reset();
    });

    let why = Options::new(server.http()).open().post_once().unsettled();

    assert!(why.ends_with("the connection was reset"), "{why}");
}

#[test]
fn a_request_is_unsettled_if_its_answer_is_not_http() {
    let nonsense: [&[u8]; 4] = [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 999999 Huh\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    ];
    for answer in nonsense {
        let server = Server::answering_once(answer);
        let transport = Options::new(server.http())
            .request_timeout(millis(500))
            .open();
        let exchange = transport.post_once();
        assert!(
            matches!(exchange, Exchange::Unsettled { .. }),
            "{exchange:?}"
        );
    }
}

#[test]
fn a_request_is_unsettled_if_the_head_of_its_answer_never_ends() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nX: ");
        peer.send(&vec![b'x'; 1024 * 1024]);
    });

    Options::new(server.http()).open().post_once().unsettled();
}

#[test]
fn a_request_to_a_silent_server_is_unsettled_after_the_request_timeout() {
    let server = Server::start(|peer| peer.keep_open());
    let transport = Options::new(server.http())
        .request_timeout(millis(200))
        .open();

    let why = transport.post_once().unsettled();

    assert_eq!(
        why,
        format!("no complete answer from {} within 200ms", server.address)
    );
}

/// The whole answer takes the server about 1.6 s: head and body are each within the timeout, but their
/// sum is not.
#[test]
fn the_head_and_body_of_an_answer_share_one_timeout_however_slowly_they_arrive() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send_slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n", millis(20));
        peer.send_slowly(&[b'x'; 40], millis(20));
    });
    let transport = Options::new(server.http())
        .request_timeout(millis(1_100))
        .open();

    let why = transport.post_once().unsettled();

    assert!(why.contains("within 1.1s"), "{why}");
}

#[test]
fn a_server_that_does_not_read_holds_a_request_no_longer_than_its_limit() {
    let (done, wait) = channel();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer| peer.stall(&wait));
    let transport = Options::new(server.http())
        .request_timeout(millis(300))
        .open();

    let why = transport
        .post(&token(), &vec![b'x'; 64 * 1024 * 1024])
        .unsettled();

    drop(done);
    assert!(why.contains("within 300ms"), "{why}");
}

#[test]
fn each_request_on_a_connection_has_its_own_timeout() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.send_slowly(NO_CONTENT, millis(10));
        }
    });
    let transport = Options::new(server.http())
        .request_timeout(Duration::from_secs(2))
        .open();

    // About 0.3 s each: each is well within the timeout, and all together are beyond it.
    for _ in 0..10 {
        transport.post_once().answer();
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_is_replaced() {
    let (closed, wait) = channel::<()>();
    let closed = Mutex::new(Some(closed));
    let server = Server::start(move |peer| {
        peer.request();
        peer.send(NO_CONTENT);
        // Dropped after the FIN of the first request's connection was queued.
        if let Some(closed) = closed.lock().unwrap().take() {
            peer.close_now();
            drop(closed);
        }
    });
    let transport = Options::new(server.http()).open();

    transport.post_once().answer();
    wait.recv().unwrap_err();
    transport.post_once().answer();

    assert_eq!(server.connections(), 2);
}
