//! The one table of options: what each is called, may hold, holds by default and means.
//!
//! Values are checked, documented and defaulted from here and nowhere else: the README's table is
//! this one, printed ([`markdown`]). The typed form that the rest of the crate reads is
//! [`Settings`](super::Settings).

use super::address::{Endpoint, Proxy};
use super::settings::{Durability, Role};
use super::token::BearerToken;
use crate::event::UtcOffset;
use crate::log::Level;
use crate::spelling::quoted;

/// The most lanes that a spool can have.
pub(crate) const LANES_MAX: u8 = 16;
/// How the variables of the environment begin.
pub(super) const VARIABLE_PREFIX: &str = "MEDITOPIA_";

const MAX_TEXT_BYTES: usize = 255;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const TEN_YEARS_DAYS: u64 = 3_650;
const TEN_YEARS_S: u64 = 10 * 366 * 86_400;
/// What fits SQLite's and TOML's integers.
const MAX_BYTES: u64 = i64::MAX as u64;

/// One option, documented.
#[derive(Debug, Clone, Copy)]
pub struct OptionDoc {
    /// Its name in `set`, in a file, and after `MEDITOPIA_` in upper case in the environment.
    pub key: &'static str,
    /// The value that it has when nothing sets it; empty where there is none.
    pub default: &'static str,
    /// What it does, in a sentence or two.
    pub meaning: &'static str,
    form: Form,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
enum Form {
    Endpoint,
    Text,
    Token,
    Path,
    Proxy,
    Offset,
    Flag,
    Choice(&'static [&'static str]),
    Number { min: u64, max: u64 },
}

use Form::{Choice, Flag, Number, Offset, Path, Text, Token};

const fn option(
    key: &'static str,
    form: Form,
    default: &'static str,
    meaning: &'static str,
) -> OptionDoc {
    OptionDoc {
        key,
        default,
        meaning,
        form,
    }
}

const fn number(min: u64, max: u64) -> Form {
    Number { min, max }
}

#[rustfmt::skip]
pub(super) static OPTIONS: [OptionDoc; 23] = [
    option("endpoint", Form::Endpoint, "https://partners.meditopia.com/default/v1/events",
        "The full URL that events are posted to. A spool belongs to one endpoint."),
    option("account", Text, "",
        "Free text that tells spools of one endpoint apart. A spool belongs to one account."),
    option("bearer_token", Token, "",
        "The API's bearer token. A process that only enqueues needs none."),
    option("bearer_token_file", Path, "",
        "A file that holds the bearer token, read again when the API refuses it. It goes before `bearer_token`."),
    option("spool", Path, "",
        "The directory that keeps the events. Required, except with `durability` = `memory`, which ignores it."),
    option("durability", Choice(&Durability::NAMES), "process",
        "What an acknowledged event survives: `process` the death of the process, `power` a power cut too, `memory` neither (for tests)."),
    option("role", Choice(&Role::NAMES), "both",
        "`both` enqueues and, when elected, sends; `enqueue` never uses the network unless `flush` is called."),
    option("flush_interval_ms", number(10, DAY_MS), "10000",
        "The longest that an event waits for a batch to fill, in milliseconds."),
    option("batch_max", number(1, 100), "100",
        "The most events in one request. The API takes 100."),
    option("lanes", number(1, LANES_MAX as u64), "1",
        "Requests in flight at once. A user's events stay in one lane, so their order is kept."),
    option("connect_timeout_ms", number(10, HOUR_MS), "10000",
        "The longest that looking the name up, connecting and TLS may take, in milliseconds."),
    option("request_timeout_ms", number(10, HOUR_MS), "30000",
        "The longest that sending a request and reading its answer may take, in milliseconds."),
    option("proxy", Form::Proxy, "",
        "The HTTP proxy to go through. The environment's proxies are not looked at."),
    option("ca_file", Path, "",
        "A PEM file of certificate authorities to trust instead of the system's."),
    option("max_spool_bytes", number(0, MAX_BYTES), "0",
        "The most bytes that waiting events may take, about; then enqueue answers that the spool is full. 0: no limit."),
    option("max_event_bytes", number(256, 1_048_576), "65536",
        "The most bytes of one encoded event."),
    option("utc_offset", Offset, "+00:00",
        "The offset that `received_at` is converted to when it says its own, or is now."),
    option("event_ttl_s", number(0, TEN_YEARS_S), "0",
        "Seconds after which an unsent event goes to the rejected store as expired. 0: never."),
    option("max_requests_per_s", number(0, 10_000), "0",
        "The most requests in a second, all lanes together. 0: no limit."),
    option("brake_users", number(0, 1_000_000), "20",
        "After lone refusals of this many different users in a row nothing more is rejected; after as many more delivery pauses. 0: never."),
    option("receipts_days", number(0, TEN_YEARS_DAYS), "7",
        "Days for which the store keeps when whose events were delivered: about 50 bytes for each user of a request. 0: not at all."),
    option("log_level", Choice(&Level::NAMES), "info",
        "What the library's log keeps: this level and the graver ones."),
    option("allow_network_spool", Flag, "false",
        "Whether the spool may lie on a network file system, where locks may not hold."),
];

