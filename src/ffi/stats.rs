//! Counters and states of a spool, as a struct and as text.

use crate::stats::Stats;

use super::argument::{invalid, shared};
use super::client::meditopia_client;
use super::error::{ErrorSlot, meditopia_error};
use super::guard;
use super::output::{Growing, Grown, place};
use super::status::{meditopia_status, pause_number};
use super::text::meditopia_text;

/// The formats of `meditopia_stats_text`.
#[repr(C)]
pub enum meditopia_format {
    /// One JSON object.
    MEDITOPIA_FORMAT_JSON = 0,
    /// The text format that Prometheus scrapes.
    MEDITOPIA_FORMAT_PROMETHEUS = 1,
}

/// Counters and states of a spool, all its processes together. Counters are events since the spool
/// was made, where nothing else is said. Times are milliseconds since 1970-01-01T00:00:00Z; -1:
/// there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_stats {
    /// Set it to sizeof(meditopia_stats) before the call.
    pub struct_size: u32,
    /// Why delivery is paused: one of `meditopia_pause_reason`.
    pub pause_reason: i32,
    /// Acknowledged by the enqueues of this process, since it opened the spool.
    pub enqueued: u64,
    /// Accepted by the API.
    pub delivered: u64,
    /// Refused by the API, each alone in a request.
    pub rejected: u64,
    /// Older than `event_ttl_s` before they could be sent.
    pub expired: u64,
    /// Waiting now.
    pub pending: u64,
    /// Of the pending: sent, but no answer has settled whether they arrived.
    pub in_doubt: u64,
    /// Requests sent, of every kind.
    pub requests: u64,
    /// Of the requests: sent again because no answer settled them.
    pub retried_requests: u64,
    /// Of the requests: refused by the API.
    pub refused_requests: u64,
    /// Of the requests: sent to find out which event of a refused request was the bad one.
    pub isolation_requests: u64,
    /// Since when delivery is paused.
    pub paused_since_ms: i64,
    /// When a paused sender tries again.
    pub next_probe_ms: i64,
    /// Bytes on disk that no sender has taken over yet.
    pub journal_bytes: u64,
    /// Files of the journal. A process that enqueues keeps one, also when it is taken over, and up to
    /// four whose threads often enqueue at the same time.
    pub segments: u64,
    /// Places of the journal that could not be read and were set aside under `damaged/` in the spool.
    /// One is a record, that is an enqueue of one or more events, or several in a row.
    pub damaged_records: u64,
    /// When the oldest pending event was enqueued.
    pub oldest_pending_ms: i64,
    /// When a sender was last at work. Long ago, with events pending: nobody sends.
    pub sender_seen_ms: i64,
    /// The process id of the sender that was seen then; -1: there never was one.
    pub sender_pid: i64,
    /// Files of the journal whose end was cut short. The death of a process does that, and then what
    /// is missing was not acknowledged; so does a power cut, and then with `durability` = `process`
    /// acknowledged events may be missing.
    pub torn_tails: u64,
    /// Events that `meditopia recover` could not read out of a damaged store.
    pub lost: u64,
}

// SAFETY: repr(C), starts with `struct_size`, and 4 + 4 + 20 * 8 leaves no padding.
unsafe impl Growing for meditopia_stats {
    const NAME: &'static str = "meditopia_stats";
    const FIRST_SIZE: usize = 168;
    const BLANK: Self = Self {
        struct_size: 0,
        pause_reason: 0,
        enqueued: 0,
        delivered: 0,
        rejected: 0,
        expired: 0,
        pending: 0,
        in_doubt: 0,
        requests: 0,
        retried_requests: 0,
        refused_requests: 0,
        isolation_requests: 0,
        paused_since_ms: -1,
        next_probe_ms: -1,
        journal_bytes: 0,
        segments: 0,
        damaged_records: 0,
        oldest_pending_ms: -1,
        sender_seen_ms: -1,
        sender_pid: -1,
        torn_tails: 0,
        lost: 0,
    };
}

impl From<&Stats> for meditopia_stats {
    fn from(stats: &Stats) -> Self {
        Self {
            struct_size: 0,
            pause_reason: pause_number(stats.paused),
            enqueued: stats.enqueued,
            delivered: stats.delivered,
            rejected: stats.rejected,
            expired: stats.expired,
            pending: stats.pending,
            in_doubt: stats.in_doubt,
            requests: stats.requests,
            retried_requests: stats.retried_requests,
            refused_requests: stats.refused_requests,
            isolation_requests: stats.isolation_requests,
            paused_since_ms: stats.paused_since_ms.unwrap_or(-1),
            next_probe_ms: stats.next_probe_ms.unwrap_or(-1),
            journal_bytes: stats.journal_bytes,
            segments: stats.segments,
            damaged_records: stats.damaged_records,
            oldest_pending_ms: stats.oldest_pending_ms.unwrap_or(-1),
            sender_seen_ms: stats.sender_seen_ms.unwrap_or(-1),
            sender_pid: stats.sender_pid.map_or(-1, i64::from),
            torn_tails: stats.torn_tails,
            lost: stats.lost,
        }
    }
}

/// Reads the counters and states of the spool.
///
/// `stats` is the caller's; set its `struct_size`. Reads a few small files and never waits for the
/// sender. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
/// `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`,
/// `MEDITOPIA_ERROR_CLOSED`.
///
/// Example:
///
///   meditopia_stats stats = { .struct_size = sizeof stats };
///   if (meditopia_get_stats(client, &stats, &error) == MEDITOPIA_OK && stats.pause_reason != 0)
///       alert("delivery is paused");
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_get_stats(
    client: *mut meditopia_client,
    stats: *mut meditopia_stats,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: NULL or the caller's struct, says the header.
    guard(unsafe { ErrorSlot::at(error) }, || {
        // SAFETY: the header asks for stats that say their size, and for a live client.
        let (mut stats, client) = unsafe {
            (
                Grown::<meditopia_stats>::at("stats", stats)?,
                shared("client", client)?,
            )
        };
        stats.fill(&(&client.client.stats()?).into());
        Ok(())
    })
}

/// Reads the counters and states of the spool as text, for a metrics page or a log.
///
/// `format` is one of `meditopia_format`. `*out` gets a new text for `meditopia_text_free`; NULL
/// after an error. Blocking, threads and errors as for `meditopia_get_stats`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_stats_text(
    client: *mut meditopia_client,
    format: i32,
    out: *mut *mut meditopia_text,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: NULL or the caller's struct, says the header.
    guard(unsafe { ErrorSlot::at(error) }, || {
        const JSON: i32 = meditopia_format::MEDITOPIA_FORMAT_JSON as i32;
        const PROMETHEUS: i32 = meditopia_format::MEDITOPIA_FORMAT_PROMETHEUS as i32;
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { place("out", out, std::ptr::null_mut()) }?;
        let write = match format {
            JSON => Stats::to_json,
            PROMETHEUS => Stats::to_prometheus,
            unknown => {
                return Err(invalid(format!(
                    "format: {unknown} is neither MEDITOPIA_FORMAT_JSON nor MEDITOPIA_FORMAT_PROMETHEUS"
                )));
            }
        };
        // SAFETY: the header asks for a live client.
        let client = unsafe { shared("client", client) }?;
        *out = meditopia_text::give(write(&client.client.stats()?));
        Ok(())
    })
}
