//! What the API says to a request without events, or with the one that was asked for; and its clock.
//!
//! The API's text does not say what an empty list is answered. It does say what a wrong token and a wrong
//! address are, and that a request is processed as a whole: so any other answer of its own means that
//! both are good, and none can have counted an event.

use std::time::Duration;

use meditopia::Fields;
use meditopia::PauseReason;
use meditopia::internals::client::connection;
use meditopia::internals::clock::{self, Moment};
use meditopia::internals::config::{BearerToken, Settings};
use meditopia::internals::delivery::{Verdict, judge};
use meditopia::internals::event::{Rules, encode};
use meditopia::internals::exchange::Exchange;
use meditopia::internals::transport::Transport;
use secrecy::SecretString;

use super::{Finding, Report};
use crate::failure::Failure;

/// Beyond this the clock makes `received_at` wrong, and soon certificates.
const SKEW_WARNED: Duration = Duration::from_secs(5);
const SKEW_FAILED: Duration = Duration::from_secs(300);
/// Without a token the API is asked with this: it says that it is wrong, and the way to it is tried.
const NO_TOKEN: &str = "none";

/// The request that carries one event.
pub fn event(rules: &Rules, user: &str, token: &str, kind: &str) -> Result<Vec<u8>, Failure> {
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

pub fn examine(
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
                "name a PEM bundle that can be read",
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
            "the certificate is trusted and for this host",
        ));
    }
    report.add(&finding(&exchange, now, token.is_some(), event.is_some()));
    if let Exchange::Answered(_) = exchange {
        report.add(&clock(date.as_deref(), now));
    }
}

fn finding(exchange: &Exchange, now: Moment, has_token: bool, sends: bool) -> Finding {
    let what = "API";
    let why = match exchange {
        Exchange::NotSent { why } => return not_sent(why),
        Exchange::Unsettled { why } => why.clone(),
        Exchange::Answered(answer) => format!("HTTP {}", answer.status),
    };
    match judge(exchange, now) {
        Verdict::Delivered if sends => Finding::ok(what, "it took the event, which counts"),
        Verdict::Delivered => Finding::ok(
            what,
            "token and address are good; it took the empty request",
        ),
        Verdict::Refused(refusal) if sends => Finding::fail(
            what,
            format!(
                "token and address are good, but it refused the event: {} {} (HTTP {})",
                refusal.code, refusal.message, refusal.status
            ),
            "look at the user and the user's token",
        ),
        Verdict::Refused(refusal) => Finding::ok(
            what,
            format!(
                "token and address are good; it refused the request without events, as it should ({}, HTTP {})",
                refusal.code, refusal.status
            ),
        ),
        Verdict::Pause {
            reason: PauseReason::Auth,
            code,
            ..
        } if !has_token => Finding::fail(
            what,
            format!(
                "it answers, and asks for a token ({}, {why})",
                code.as_deref().unwrap_or("no code")
            ),
            "set bearer_token_file",
        ),
        Verdict::Pause {
            reason: PauseReason::Auth,
            code,
            ..
        } => Finding::fail(
            what,
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
            what,
            format!(
                "it refuses this host's address ({}, {why})",
                code.as_deref().unwrap_or("no code")
            ),
            "tell Meditopia the public address that this host calls from",
        ),
        Verdict::Pause { message, .. } => Finding::fail(
            what,
            format!(
                "what answers does not look like the Partners API: {}",
                with_status(&why, &message)
            ),
            "look at the endpoint, and at proxies, firewalls and login pages between",
        ),
        Verdict::Retry { .. } => Finding::warn(
            what,
            format!("it asks to come later ({why})"),
            "try again; the library waits by itself",
        ),
        Verdict::InDoubt { .. } => Finding::fail(
            what,
            format!("it does not answer as it should: {why}"),
            "try again; if it stays so, ask Meditopia",
        ),
        Verdict::TooLarge { .. } => Finding::fail(
            what,
            format!("something refuses a request of a few bytes as too large ({why})"),
            "look at the proxy between",
        ),
    }
}

/// The library's message may begin with the status itself.
fn with_status(status: &str, message: &str) -> String {
    if message.starts_with(status) {
        message.to_owned()
    } else {
        format!("{status} {message}")
    }
}

/// In the library's own words, which say what to do where that is known.
fn not_sent(why: &str) -> Finding {
    let (what, advice) = if why.starts_with("TLS") {
        (
            "TLS",
            "the certificate above tells who signed it; set ca_file only if that is one of yours",
        )
    } else if why.starts_with("proxy") {
        (
            "proxy",
            "look at the option proxy, and whether the proxy lets this host through",
        )
    } else {
        ("API", "see the lines above")
    };
    Finding::fail(what, why, advice)
}

fn clock(date: Option<&str>, now: Moment) -> Finding {
    let parsed = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(theirs) = parsed else {
        return Finding::warn(
            "clock",
            "the answer has no date to compare it with",
            "see that a time service runs on this host",
        );
    };
    // Their second may have been nearly over.
    let ahead_ms = now.wall_ms - theirs.timestamp().as_millisecond();
    let off = Duration::from_millis(ahead_ms.unsigned_abs().saturating_sub(1_000));
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let told = format!("this host is {} s {direction} the API", off.as_secs());
    let advice = "let a time service set it: received_at of new events is wrong by that much, and certificates may be refused";
    if off >= SKEW_FAILED {
        Finding::fail("clock", told, advice)
    } else if off >= SKEW_WARNED {
        Finding::warn("clock", told, advice)
    } else {
        Finding::ok("clock", "it agrees with the API's to seconds")
    }
}
