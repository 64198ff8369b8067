//! The table of answers of the README, row by row, against the sandbox over real HTTP.
//!
//! What an answer means is decided in `delivery::verdict`, whose own tests know every corner of it.
//! Here each row goes the whole way: enqueue, flush, the lists, the counts, and what the API has got.
//! Answers of odd shapes are in `odd_answers.rs`.

use std::net::{Ipv4Addr, SocketAddr};

use meditopia::PauseReason;
use meditopia::RowReason;
use meditopia_testkit::host::{Host, Story, secs};
use meditopia_testkit::judged::{
    AUTH, AUTH_IN_DOUBT, DELIVERED, Doubt, IN_DOUBT, IP, IP_IN_DOUBT, LOST, MISROUTED,
    MISROUTED_IN_DOUBT, RETRIED, api, case, check, check_retried, page, rejected, said,
};
use meditopia_testkit::sandbox::Sandbox;
use serde_json::json;

#[test]
#[rustfmt::skip]
fn a_success_delivers_and_another_2xx_keeps_all_in_doubt() {
    check(vec![
        case("204",                          page(204),                                       DELIVERED),
        case("200 with success",             json!({"fault": "success"}),                     DELIVERED),
        case("201 with success and more",    said(201, r#"{"id": 7, "success": true}"#),      DELIVERED),
        case("200 that denies success",      said(200, r#"{"success": false}"#),              MISROUTED_IN_DOUBT),
        case("200 with an API error body",   api(200, "A_1104"),                              MISROUTED_IN_DOUBT),
        case("202",                          page(202),                                       MISROUTED_IN_DOUBT),
        case("a login page",                 json!({"fault": "login_page"}),                  MISROUTED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_code_of_the_token_or_the_address_pauses_whatever_the_status_and_blames_nobody() {
    check(vec![
        case("401 A_1000",                   api(401, "A_1000"),                              AUTH),
        case("401 A_1001",                   api(401, "A_1001"),                              AUTH),
        case("401 A_1002",                   api(401, "A_1002"),                              AUTH),
        case("401 without an API error body", page(401),                                      AUTH),
        case("401 A_1004",                   api(401, "A_1004"),                              IP),
        case("403 A_1000",                   api(403, "A_1000"),                              AUTH),
        case("404 A_1002",                   api(404, "A_1002"),                              AUTH),
        case("413 A_1002",                   api(413, "A_1002"),                              AUTH),
        case("418 A_1001",                   api(418, "A_1001"),                              AUTH),
        case("429 A_1000",                   api(429, "A_1000"),                              AUTH),
        case("200 A_1000",                   api(200, "A_1000"),                              AUTH_IN_DOUBT),
        case("500 A_1001",                   api(500, "A_1001"),                              AUTH_IN_DOUBT),
        case("422 A_1004",                   api(422, "A_1004"),                              IP),
        case("302 A_1004",                   api(302, "A_1004"),                              IP),
        case("503 A_1004",                   api(503, "A_1004"),                              IP_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn another_code_refuses_the_events_with_the_six_statuses_and_no_other() {
    check(vec![
        case("400 A_1200",                   api(400, "A_1200"),                              rejected(400, "A_1200")),
        case("401 A_1200",                   api(401, "A_1200"),                              rejected(401, "A_1200")),
        case("403 A_1003",                   api(403, "A_1003"),                              rejected(403, "A_1003")),
        case("404 A_1104",                   api(404, "A_1104"),                              rejected(404, "A_1104")),
        case("409 B_1",                      api(409, "B_1"),                                 rejected(409, "B_1")),
        case("422 A_1103",                   api(422, "A_1103"),                              rejected(422, "A_1103")),
        case("402 A_1104",                   api(402, "A_1104"),                              MISROUTED),
        case("410 A_1104",                   api(410, "A_1104"),                              MISROUTED),
        case("418 A_1104",                   api(418, "A_1104"),                              MISROUTED),
        case("302 A_1104",                   api(302, "A_1104"),                              MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_is_not_the_api_pauses_and_rejects_nothing() {
    check(vec![
        case("302",                          json!({"fault": "redirect", "to": "/"}),         MISROUTED),
        case("307",                          json!({"fault": "redirect", "to": "/", "status": 307}), MISROUTED),
        case("304",                          page(304),                                       MISROUTED),
        case("400 of a proxy",               page(400),                                       MISROUTED),
        case("403 of a firewall",            page(403),                                       MISROUTED),
        case("404 of another server",        page(404),                                       MISROUTED),
        case("405",                          page(405),                                       MISROUTED),
        case("407",                          page(407),                                       MISROUTED),
        case("409",                          page(409),                                       MISROUTED),
        case("422",                          page(422),                                       MISROUTED),
        case("451",                          page(451),                                       MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn busy_is_retried_without_a_doubt_and_a_server_error_with_one() {
    check(vec![
        case("429",                          page(429),                                       RETRIED),
        case("429 A_1300",                   api(429, "A_1300"),                              RETRIED),
        case("425",                          page(425),                                       RETRIED),
        case("408",                          page(408),                                       IN_DOUBT),
        case("408 A_1104",                   api(408, "A_1104"),                              IN_DOUBT),
        case("500",                          page(500),                                       IN_DOUBT),
        case("500 A_1104",                   api(500, "A_1104"),                              IN_DOUBT),
        case("501",                          page(501),                                       IN_DOUBT),
        case("502",                          page(502),                                       IN_DOUBT),
        case("503",                          page(503),                                       IN_DOUBT),
        case("504",                          page(504),                                       IN_DOUBT),
        case("599",                          page(599),                                       IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_request_without_an_answer_is_in_doubt_and_repeated_at_once_and_then_rests() {
    const SHORT: &[(&str, &str)] = &[("request_timeout_ms", "300")];
    check(vec![
        case("a reset",                      json!({"fault": "reset"}),                       LOST),
        case("the end",                      json!({"fault": "close"}),                       LOST),
        case("a hang-up",                    json!({"fault": "hang_up"}),                     LOST),
        case("silence",                      json!({"fault": "delay", "ms": 3_600_000}),      LOST).with(SHORT),
        case("204 half written",             json!({"fault": "raw", "text": "HTTP/1.1 204 No"}), LOST),
        case("200 without its end",          json!({"fault": "truncated"}),                   LOST),
        case("404 without its end",          json!({"fault": "truncated", "status": 404}),    LOST),
    ]);
}

#[test]
fn what_could_not_be_sent_is_retried_without_a_doubt() {
    let nobody = bound_and_deaf();
    let plain = Sandbox::start();
    for (what, endpoint) in [
        (
            "nobody listens",
            format!("http://{}/default/v1/events", nobody.address),
        ),
        (
            "no such name",
            "https://nowhere.invalid/default/v1/events".into(),
        ),
        (
            "no TLS",
            format!("https://{}/default/v1/events", plain.address()),
        ),
    ] {
        println!("{what}");
        let host = Host::at(&endpoint).with("bearer_token", "any");
        let client = host.with("connect_timeout_ms", "1000").open();
        client.enqueue_users(0..3);
        check_retried(&client, Doubt::None, 1);
    }
    assert_eq!(plain.ledger().requests, 0);
}

/// A port that is taken, and on which nobody listens.
struct Deaf {
    address: SocketAddr,
    _socket: std::os::fd::OwnedFd,
}

fn bound_and_deaf() -> Deaf {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    Deaf {
        address,
        _socket: socket,
    }
}

#[test]
fn a_request_that_is_too_large_is_made_smaller_until_it_fits() {
    let api = Sandbox::start();
    // About 130 bytes each: a dozen fit.
    api.set_faults(json!({"max_body_bytes": 1_800}));
    let client = Host::of(&api).open();
    client.enqueue_users(0..100);

    let report = client.flushed(secs(60));

    assert_eq!((report.delivered, report.rejected), (100, 0));
    let ledger = api.ledger();
    assert_eq!(ledger.accepted_events, 100);
    // Halved from the first 413 on, four times at most, and never larger again.
    assert!(ledger.by_status["413"] <= 4, "{ledger:?}");
    assert!(ledger.requests <= 4 + 100 / 6 + 1, "{ledger:?}");
}

#[test]
fn a_lone_event_that_is_too_large_is_rejected_only_if_the_api_says_so() {
    check(vec![case(
        "413 A_1400",
        api(413, "A_1400"),
        rejected(413, "A_1400"),
    )]);

    let api = Sandbox::start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "status", "status": 413, "containing": r#""u-1""#}));

    let (report, outcome) = client.flush(secs(60));

    let error = outcome.unwrap_err();
    assert_eq!(error.pause_reason(), Some(PauseReason::Misrouted));
    assert!(error.message().contains("too large"), "{error}");
    assert_eq!((report.delivered, report.pending), (1, 2));
    assert!(client.rejected_rows().is_empty() && client.in_doubt_rows().is_empty());
    let alone = |request: &&meditopia_testkit::sandbox::Request| {
        request.events == 1 && request.status == Some(413)
    };
    assert_eq!(api.requests().iter().filter(alone).count(), 1);

    api.clear_faults();
    client.resume().unwrap();
    assert_eq!(client.flushed(secs(60)).delivered, 2);
    assert_eq!(api.ledger().accepted_events, 3);
}

#[test]
fn a_refusal_after_a_doubt_says_that_the_event_may_be_delivered_and_its_neighbours_arrive() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "close", "count": 1}));

    let report = client.flushed(secs(60));

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
