//! The table of answers in `docs/answers.md`, row by row, against the sandbox over real HTTP.
//!
//! `delivery::verdict` decides what an answer means, and its unit tests cover every case. These
//! tests go the whole way for each row: enqueue, flush, the lists, the counts, and the API's
//! ledger. Answers of odd shapes are in `odd_answers.rs`.

use std::net::{Ipv4Addr, SocketAddr};

use meditopia::{PauseReason, RowReason};
use meditopia_testkit::answer_cases::{
    AUTH, AUTH_IN_DOUBT, DELIVERED, Doubt, IN_DOUBT, IP, IP_IN_DOUBT, MISROUTED,
    MISROUTED_IN_DOUBT, REPEATED_IN_DOUBT, RETRIED, api_error, assert_retried, case, check_cases,
    json_body, plain_page, rejected,
};
use meditopia_testkit::sandbox::{Request, Sandbox};
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

#[test]
#[rustfmt::skip]
fn a_success_delivers_and_any_other_2xx_keeps_all_events_in_doubt() {
    check_cases(vec![
        case("204",                        plain_page(204),                                 DELIVERED),
        case("200 with success",           json!({"fault": "success"}),                     DELIVERED),
        case("201 with success and more",  json_body(201, r#"{"id": 7, "success": true}"#), DELIVERED),
        case("200 that denies success",    json_body(200, r#"{"success": false}"#),         MISROUTED_IN_DOUBT),
        case("200 with an API error body", api_error(200, "A_1104"),                        MISROUTED_IN_DOUBT),
        case("202",                        plain_page(202),                                 MISROUTED_IN_DOUBT),
        case("a login page",               json!({"fault": "login_page"}),                  MISROUTED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_code_of_the_token_or_address_pauses_with_any_status_and_blames_nobody() {
    check_cases(vec![
        case("401 A_1000",                    api_error(401, "A_1000"), AUTH),
        case("401 A_1001",                    api_error(401, "A_1001"), AUTH),
        case("401 A_1002",                    api_error(401, "A_1002"), AUTH),
        case("401 without an API error body", plain_page(401),          AUTH),
        case("401 A_1004",                    api_error(401, "A_1004"), IP),
        case("403 A_1000",                    api_error(403, "A_1000"), AUTH),
        case("404 A_1002",                    api_error(404, "A_1002"), AUTH),
        case("413 A_1002",                    api_error(413, "A_1002"), AUTH),
        case("418 A_1001",                    api_error(418, "A_1001"), AUTH),
        case("429 A_1000",                    api_error(429, "A_1000"), AUTH),
        case("200 A_1000",                    api_error(200, "A_1000"), AUTH_IN_DOUBT),
        case("500 A_1001",                    api_error(500, "A_1001"), AUTH_IN_DOUBT),
        case("422 A_1004",                    api_error(422, "A_1004"), IP),
        case("302 A_1004",                    api_error(302, "A_1004"), IP),
        case("503 A_1004",                    api_error(503, "A_1004"), IP_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn any_other_error_code_refuses_the_events_with_six_statuses_and_no_other() {
    check_cases(vec![
        case("400 A_1200", api_error(400, "A_1200"), rejected(400, "A_1200")),
        case("401 A_1200", api_error(401, "A_1200"), rejected(401, "A_1200")),
        case("403 A_1003", api_error(403, "A_1003"), rejected(403, "A_1003")),
        case("404 A_1104", api_error(404, "A_1104"), rejected(404, "A_1104")),
        case("409 B_1",    api_error(409, "B_1"),    rejected(409, "B_1")),
        case("422 A_1103", api_error(422, "A_1103"), rejected(422, "A_1103")),
        case("402 A_1104", api_error(402, "A_1104"), MISROUTED),
        case("410 A_1104", api_error(410, "A_1104"), MISROUTED),
        case("418 A_1104", api_error(418, "A_1104"), MISROUTED),
        case("302 A_1104", api_error(302, "A_1104"), MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_answer_of_another_server_pauses_and_rejects_nothing() {
    check_cases(vec![
        case("302",                   json!({"fault": "redirect", "to": "/"}),                MISROUTED),
        case("307",                   json!({"fault": "redirect", "to": "/", "status": 307}), MISROUTED),
        case("304",                   plain_page(304),                                        MISROUTED),
        case("400 of a proxy",        plain_page(400),                                        MISROUTED),
        case("403 of a firewall",     plain_page(403),                                        MISROUTED),
        case("404 of another server", plain_page(404),                                        MISROUTED),
        case("405",                   plain_page(405),                                        MISROUTED),
        case("407",                   plain_page(407),                                        MISROUTED),
        case("409",                   plain_page(409),                                        MISROUTED),
        case("422",                   plain_page(422),                                        MISROUTED),
        case("451",                   plain_page(451),                                        MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_busy_api_is_retried_without_a_doubt_and_a_server_error_leaves_the_events_in_doubt() {
    check_cases(vec![
        case("429",        plain_page(429),          RETRIED),
        case("429 A_1300", api_error(429, "A_1300"), RETRIED),
        case("425",        plain_page(425),          RETRIED),
        case("408",        plain_page(408),          IN_DOUBT),
        case("408 A_1104", api_error(408, "A_1104"), IN_DOUBT),
        case("500",        plain_page(500),          IN_DOUBT),
        case("500 A_1104", api_error(500, "A_1104"), IN_DOUBT),
        case("501",        plain_page(501),          IN_DOUBT),
        case("502",        plain_page(502),          IN_DOUBT),
        case("503",        plain_page(503),          IN_DOUBT),
        case("504",        plain_page(504),          IN_DOUBT),
        case("599",        plain_page(599),          IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_request_without_an_answer_is_in_doubt_and_repeated_at_once_and_then_waits() {
    const SHORT: &[(&str, &str)] = &[("request_timeout_ms", "300")];
    check_cases(vec![
        case("a reset",             json!({"fault": "reset"}),                          REPEATED_IN_DOUBT),
        case("the end",             json!({"fault": "close"}),                          REPEATED_IN_DOUBT),
        case("a hang-up",           json!({"fault": "hang_up"}),                        REPEATED_IN_DOUBT),
        case("silence",             json!({"fault": "delay", "ms": 3_600_000}),         REPEATED_IN_DOUBT).with_options(SHORT),
        case("204 half written",    json!({"fault": "raw", "text": "HTTP/1.1 204 No"}), REPEATED_IN_DOUBT),
        case("200 without its end", json!({"fault": "truncated"}),                      REPEATED_IN_DOUBT),
        case("404 without its end", json!({"fault": "truncated", "status": 404}),       REPEATED_IN_DOUBT),
    ]);
}

#[test]
fn a_request_that_could_not_be_sent_is_retried_without_a_doubt() {
    let unused_port = bind_without_listening();
    let without_tls = Sandbox::start();
    for (what, endpoint) in [
        (
            "no program listens",
            format!("http://{}/default/v1/events", unused_port.address),
        ),
        (
            "no such name",
            "https://nowhere.invalid/default/v1/events".into(),
        ),
        (
            "no TLS",
            format!("https://{}/default/v1/events", without_tls.address()),
        ),
    ] {
        println!("{what}");
        let spool = TestSpool::for_endpoint(&endpoint).with("bearer_token", "any");
        let client = spool.with("connect_timeout_ms", "1000").into_client();
        client.enqueue_users(0..3);
        assert_retried(&client, Doubt::None, 1);
    }
    assert_eq!(without_tls.ledger().requests, 0);
}

/// A port that is taken, but on which no program listens.
struct UnusedPort {
    address: SocketAddr,
    _socket: std::os::fd::OwnedFd,
}

fn bind_without_listening() -> UnusedPort {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    UnusedPort {
        address,
        _socket: socket,
    }
}

#[test]
fn a_request_that_is_too_large_is_made_smaller_until_it_fits() {
    let api = Sandbox::start();
    // An event has about 130 bytes, so about a dozen fit.
    api.set_faults(json!({"max_body_bytes": 1_800}));
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);

    let report = client.flush_ok(secs(60));

    assert_eq!((report.delivered, report.rejected), (100, 0));
    let ledger = api.ledger();
    assert_eq!(ledger.accepted_events, 100);
    // A batch is halved after a 413, which happens four times at most, and does not grow again.
    assert!(ledger.by_status["413"] <= 4, "{ledger:?}");
    assert!(ledger.requests <= 4 + 100 / 6 + 1, "{ledger:?}");
}

#[test]
fn a_single_event_that_is_too_large_is_rejected_only_if_the_api_says_so() {
    check_cases(vec![case(
        "413 A_1400",
        api_error(413, "A_1400"),
        rejected(413, "A_1400"),
    )]);

    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "status", "status": 413, "containing": r#""u-1""#}));

    let (report, outcome) = client.flush(secs(60));

    let error = outcome.unwrap_err();
    assert_eq!(error.pause_reason(), Some(PauseReason::Misrouted));
    assert!(error.message().contains("too large"), "{error}");
    assert_eq!((report.delivered, report.pending), (1, 2));
    assert!(client.rejected_rows().is_empty() && client.in_doubt_rows().is_empty());
    let alone = |request: &&Request| request.events == 1 && request.status == Some(413);
    assert_eq!(api.requests().iter().filter(alone).count(), 1);

    api.clear_faults();
    client.resume().unwrap();
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
    assert_eq!(api.ledger().accepted_events, 3);
}

#[test]
fn a_refusal_after_a_lost_answer_says_that_the_event_may_be_delivered_and_the_others_arrive() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "close", "count": 1}));

    let report = client.flush_ok(secs(60));

    assert_eq!(
        (report.delivered, report.rejected, report.in_doubt),
        (2, 1, 0)
    );
    assert_eq!(client.rejected_users(), ["u-1"]);
    let doubtful = RowReason::Refused {
        may_be_delivered: true,
    };
    assert_eq!(client.rejected_rows()[0].reason, doubtful);
}