/// Every option, in the order of the documentation.
pub fn reference() -> impl Iterator<Item = &'static OptionDoc> {
    OPTIONS.iter()
}

/// The [`reference()`] as a Markdown table.
pub fn markdown() -> String {
    let mut table =
        String::from("| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
    for doc in reference() {
        let default = match doc.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let (key, kind, range, meaning) = (doc.key, doc.type_name(), doc.range(), doc.meaning);
        table.push_str(&format!(
            "| `{key}` | {kind} | {default} | {range} | {meaning} |\n"
        ));
    }
    table
}

pub(super) fn find(key: &str) -> Option<&'static OptionDoc> {
    OPTIONS.iter().find(|doc| doc.key == key)
}

impl OptionDoc {
    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        format!("{}{}", VARIABLE_PREFIX, self.key.to_uppercase())
    }

    /// Whether its value is never given back, printed or quoted.
    pub fn is_secret(&self) -> bool {
        matches!(self.form, Token | Form::Proxy)
    }

    /// The type of its value: `url`, `text`, `path`, `offset`, `boolean`, `choice` or `integer`.
    pub fn type_name(&self) -> &'static str {
        match self.form {
            Form::Endpoint | Form::Proxy => "url",
            Text | Token => "text",
            Path => "path",
            Offset => "offset",
            Flag => "boolean",
            Choice(_) => "choice",
            Number { .. } => "integer",
        }
    }

    /// What its value may be, in words.
    pub fn range(&self) -> String {
        match self.form {
            Form::Endpoint => "an `https` URL; `http` to a loopback host".to_owned(),
            Text => format!("text of at most {MAX_TEXT_BYTES} bytes without control characters"),
            Token => "visible ASCII; secret".to_owned(),
            Path => "a path".to_owned(),
            Form::Proxy => "`http://[user:password@]host[:port]`; secret".to_owned(),
            Offset => "`-18:00` to `+18:00`".to_owned(),
            Flag => "`true` or `false`".to_owned(),
            Choice(names) => either(names),
            Number {
                min,
                max: MAX_BYTES,
            } => format!("a whole number from {min}"),
            Number { min, max } => format!("a whole number from {min} to {max}"),
        }
    }

    /// Says what is wrong with `value`. Empty is always right where it is the default.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        if value.is_empty() && self.default.is_empty() {
            return Ok(());
        }
        match self.form {
            Form::Endpoint => Endpoint::parse(value).map(drop),
            Token => BearerToken::parse(value).map(drop),
            Form::Proxy => Proxy::parse(value).map(drop),
            Text if value.len() <= MAX_TEXT_BYTES && !value.contains(char::is_control) => Ok(()),
            Path if !value.contains('\0') => Ok(()),
            Offset if UtcOffset::parse(value).is_some() => Ok(()),
            Flag if matches!(value, "true" | "false") => Ok(()),
            Choice(names) if names.contains(&value) => Ok(()),
            Number { min, max } if whole(value).is_some_and(|n| min <= n && n <= max) => Ok(()),
            Text | Path | Offset | Flag | Choice(_) | Number { .. } => {
                let range = self.range().replace('`', "");
                Err(format!("{} is not {range}", quoted(value)))
            }
        }
    }
}

/// `a`, `b` or `c`
fn either(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The number that `value` writes in plain digits.
pub(super) fn whole(value: &str) -> Option<u64> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}
