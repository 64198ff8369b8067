//! The options as the rest of the crate reads them: checked, typed, complete.
//!
//! A [`Settings`] has durations instead of milliseconds, `None` instead of 0 for "off", and
//! absolute paths, so that its users have nothing left to check.

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
    /// Nothing: the events are in a private temporary spool, which is removed at close. For tests.
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
    /// The process enqueues, and sends when it is elected.
    Both,
    /// The process enqueues, and sends only in a call of `flush`.
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
    /// Whether the configuration names the endpoint. If not, that of an existing spool counts.
    pub names_endpoint: bool,
    /// Distinguishes spools of one endpoint; may be empty.
    pub account: String,
    /// Where the bearer token comes from.
    pub bearer_token: TokenSource,
    /// The directory that keeps the events, absolute; `None` with [`Durability::Memory`] only.
    pub spool: Option<PathBuf>,
    /// What an acknowledged event survives.
    pub durability: Durability,
    /// What this process does with the spool.
    pub role: Role,
    /// Maximum time that an event waits for its batch to fill.
    pub flush_interval: Duration,
    /// Maximum number of events in one request, 1 to 100.
    pub batch_max: usize,
    /// Number of requests in flight at once, 1 to 16.
    pub lanes: u8,
    /// Time limit for the name look-up, the connection and the TLS handshake.
    pub connect_timeout: Duration,
    /// Time limit for sending a request and reading its answer.
    pub request_timeout: Duration,
    /// The proxy to use.
    pub proxy: Option<Proxy>,
    /// Certificate authorities to trust instead of the system's; absolute.
    pub ca_file: Option<PathBuf>,
    /// Approximate limit for the bytes of waiting events; `None`: no limit.
    pub max_spool_bytes: Option<NonZeroU64>,
    /// Maximum size of one encoded event, in bytes.
    pub max_event_bytes: usize,
    /// The UTC offset that times are converted to.
    pub utc_offset: UtcOffset,
    /// The age at which an event that was not sent expires; `None`: never.
    pub event_ttl: Option<Duration>,
    /// Maximum number of requests per second, all lanes together; `None`: no limit.
    pub max_requests_per_s: Option<NonZeroU32>,
    /// The brake: the number of different users in a row whose events may be refused alone; `None`:
    /// any.
    pub brake_users: Option<NonZeroU32>,
    /// How long receipts are kept; `None`: there are none.
    pub receipts_kept: Option<Duration>,
    /// The least severe level that the log keeps; `None`: the log keeps nothing.
    pub log_level: Option<Level>,
    /// Whether the spool may be on a network file system.
    pub allow_network_spool: bool,
    /// Whether the group of the spool's directory may write to it.
    pub trust_group: bool,
}

impl Settings {
    /// The rules that events are checked by.
    pub fn rules(&self) -> Rules {
        Rules {
            utc_offset: self.utc_offset,
            max_event_bytes: self.max_event_bytes,
        }
    }

    /// The proxy that requests go through: none to an endpoint over http, which is on this host. A proxy
    /// would read the token, and reach a host of its own.
    pub fn proxy_in_use(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| self.endpoint.is_https())
    }
}

/// The first key whose value differs between a client and a later `other` of the same spool. Two
/// bearer tokens are not a difference, because the later one replaces the earlier one. A token file
/// that only the later client names is.
pub fn conflict(one: &Settings, other: &Settings) -> Option<&'static str> {
    differences(one, other).next()
}

/// Every key whose value differs between two settings of one spool; see [`conflict`].
pub fn differences(one: &Settings, other: &Settings) -> impl Iterator<Item = &'static str> + use<> {
    // Destructured, so that a new field cannot be forgotten here.
    let Settings {
        endpoint,
        names_endpoint: _,
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
        trust_group,
    } = one;
    let other_file = other.bearer_token.file();
    let same_file = other_file.is_none() || bearer_token.file() == other_file;
    [
        (
            "endpoint",
            *endpoint == other.endpoint || !other.names_endpoint,
        ),
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
        ("trust_group", *trust_group == other.trust_group),
    ]
    .into_iter()
    .filter_map(|(key, same)| (!same).then_some(key))
}
