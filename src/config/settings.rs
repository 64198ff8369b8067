//! The options as the rest of the crate reads them: checked, typed, complete.
//!
//! Durations instead of milliseconds, `None` instead of 0 for "off", absolute paths: whoever holds
//! a [`Settings`] has nothing left to check.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Endpoint, Proxy};
use super::token::TokenSource;
use crate::event::{Rules, UtcOffset};
use crate::log::Level;

/// What an acknowledged event survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The death of the process by any signal.
    Process,
    /// A power cut, too.
    Power,
    /// Nothing: a private temporary spool, removed at close. For tests.
    Memory,
}

impl Durability {
    pub(super) const NAMES: [&'static str; 3] = ["process", "power", "memory"];

    /// The value of the option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
            Self::Memory => "memory",
        }
    }

    /// The durability with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Process, Self::Power, Self::Memory]
            .into_iter()
            .find(|durability| durability.name() == name)
    }
}

/// What a process does with a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It enqueues, and sends when it is elected.
    Both,
    /// It enqueues, and never sends unless `flush` is called.
    Enqueue,
}

impl Role {
    pub(super) const NAMES: [&'static str; 2] = ["both", "enqueue"];

    /// The value of the option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Enqueue => "enqueue",
        }
    }

    /// The role with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Both, Self::Enqueue]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// Every option, typed. Made by [`Config::settings`](super::Config::settings).
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL that events are posted to.
    pub endpoint: Endpoint,
    /// What tells spools of one endpoint apart; may be empty.
    pub account: String,
    /// Where the bearer token comes from.
    pub bearer_token: TokenSource,
    /// The directory that keeps the events, absolute; `None` exactly when nothing is kept
    /// ([`Durability::Memory`]).
    pub spool: Option<PathBuf>,
    /// What an acknowledged event survives.
    pub durability: Durability,
    /// What this process does with the spool.
    pub role: Role,
    /// The longest that an event waits for a batch to fill.
    pub flush_interval: Duration,
    /// The most events in one request, 1 to 100.
    pub batch_max: usize,
    /// Requests in flight at once, 1 to 16.
    pub lanes: u8,
    /// The longest that looking the name up, connecting and TLS may take.
    pub connect_timeout: Duration,
    /// The longest that sending a request and reading its answer may take.
    pub request_timeout: Duration,
    /// The proxy to go through.
    pub proxy: Option<Proxy>,
    /// Certificate authorities to trust instead of the system's; absolute.
    pub ca_file: Option<PathBuf>,
    /// The most bytes that waiting events may take, about; `None`: no limit.
    pub max_spool_bytes: Option<NonZeroU64>,
    /// The most bytes of one encoded event.
    pub max_event_bytes: usize,
    /// The offset that times are converted to.
    pub utc_offset: UtcOffset,
    /// How old an unsent event may grow before it expires; `None`: any age.
    pub event_ttl: Option<Duration>,
    /// The most requests in a second, all lanes together; `None`: no limit.
    pub max_requests_per_s: Option<NonZeroU32>,
    /// Lone refusals of this many different users in a row pause delivery; `None`: never.
    pub brake_users: Option<NonZeroU32>,
    /// How long receipts of what was delivered are kept; `None`: not at all.
    pub receipts_kept: Option<Duration>,
    /// What the log keeps; `None`: nothing.
    pub log_level: Option<Level>,
    /// Whether the spool may lie on a network file system.
    pub allow_network_spool: bool,
}

impl Settings {
    /// What the checks of an event need to know.
    pub fn rules(&self) -> Rules {
        Rules {
            utc_offset: self.utc_offset,
            max_event_bytes: self.max_event_bytes,
        }
    }
}

/// The first key that a client and a later `other` of its spool disagree about. A bearer token is no
/// disagreement: a new one replaces the old. A file of it that only the later one names is.
pub fn conflict(one: &Settings, other: &Settings) -> Option<&'static str> {
    differences(one, other).next()
}

/// Every key that two settings of one spool disagree about; see [`conflict`].
pub fn differences(one: &Settings, other: &Settings) -> impl Iterator<Item = &'static str> + use<> {
    // Taken apart so that a new field cannot be forgotten here.
    let Settings {
        endpoint,
        account,
        bearer_token,
        spool,
        durability,
        role,
        flush_interval,
        batch_max,
        lanes,
        connect_timeout,
        request_timeout,
        proxy,
        ca_file,
        max_spool_bytes,
        max_event_bytes,
        utc_offset,
        event_ttl,
        max_requests_per_s,
        brake_users,
        receipts_kept,
        log_level,
        allow_network_spool,
    } = one;
    let other_file = other.bearer_token.file();
    let same_file = other_file.is_none() || bearer_token.file() == other_file;
    [
        ("endpoint", *endpoint == other.endpoint),
        ("account", *account == other.account),
        ("bearer_token_file", same_file),
        ("spool", *spool == other.spool),
        ("durability", *durability == other.durability),
        ("role", *role == other.role),
        ("flush_interval_ms", *flush_interval == other.flush_interval),
        ("batch_max", *batch_max == other.batch_max),
        ("lanes", *lanes == other.lanes),
        (
            "connect_timeout_ms",
            *connect_timeout == other.connect_timeout,
        ),
        (
            "request_timeout_ms",
            *request_timeout == other.request_timeout,
        ),
        ("proxy", *proxy == other.proxy),
        ("ca_file", *ca_file == other.ca_file),
        ("max_spool_bytes", *max_spool_bytes == other.max_spool_bytes),
        ("max_event_bytes", *max_event_bytes == other.max_event_bytes),
        ("utc_offset", *utc_offset == other.utc_offset),
        ("event_ttl_s", *event_ttl == other.event_ttl),
        (
            "max_requests_per_s",
            *max_requests_per_s == other.max_requests_per_s,
        ),
        ("brake_users", *brake_users == other.brake_users),
        ("receipts_days", *receipts_kept == other.receipts_kept),
        ("log_level", *log_level == other.log_level),
        (
            "allow_network_spool",
            *allow_network_spool == other.allow_network_spool,
        ),
    ]
    .into_iter()
    .filter_map(|(key, same)| (!same).then_some(key))
}
