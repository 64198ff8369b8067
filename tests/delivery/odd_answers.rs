//! Answers of odd shapes, over real HTTP.
//!
//! The rule: an answer that is not understood keeps every event and blames nobody. Each shape is
//! tried with a status that would deliver, one that would refuse, and a server error, where these
//! differ.

use meditopia_testkit::answer_cases::{
    AUTH, AUTH_IN_DOUBT, Case, DELIVERED, IN_DOUBT, IP, MISROUTED, MISROUTED_IN_DOUBT,
    REPEATED_IN_DOUBT, api_error, case, check_cases, json_body, plain_page, raw_bytes, rejected,
};
use serde_json::{Value, json};

const SUCCESS: &str = r#"{"success": true}"#;
/// The body that `answer_cases::api_error` sends.
const REFUSAL: &str = r#"{"success":false,"errors":[{"code":"A_1104","message":"It is not so."}]}"#;
const REFUSED: meditopia_testkit::answer_cases::Expected = rejected(404, "A_1104");

/// An answer with this status, these header lines and this body.
fn http(status: &str, headers: &str, body: &str) -> Value {
    raw_bytes(head(status, headers) + body)
}

fn head(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}\r\n")
}

/// An answer with the right Content-Length.
fn complete(status: &str, body: &str) -> String {
    head(status, &format!("Content-Length: {}\r\n", body.len())) + body
}

