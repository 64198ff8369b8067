//! The API's answer to a request without events, or with the event of `--send-event`; and its clock.
//!
//! The API's documentation does not say how an empty list is answered. It does define the answers
//! to a wrong token and a wrong address, and says that a request is processed as a whole. So any
//! other answer of the API means that both are valid, and no answer can have counted an event.

use std::time::Duration;

use meditopia::internals::client::connection;
use meditopia::internals::clock::{self, Moment};
use meditopia::internals::config::{BearerToken, Settings};
use meditopia::internals::delivery::{Verdict, judge};
use meditopia::internals::event::{Rules, encode};
use meditopia::internals::exchange::Exchange;
use meditopia::internals::transport::Transport;
use meditopia::{Fields, PauseReason};
use secrecy::SecretString;

use super::{Finding, Report};
use crate::failure::Failure;

/// A larger difference of the clocks makes `received_at` wrong.
const SKEW_WARNED: Duration = Duration::from_secs(5);
/// A larger difference may also make certificates seem invalid.
const SKEW_FAILED: Duration = Duration::from_secs(300);
/// The token to send if none is configured. The API refuses it, but the connection to the API is tested.
const NO_TOKEN: &str = "none";

/// The body of a request with one event.
pub fn request_with_event(
    rules: &Rules,
    user: &str,
    token: &str,
    kind: &str,
) -> Result<Vec<u8>, Failure> {
    let fields = Fields {
        token,
        partner_user_id: user,
        event: kind,
        event_value: None,
        received_at: None,
    };
    let mut body = br#"{"events":["#.to_vec();
    encode(
        &fields,
        rules,
        meditopia::internals::clock::wall_ms(),
        &mut body,
    )?;
    body.extend_from_slice(b"]}");
    Ok(body)
}

pub fn check(
    settings: &Settings,
    token: Option<&BearerToken>,
    event: Option<&[u8]>,
    report: &mut Report,
) {
    let transport = match Transport::new(&connection(settings)) {
        Ok(transport) => transport,
        Err(e) => {
            report.add(&Finding::fail(
                "TLS roots",
                e.message(),
                "name a PEM bundle that can be read in ca_file",
            ));
            return;
        }
    };
    let secret = SecretString::from(token.map_or(NO_TOKEN, BearerToken::expose));
    let (exchange, date) = transport.post_dated(&secret, event.unwrap_or(br#"{"events":[]}"#));
    let now = clock::now();
    if matches!(exchange, Exchange::Answered(_)) && settings.endpoint.is_https() {
        report.add(&Finding::ok(
            "TLS",
            "the certificate is trusted and valid for this host",
        ));
    }
    report.add(&judge_answer(
        &exchange,
        now,
        token.is_some(),
        event.is_some(),
    ));
    if let Exchange::Answered(_) = exchange {
        report.add(&compare_clocks(date.as_deref(), now));
    }
}

fn judge_answer(exchange: &Exchange, now: Moment, has_token: bool, has_event: bool) -> Finding {
    const NAME: &str = "API";
    let why = match exchange {
        Exchange::NotSent { why } => return not_sent(why),
        Exchange::Unsettled { why } => why.clone(),
        Exchange::Answered(answer) => format!("HTTP {}", answer.status),
    };
    match judge(exchange, now) {
        Verdict::Delivered if has_event => {
            Finding::ok(NAME, "it accepted the event, and counts it as a real one")
        }
        Verdict::Delivered => Finding::ok(
            NAME,
            "token and address are valid; it accepted the empty request",
        ),
        Verdict::Refused(refusal) if has_event => Finding::fail(
            NAME,
            format!(
                "token and address are valid, but it refused the event: {} {} (HTTP {})",
                refusal.code, refusal.message, refusal.status
            ),
            "check the user and the user's token",
        ),
        Verdict::Refused(refusal) => Finding::ok(
            NAME,
            format!(
                "token and address are valid; it refused the request without events, as expected ({}, HTTP {})",
                refusal.code, refusal.status
            ),
        ),
        Verdict::Pause {
            reason: PauseReason::Auth,
            code,
            ..
        } if !has_token => Finding::fail(
            NAME,
            format!(
                "it answers, but asks for a token ({}, {why})",
                code.as_deref().unwrap_or("no code")
            ),
            "set bearer_token_file",
        ),
        Verdict::Pause {
            reason: PauseReason::Auth,
            code,
            ..
        } => Finding::fail(
            NAME,
            format!(
                "it refuses the bearer token ({}, {why})",
                code.as_deref().unwrap_or("no code")
            ),
            "compare the token with the one from Meditopia, or ask for a new one",
        ),
        Verdict::Pause {
            reason: PauseReason::Ip,
            code,
            ..
        } => Finding::fail(
            NAME,
            format!(
                "it refuses this host's address ({}, {why})",
                code.as_deref().unwrap_or("no code")
            ),
            "tell Meditopia the public address of this host",
        ),
        Verdict::Pause { message, .. } => Finding::fail(
            NAME,
            format!(
                "what answers does not look like the Partners API: {}",
                with_status(&why, &message)
            ),
            "check the endpoint, and any proxy, firewall or login page in between",
        ),
        Verdict::Retry { .. } => Finding::warn(
            NAME,
            format!("it asks to retry later ({why})"),
            "try again later; the library retries by itself",
        ),
        Verdict::InDoubt { .. } => Finding::fail(
            NAME,
            format!("it did not answer properly: {why}"),
            "try again; if it persists, ask Meditopia",
        ),
        Verdict::TooLarge { .. } => Finding::fail(
            NAME,
            format!("a request of a few bytes was refused as too large ({why})"),
            "check the proxy in between",
        ),
    }
}

/// Adds the status, unless the library's message begins with it.
fn with_status(status: &str, message: &str) -> String {
    if message.starts_with(status) {
        message.to_owned()
    } else {
        format!("{status} {message}")
    }
}

/// Uses the library's message, which says what to do if that is known.
fn not_sent(why: &str) -> Finding {
    let (name, advice) = if why.starts_with("TLS") {
        (
            "TLS",
            "the line above names who signed the certificate; set ca_file only if that authority is yours",
        )
    } else if why.starts_with("proxy") {
        (
            "proxy",
            "check the option proxy, and whether the proxy allows this host",
        )
    } else {
        ("API", "see the lines above")
    };
    Finding::fail(name, why, advice)
}

fn compare_clocks(date: Option<&str>, now: Moment) -> Finding {
    let api_time = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(api_time) = api_time else {
        return Finding::warn(
            "clock",
            "the answer has no date to compare it with",
            "make sure that a time service runs on this host",
        );
    };
    // The date has whole seconds, so up to one second of the difference means nothing.
    let ahead_ms = now.wall_ms - api_time.timestamp().as_millisecond();
    let off = Duration::from_millis(ahead_ms.unsigned_abs().saturating_sub(1_000));
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let difference = format!(
        "this host's clock is {} s {direction} the API's",
        off.as_secs()
    );
    let advice = "use a time service: received_at of new events is wrong by that much, and certificates may be refused";
    if off >= SKEW_FAILED {
        Finding::fail("clock", difference, advice)
    } else if off >= SKEW_WARNED {
        Finding::warn("clock", difference, advice)
    } else {
        Finding::ok("clock", "it agrees with the API's within seconds")
    }
}
