//! The table of all options: the name, the form of the value, the default and the meaning of each.
//!
//! Checks and defaults come from this table alone; the table of `docs/configuration.md` is printed from it
//! ([`markdown`]). Only the C header has a text of its own, at `meditopia_config_set` in
//! `src/ffi/config.rs`. The rest of the crate reads the options as
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
/// The largest integer of TOML.
const MAX_BYTES: u64 = i64::MAX as u64;

/// One option, documented.
#[derive(Debug, Clone, Copy)]
pub struct OptionDoc {
    /// The name in `set` and in a file; in the environment in upper case after `MEDITOPIA_`.
    pub key: &'static str,
    /// The value while the option is not set; empty if there is none.
    pub default: &'static str,
    /// What the option does, in a sentence or two.
    pub meaning: &'static str,
    form: Form,
}

/// The form of a value.
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
pub(super) static OPTIONS: [OptionDoc; 24] = [
    option("endpoint", Form::Endpoint, "https://partners.meditopia.com/default/v1/events",
        "The full URL that events are posted to. A spool belongs to one endpoint; if it is not set, that of an existing spool of this user counts."),
    option("account", Text, "",
        "Free text that tells spools of one endpoint apart. A spool belongs to one account."),
    option("bearer_token", Token, "",
        "The API's bearer token. A process that only enqueues needs none."),
    option("bearer_token_file", Path, "",
        "A file that holds the bearer token. It is read again when the API refuses the token, and takes precedence over `bearer_token`."),
    option("spool", Path, "",
        "The directory that keeps the events. Required, except with `durability` = `memory`, which ignores it."),
    option("durability", Choice(&Durability::NAMES), "process",
        "What an acknowledged event survives: with `process` the death of the process, with `power` also a power cut, with `memory` neither (for tests)."),
    option("role", Choice(&Role::NAMES), "both",
        "With `both`, the process enqueues and, when elected, sends. With `enqueue`, it uses the network only in a call of `flush`."),
    option("flush_interval_ms", number(10, DAY_MS), "10000",
        "Maximum time that an event waits for its batch to fill, in milliseconds."),
    option("batch_max", number(1, 100), "100",
        "Maximum number of events in one request. The API accepts 100."),
    option("lanes", number(1, LANES_MAX as u64), "1",
        "Number of requests in flight at once. The events of a user stay in one lane, so their order is kept."),
    option("connect_timeout_ms", number(10, HOUR_MS), "10000",
        "Time limit for the name look-up, the connection and the TLS handshake, in milliseconds."),
    option("request_timeout_ms", number(10, HOUR_MS), "30000",
        "Time limit for sending a request and reading its answer, in milliseconds."),
    option("proxy", Form::Proxy, "",
        "The HTTP proxy to use, unless the endpoint is http:// on this host. Proxies that the environment names are ignored."),
    option("ca_file", Path, "",
        "A PEM file of certificate authorities to trust instead of the system's. It is read again when it changes."),
    option("max_spool_bytes", number(0, MAX_BYTES), "0",
        "Approximate limit for the bytes of waiting events. Beyond it, an enqueue fails: the spool is full. 0: no limit."),
    option("max_event_bytes", number(256, 1_048_576), "65536",
        "Maximum size of one encoded event, in bytes."),
    option("utc_offset", Offset, "+00:00",
        "The UTC offset that `received_at` is converted to if it has an offset of its own, or is the current time."),
    option("event_ttl_s", number(0, TEN_YEARS_S), "0",
        "Seconds after which an event that was not sent becomes a rejected one, as expired. 0: never."),
    option("max_requests_per_s", number(0, 10_000), "0",
        "Maximum number of requests per second, all lanes together. 0: no limit."),
    option("brake_users", number(0, 1_000_000), "20",
        "Once events of this many different users in a row were refused alone, no more events are rejected; after as many again, delivery pauses. 0: never."),
    option("receipts_days", number(0, TEN_YEARS_DAYS), "7",
        "Days for which receipts are kept, which say when whose events were delivered: about 50 bytes for each user of a request. 0: no receipts."),
    option("log_level", Choice(&Level::NAMES), "info",
        "The library's log keeps records of this level and of more severe ones."),
    option("allow_network_spool", Flag, "false",
        "Whether the spool may be on a network file system, where locks may not work."),
    option("trust_group", Flag, "false",
        "Whether the group of the spool's directory may write to it, as Kubernetes (`fsGroup`) and OpenShift set it up for processes that are not its owner."),
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
    /// The environment variable that sets this option.
    pub fn variable(&self) -> String {
        format!("{}{}", VARIABLE_PREFIX, self.key.to_uppercase())
    }

    /// Whether the value is never returned, printed or quoted.
    pub fn is_secret(&self) -> bool {
        matches!(self.form, Token | Form::Proxy)
    }

    /// The type of the value: `url`, `text`, `path`, `offset`, `boolean`, `choice` or `integer`.
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

    /// The range of the value, in words.
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

    /// Checks `value`; the error says what is wrong with it. An empty value is valid if it is the
    /// default.
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
            Number { min, max } if parse_whole(value).is_some_and(|n| min <= n && n <= max) => {
                Ok(())
            }
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

/// The number in `value`, which must be digits only.
pub(super) fn parse_whole(value: &str) -> Option<u64> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}