#[test]
#[rustfmt::skip]
fn an_empty_body_delivers_with_status_204_and_otherwise_keeps_all_events() {
    check_cases(vec![
        case("200", json_body(200, ""),                           MISROUTED_IN_DOUBT),
        case("204", raw_bytes("HTTP/1.1 204 No Content\r\n\r\n"), DELIVERED),
        case("401", json_body(401, ""),                           AUTH),
        case("404", json_body(404, ""),                           MISROUTED),
        case("503", json_body(503, ""),                           IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_html_body_is_not_taken_for_the_apis_answer() {
    let html = |status| json!({"fault": "status", "status": status, "content_type": "application/json",
        "body": r#"<html>{"success": true}</html>"#});
    check_cases(vec![
        case("200", html(200), MISROUTED_IN_DOUBT),
        case("401", html(401), AUTH),
        case("404", html(404), MISROUTED),
        case("503", html(503), IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn json_that_is_cut_off_is_not_taken_for_the_apis_answer() {
    check_cases(vec![
        case("200",           json_body(200, &SUCCESS[..SUCCESS.len() - 1]),                 MISROUTED_IN_DOUBT),
        case("404",           json_body(404, &REFUSAL[..REFUSAL.len() - 1]),                 MISROUTED),
        case("404 of a code", json_body(404, r#"{"success":false,"errors":[{"code":"A_11"#), MISROUTED),
        case("503",           json_body(503, &REFUSAL[..REFUSAL.len() - 1]),                 IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn json_of_another_shape_is_not_taken_for_the_apis_answer() {
    check_cases(vec![
        case("200 null",                  json_body(200, "null"),                                           MISROUTED_IN_DOUBT),
        case("200 {}",                    json_body(200, "{}"),                                             MISROUTED_IN_DOUBT),
        case("200 with a text",           json_body(200, r#"{"success": "true"}"#),                         MISROUTED_IN_DOUBT),
        case("200 with a list of it",     json_body(200, r#"[{"success": true}]"#),                         MISROUTED_IN_DOUBT),
        case("200 with it nested",        json_body(200, r#"{"data": {"success": true}}"#),                 MISROUTED_IN_DOUBT),
        case("200 with more behind it",   json_body(200, r#"{"success": true} true"#),                      MISROUTED_IN_DOUBT),
        case("404 {}",                    json_body(404, "{}"),                                             MISROUTED),
        case("404 with success",          json_body(404, SUCCESS),                                          MISROUTED),
        case("404 without errors",        json_body(404, r#"{"success":false}"#),                           MISROUTED),
        case("404 with no errors",        json_body(404, r#"{"success":false,"errors":[]}"#),               MISROUTED),
        case("404 with one error alone",  json_body(404, r#"{"success":false,"errors":{"code":"A_1104","message":""}}"#), MISROUTED),
        case("404 with a truth as code",  json_body(404, r#"{"success":false,"errors":[{"code":true,"message":""}]}"#), MISROUTED),
        case("404 without success",       json_body(404, r#"{"errors":[{"code":"A_1104","message":""}]}"#), MISROUTED),
        case("422 of a framework",        json_body(422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#), MISROUTED),
        case("401 of a gateway",          json_body(401, r#"{"message":"Unauthorized"}"#),                  AUTH),
        case("503 of a gateway",          json_body(503, r#"{"message":"Service Unavailable"}"#),           IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_of_the_api_is_recognised_in_the_shapes_that_a_person_would_recognise() {
    let number = REFUSAL.replace("\"A_1104\"", "1104");
    let latin_1 = |status| {
        let body = REFUSAL.replacen("{", "{\"via\":\"\u{c9}\",", 1);
        let body: Vec<u8> = body.chars().map(|c| c as u8).collect();
        let headers = format!("Content-Length: {}\r\n", body.len());
        let bytes = [head(status, &headers).as_bytes(), &body].concat();
        json!({"fault": "raw", "bytes": bytes})
    };
    let warned = format!("<br />\n<b>Warning</b>: no key in <b>x.php</b> on line <b>7</b><br />\n{REFUSAL}");
    let page = format!("<html><title>Sign in</title><script>{REFUSAL}");
    check_cases(vec![
        case("404 with a BOM",             json_body(404, &format!("\u{feff}{REFUSAL}")), REFUSED),
        case("404 with a number as code",  json_body(404, &number),                       rejected(404, "1104")),
        case("404 with a gateway's number", json_body(404, &REFUSAL.replace("\"A_1104\"", "7003")), MISROUTED),
        case("404 behind a warning",       json_body(404, &warned),                       REFUSED),
        case("404 in Latin-1",             latin_1("404 Not Found"),                      REFUSED),
        case("200 with a BOM",             json_body(200, &format!("\u{feff}{SUCCESS}")), DELIVERED),
        case("404 of a login page",        json_body(404, &page),                         MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn among_several_errors_one_of_the_token_or_address_decides_and_otherwise_the_first() {
    let errors = |status, codes: &[&str]| {
        let error = |code: &&str| json!({"code": code, "message": meditopia_testkit::answer_cases::MESSAGE});
        let errors: Vec<Value> = codes.iter().map(error).collect();
        json_body(status, &json!({"success": false, "errors": errors}).to_string())
    };
    check_cases(vec![
        case("two refusals",            errors(404, &["A_1104", "A_1103"]),           REFUSED),
        case("the token first",         errors(404, &["A_1002", "A_1104"]),           AUTH),
        case("the token last",          errors(422, &["A_1104", "A_1103", "A_1000"]), AUTH),
        case("the address last",        errors(404, &["A_1104", "A_1004"]),           IP),
        case("nearly the token",        errors(404, &["A_1104", "a_1002"]),           MISROUTED),
        case("two refusals with 200",   errors(200, &["A_1104", "A_1103"]),           MISROUTED_IN_DOUBT),
        case("two refusals with 503",   errors(503, &["A_1104", "A_1103"]),           IN_DOUBT),
        case("the token last with 503", errors(503, &["A_1104", "A_1002"]),           AUTH_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_code_of_the_token_or_address_in_another_case_blames_nobody() {
    check_cases(vec![
        case("the token",              api_error(401, "a_1002"),  MISROUTED),
        case("the token with a blank", api_error(404, "A_1000 "), MISROUTED),
        case("the address",            api_error(401, "a_1004"),  MISROUTED),
        case("an event",               api_error(404, "a_1104"),  rejected(404, "a_1104")),
        case("the token with 503",     api_error(503, "a_1002"),  MISROUTED_IN_DOUBT),
    ]);
}

/// A body that begins as the API's does and continues with spaces, so that all of it would be valid
/// JSON.
fn enormous(status: &str, begin: &str) -> Value {
    const LENGTH: usize = 64 << 20;
    let head = head(status, &format!("Content-Length: {LENGTH}\r\n"));
    json!({"fault": "raw", "text": head + begin, "filler_bytes": LENGTH - begin.len()})
}

#[test]
#[rustfmt::skip]
fn a_body_of_64_mib_is_not_taken_for_the_apis_answer() {
    check_cases(vec![
        case("200", enormous("200 OK", SUCCESS),                  MISROUTED_IN_DOUBT),
        case("404", enormous("404 Not Found", REFUSAL),           MISROUTED),
        case("401", enormous("401 Unauthorized", REFUSAL),        AUTH),
        case("503", enormous("503 Service Unavailable", REFUSAL), IN_DOUBT),
    ]);
}

/// A chunked body with one byte in each chunk: all of it, or only `pieces` chunks and no end.
fn chunked(status: &str, body: &str, pieces: Option<usize>) -> Value {
    let bytes = body.chars().take(pieces.unwrap_or(usize::MAX));
    let chunks: String = bytes.map(|byte| format!("1\r\n{byte}\r\n")).collect();
    let end = if pieces.is_none() { "0\r\n\r\n" } else { "" };
    http(status, "Transfer-Encoding: chunked\r\n", &(chunks + end))
}

#[test]
#[rustfmt::skip]
fn a_chunked_body_counts_only_if_its_end_arrives() {
    let broken = http("404 Not Found", "Transfer-Encoding: chunked\r\n", "soon\r\n");
    check_cases(vec![
        case("200",                            chunked("200 OK", SUCCESS, None),                       DELIVERED),
        case("404",                            chunked("404 Not Found", REFUSAL, None),                REFUSED),
        case("503",                            chunked("503 Service Unavailable", REFUSAL, None),      IN_DOUBT),
        case("200 without its end",            chunked("200 OK", SUCCESS, Some(SUCCESS.len())),        REPEATED_IN_DOUBT),
        case("404 without its end",            chunked("404 Not Found", REFUSAL, Some(REFUSAL.len())), REPEATED_IN_DOUBT),
        case("503 without its end",            chunked("503 Service Unavailable", REFUSAL, Some(9)),   REPEATED_IN_DOUBT),
        case("404 with a length that is none", broken,                                                 REPEATED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn of_an_answer_with_content_length_beside_transfer_encoding_only_the_status_counts() {
    let both = |status, body: &str| http(status, "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n", body);
    check_cases(vec![
        case("200", both("200 OK", SUCCESS),                  REPEATED_IN_DOUBT),
        case("204", both("204 No Content", ""),               DELIVERED),
        case("401", both("401 Unauthorized", REFUSAL),        AUTH),
        case("404", both("404 Not Found", REFUSAL),           MISROUTED),
        case("503", both("503 Service Unavailable", REFUSAL), IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_1xx_status_before_the_answer_is_skipped() {
    let after = |interim: &str, answer: String| raw_bytes(format!("HTTP/1.1 {interim}\r\n\r\n{answer}"));
    check_cases(vec![
        case("100, 204",        after("100 Continue", "HTTP/1.1 204 No Content\r\n\r\n".into()), DELIVERED),
        case("103, 200",        after("103 Early Hints\r\nLink: </a>", complete("200 OK", SUCCESS)), DELIVERED),
        case("102, 404",        after("102 Processing", complete("404 Not Found", REFUSAL)),     REFUSED),
        case("100, 503",        after("100 Continue", complete("503 Service Unavailable", "")),  IN_DOUBT),
        case("100 and no more", after("100 Continue", String::new()),                            REPEATED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_body_shorter_than_its_content_length_is_no_answer() {
    let promised = |status, body: &str| http(status, "Content-Length: 999\r\n", body);
    check_cases(vec![
        case("200", promised("200 OK", SUCCESS),                  REPEATED_IN_DOUBT),
        case("404", promised("404 Not Found", REFUSAL),           REPEATED_IN_DOUBT),
        case("503", promised("503 Service Unavailable", REFUSAL), REPEATED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn bytes_beyond_the_content_length_are_not_read() {
    let short = |status, body: &str| {
        let mut answer = http(status, "Content-Length: 9\r\n", body);
        // The rest must not be taken for the answer to the next request.
        answer["keep_open"] = json!(true);
        answer
    };
    check_cases(vec![
        case("200", short("200 OK", SUCCESS),                  MISROUTED_IN_DOUBT),
        case("204", short("204 No Content", SUCCESS),          DELIVERED),
        case("404", short("404 Not Found", REFUSAL),           MISROUTED),
        case("503", short("503 Service Unavailable", REFUSAL), IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_gzip_body_that_was_not_asked_for_is_not_taken_for_the_apis_answer() {
    const SUCCESS: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 46, 77, 78, 78, 45, 46, 86, 178, 82, 40, 41, 42, 77, 173, 5, 0, 111, 103, 9, 241, 17, 0, 0, 0];
    const REFUSAL: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 46, 77, 78, 78, 45, 46, 86, 178, 74, 75, 204, 41, 78, 213, 81, 74, 45, 42, 202, 47, 2, 114, 163, 171, 149, 146, 243, 83, 82, 149, 172, 148, 28, 227, 13, 13, 13, 76, 148, 116, 148, 114, 129, 234, 18, 211, 65, 66, 158, 37, 10, 153, 197, 10, 121, 249, 37, 10, 197, 249, 122, 74, 181, 177, 181, 0, 51, 189, 178, 165, 72, 0, 0, 0];
    let zipped = |status, body: &[u8]| {
        let headers = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len());
        let bytes = [head(status, &headers).as_bytes(), body].concat();
        json!({"fault": "raw", "bytes": bytes})
    };
    check_cases(vec![
        case("200", zipped("200 OK", SUCCESS),                  MISROUTED_IN_DOUBT),
        case("404", zipped("404 Not Found", REFUSAL),           MISROUTED),
        case("401", zipped("401 Unauthorized", REFUSAL),        AUTH),
        case("503", zipped("503 Service Unavailable", REFUSAL), IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_http_1_0_answer_means_the_same_as_an_http_1_1_answer() {
    // The body ends with the connection.
    let old = |status: &str, body: &str| raw_bytes(format!("HTTP/1.0 {status}\r\n\r\n{body}"));
    check_cases(vec![
        case("204",                 old("204 No Content", ""),               DELIVERED),
        case("200",                 old("200 OK", SUCCESS),                  DELIVERED),
        case("404",                 old("404 Not Found", REFUSAL),           REFUSED),
        case("503",                 old("503 Service Unavailable", REFUSAL), IN_DOUBT),
        case("200 without its end", old("200 OK", &SUCCESS[..9]),            MISROUTED_IN_DOUBT),
        case("404 without its end", old("404 Not Found", &REFUSAL[..9]),     MISROUTED),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_connection_that_is_closed_early_leaves_all_events_in_doubt() {
    let first = |bytes: usize, status: &str, body: &str| raw_bytes(&complete(status, body)[..bytes]);
    check_cases(vec![
        case("before the request is read", json!({"fault": "hang_up"}),                                     REPEATED_IN_DOUBT),
        case("before the answer",          json!({"fault": "close"}),                                       REPEATED_IN_DOUBT),
        case("within the status",          raw_bytes("HTTP/1.1 20"),                                        REPEATED_IN_DOUBT),
        case("within the head, 204",       raw_bytes("HTTP/1.1 204 No Content\r\nServer: x"),               REPEATED_IN_DOUBT),
        case("within the head, 404",       first(40, "404 Not Found", REFUSAL),                             REPEATED_IN_DOUBT),
        case("within the body, 200",       first(complete("200 OK", "").len() + 9, "200 OK", SUCCESS),      REPEATED_IN_DOUBT),
        case("within the body, 404",       first(complete("404 Not Found", REFUSAL).len() - 1, "404 Not Found", REFUSAL), REPEATED_IN_DOUBT),
        case("within the body, 503",       first(complete("503 No", REFUSAL).len() - 9, "503 No", REFUSAL), REPEATED_IN_DOUBT),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_answer_that_arrives_byte_by_byte_counts_within_the_request_timeout() {
    const SHORT: &[(&str, &str)] = &[("request_timeout_ms", "400")];
    let slow = |ms: u32, text: String| json!({"fault": "raw", "text": text, "every_ms": ms});
    let in_time = |status, body| slow(1, complete(status, body));
    // Each byte arrives within the limit, and the complete answer does not.
    let too_late = |status, body| slow(50, complete(status, body));
    check_cases(vec![
        case("204 in time",  slow(5, "HTTP/1.1 204 No Content\r\n\r\n".into()),  DELIVERED),
        case("200 in time",  in_time("200 OK", SUCCESS),                         DELIVERED),
        case("404 in time",  in_time("404 Not Found", REFUSAL),                  REFUSED),
        case("503 in time",  in_time("503 Service Unavailable", REFUSAL),        IN_DOUBT),
        case("204 too late", slow(50, "HTTP/1.1 204 No Content\r\n\r\n".into()), REPEATED_IN_DOUBT).with_options(SHORT),
        case("200 too late", too_late("200 OK", SUCCESS),                        REPEATED_IN_DOUBT).with_options(SHORT),
        case("404 too late", too_late("404 Not Found", REFUSAL),                 REPEATED_IN_DOUBT).with_options(SHORT),
        case("503 too late", too_late("503 Service Unavailable", REFUSAL),       REPEATED_IN_DOUBT).with_options(SHORT),
    ]);
}

#[test]
#[rustfmt::skip]
fn bytes_that_are_not_http_leave_all_events_in_doubt_and_an_odd_status_blames_nobody() {
    let cases: Vec<Case> = vec![
        case("another protocol",      raw_bytes("SSH-2.0-OpenSSH_9.2\r\n"),    REPEATED_IN_DOUBT),
        case("a page without a head", raw_bytes("<html>404</html>\r\n\r\n"),   REPEATED_IN_DOUBT),
        case("a status of letters",   raw_bytes("HTTP/1.1 OK 204\r\n\r\n"),    REPEATED_IN_DOUBT),
        case("a status beyond 599",   raw_bytes(complete("600 Odd", REFUSAL)), MISROUTED),
        case("101",                   raw_bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), MISROUTED),
        case("a page that says 503",  plain_page(503),                         IN_DOUBT),
    ];
    check_cases(cases);
}
