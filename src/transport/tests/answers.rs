//! Answers of every shape, and the request that the server receives.

use super::server::Server;
use super::*;

#[test]
fn a_request_carries_exactly_the_documented_headers() {
    let server = Server::answering(NO_CONTENT);

    Options::new(server.http()).open().post_once().answer();

    let requests = server.requests();
    let mut lines: Vec<_> = requests[0].head.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "POST /default/v1/events HTTP/1.1");
    lines.sort_by_key(|line| line.to_ascii_lowercase());
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [
            "accept: application/json",
            &format!("authorization: Bearer {TOKEN}"),
            &format!("content-length: {}", BODY.len()),
            "content-type: application/json",
            &format!("host: {}", server.address),
            &format!("user-agent: libmeditopia/{version}"),
        ]
    );
    assert_eq!(requests[0].body, BODY);
}

#[test]
fn many_posts_share_one_connection() {
    let server = Server::answering(NO_CONTENT);
    let transport = Options::new(server.http()).open();

    for _ in 0..200 {
        let answer = transport.post_once().answer();
        assert_eq!((answer.status, answer.whole), (204, true));
        assert!(answer.body.is_empty() && answer.retry_after.is_none());
    }

    assert_eq!(server.connections(), 1);
    assert_eq!(server.requests().len(), 200);
}

#[test]
fn sixteen_threads_use_at_most_sixteen_connections() {
    let server = Server::answering(NO_CONTENT);
    let transport = Options::new(server.http()).open();
    let together = std::sync::Barrier::new(16);

    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    together.wait();
                    transport.post_once().answer();
                }
            });
        }
    });

    assert_eq!(server.requests().len(), 160);
    assert!(server.connections() <= 16, "{}", server.connections());
}

#[test]
fn a_request_body_larger_than_every_buffer_arrives_whole() {
    let server = Server::answering(NO_CONTENT);
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();

    let transport = Options::new(server.http()).open();
    transport.post(&token(), &body).answer();

    assert!(server.requests()[0].body == body);
}

#[test]
fn an_error_answer_is_reported_with_its_status_body_and_retry_after() {
    let server = Server::answering(
        "HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\nContent-Length: 5\r\n\r\nlater",
    );

    let answer = Options::new(server.http()).open().post_once().answer();

    assert_eq!(answer.status, 429);
    assert_eq!(answer.retry_after.as_deref(), Some("17"));
    assert_eq!(answer.body, b"later");
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Server::answering(NO_CONTENT);
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.http();
        let server = Server::answering(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 2\r\n\r\nhi"
        ));

        let answer = Options::new(server.http()).open().post_once().answer();

        assert_eq!((answer.status, &answer.body[..]), (status, &b"hi"[..]));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn http_1xx_answers_are_skipped_until_the_final_answer() {
    let server = Server::answering(
        "HTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 204 No Content\r\n\r\n",
    );
    let transport = Options::new(server.http()).open();

    assert_eq!(transport.post_once().answer().status, 204);
    assert_eq!(transport.post_once().answer().status, 204);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_100_continue_before_the_request_body_was_read_is_skipped() {
    let server = Server::start(|peer| {
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        peer.serve(NO_CONTENT);
    });

    assert_eq!(
        Options::new(server.http())
            .open()
            .post_once()
            .answer()
            .status,
        204
    );
}

#[test]
fn the_chunks_of_a_chunked_answer_are_joined() {
    let server = Server::answering(
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    );
    let transport = Options::new(server.http()).open();

    assert_eq!(transport.post_once().answer().body, b"abcde");
    assert_eq!(transport.post_once().answer().body, b"abcde");
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    let server = Server::answering_once("HTTP/1.0 500 Old\r\n\r\nall of it");
    let transport = Options::new(server.http()).open();

    assert_eq!(transport.post_once().answer().body, b"all of it");
    assert_eq!(transport.post_once().answer().body, b"all of it");
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_compressed_body_that_was_not_asked_for_is_not_decompressed() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n".to_vec();
    answer.extend_from_slice(gzip);
    let server = Server::answering(answer);

    assert_eq!(
        Options::new(server.http()).open().post_once().answer().body,
        gzip
    );
}

#[test]
fn an_answer_body_of_exactly_the_limit_is_whole() {
    let answer = |length: usize| {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        let server = Server::answering(answer);
        Options::new(server.http()).open().post_once().answer()
    };

    let exact = answer(BODY_LIMIT_BYTES);
    assert_eq!((exact.body.len(), exact.whole), (BODY_LIMIT_BYTES, true));
    let over = answer(BODY_LIMIT_BYTES + 1);
    assert_eq!((over.body.len(), over.whole), (BODY_LIMIT_BYTES, false));
}

#[test]
fn an_answer_body_over_the_limit_stays_one_when_the_token_is_cut_out_of_it() {
    let page = format!("authorization: Bearer {TOKEN}\n").repeat(2_000);
    let server = Server::answering(format!(
        "HTTP/1.1 404 No\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    ));

    let answer = Options::new(server.http()).open().post_once().answer();

    assert_eq!((answer.body.len(), answer.whole), (BODY_LIMIT_BYTES, false));
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains("***") && !body.contains(TOKEN), "{body}");
}

#[test]
fn an_enormous_answer_body_is_cut_and_its_connection_is_not_used_again() {
    const ENORMOUS: usize = 64 * 1024 * 1024;
    let server = Server::start(|peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ENORMOUS}\r\n\r\n").as_bytes());
        peer.send(&vec![b'x'; ENORMOUS]);
    });
    let transport = Options::new(server.http()).open();

    for _ in 0..2 {
        let answer = transport.post_once().answer();
        assert_eq!((answer.body.len(), answer.whole), (BODY_LIMIT_BYTES, false));
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn bytes_after_an_answer_never_become_the_next_answer() {
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n";
    let server = Server::answering(smuggled);
    let transport = Options::new(server.http()).open();

    assert_eq!(transport.post_once().answer().status, 200);
    assert_eq!(transport.post_once().answer().status, 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_answer_that_comes_before_the_request_was_read_counts() {
    let server = Server::start(|peer| {
        peer.head();
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
        // Closing with unread bytes resets the connection under the client's write.
    });
    let transport = Options::new(server.http()).open();

    let answer = transport
        .post(&token(), &vec![b'x'; 32 * 1024 * 1024])
        .answer();

    assert_eq!((answer.status, &answer.body[..]), (413, &b"big"[..]));
}

/// What begins an answer, and what a server then sends again and again.
const ENDLESS: [(&str, &str); 5] = [
    ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    (
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "X-Trailer: again\r\n",
    ),
    (
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1;0123456789abcdef\r\nx\r\n",
    ),
    ("HTTP/1.1 422 No\r\nX: ", "again "),
];

#[test]
fn an_answer_that_never_ends_is_given_up_long_before_the_request_timeout() {
    for (begin, again) in ENDLESS {
        let server = Server::start(move |peer| {
            peer.request();
            peer.send(begin.as_bytes());
            let again = again.repeat(1_000);
            while std::io::Write::write_all(peer, again.as_bytes()).is_ok() {}
        });
        let transport = Options::new(server.http())
            .request_timeout(Duration::from_secs(3_600))
            .open();

        let exchange = transport.post_once();

        // Of a body, only its first part is read.
        assert!(
            matches!(&exchange, Exchange::Unsettled { .. })
                || matches!(&exchange, Exchange::Answered(answer) if !answer.whole),
            "{again:?}: {exchange:?}"
        );
        if begin.is_empty() {
            let why = exchange.unsettled();
            assert!(
                why.ends_with("the answer does not end after 1048576 bytes"),
                "{why}"
            );
        }
    }
}

#[test]
fn an_answer_with_two_ways_to_tell_its_length_is_refused_unless_it_has_no_body() {
    let why = post_to("200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked").unsettled();
    assert!(
        why.ends_with("Content-Length beside Transfer-Encoding"),
        "{why}"
    );
    let no_body = "204 No Content\r\nContent-Length: 0\r\nTransfer-Encoding: chunked";
    assert_eq!(post_to(no_body).answer().status, 204);
}

#[test]
fn of_a_refusal_with_two_ways_to_tell_its_length_only_the_status_counts() {
    for (status, headers) in [
        (422, "Transfer-Encoding: chunked\r\nContent-Length: 13"),
        (400, "Transfer-Encoding: identity\r\nContent-Length: 13"),
        (429, "Content-Length: 3\r\nTransfer-Encoding: chunked"),
    ] {
        let answer = post_to(&format!("{status} No\r\nRetry-After: 7\r\n{headers}")).answer();
        assert_eq!((answer.status, answer.whole), (status, true));
        assert_eq!(answer.retry_after.as_deref(), Some("7"));
        assert!(answer.body.is_empty(), "{answer:?}");
    }
}

/// Posts to a server that answers with this head and a chunked body.
fn post_to(head: &str) -> Exchange {
    let server = Server::answering_once(format!("HTTP/1.1 {head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    Options::new(server.http()).open().post_once()
}

#[test]
fn a_server_that_repeats_the_token_or_the_password_has_neither_in_its_answer() {
    let secrets = [TOKEN, "earlier-t0ken", "pa55/w0rd"];
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            let token = request.header("authorization").unwrap().to_owned();
            let body = format!(
                r#"{{"success":false,"errors":[{{"code":"{token}","message":"{} {} pa55\/w0rd"}}]}}"#,
                "earlier-t0ken",
                token.replace('-', "\\u002D")
            );
            let length = body.len();
            peer.send(format!("HTTP/1.1 422 {token}\r\nDate: {token}\r\nRetry-After: {token}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        }
    });
    // The server is its own proxy: what it is sent over http goes to it as it is.
    let transport = Options::new(server.http()).open();
    transport.secrets.remember("pa55/w0rd");
    transport.post(&SecretString::from("earlier-t0ken"), BODY);

    let (exchange, date) = transport.post_dated(&token(), BODY);

    let answer = exchange.answer();
    let body = String::from_utf8(answer.body).unwrap();
    for text in [body.as_str(), &date.unwrap(), &answer.retry_after.unwrap()] {
        assert!(text.contains("***"), "{text}");
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "{text}"
        );
        assert!(!text.contains("u002D"), "{text}");
    }
}

#[test]
fn a_failure_to_connect_that_quotes_the_password_is_reported_without_it() {
    let proxy = Server::start(|peer| {
        if peer.head().is_some() {
            peer.send(b"HTTP/1.1 407 l0velace\r\n\r\n");
        }
    });
    let address = format!("http://ada:l0velace@{}", proxy.address);
    let options = Options::new("https://l0velace.example.invalid/").proxy(address);

    let why = options.open().post_once().not_sent();

    assert!(why.contains("***.example.invalid"), "{why}");
    assert!(!why.contains("l0velace"), "{why}");
}
