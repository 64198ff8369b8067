//! Counters and states of a spool, as a struct and as text.

use crate::stats::Stats;
use crate::stats::histogram::{BUCKETS, Histogram};

use super::argument::invalid;
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::guard;
use super::handle::shared;
use super::output::out_param;
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

/// How long something took, counted in buckets whose bounds never change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_histogram {
    /// How often it was measured.
    pub count: u64,
    /// All durations together, in microseconds.
    pub sum_us: u64,
    /// How often it took longer than the bound before and at most the bound of its own. The last has no
    /// bound. `meditopia_stats_text` names the bounds.
    pub buckets: [u64; 15],
}

const NONE: meditopia_histogram = meditopia_histogram {
    count: 0,
    sum_us: 0,
    buckets: [0; BUCKETS],
};

impl From<&Histogram> for meditopia_histogram {
    fn from(histogram: &Histogram) -> Self {
        Self {
            count: histogram.count(),
            sum_us: histogram.sum_us,
            buckets: histogram.counts,
        }
    }
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
    /// Waiting now; about, while more than 4 MiB of them are not taken over by a sender.
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
    /// Of the requests: their events were accepted. This and what follows counts since the store has
    /// version 3.
    pub delivered_requests: u64,
    /// Of the requests: too large.
    pub too_large_requests: u64,
    /// Of the requests: not processed, to be sent again later (no connection, 429).
    pub postponed_requests: u64,
    /// Of the requests: no answer has settled them.
    pub in_doubt_requests: u64,
    /// Of the requests: no event was to blame; delivery paused, or stayed so.
    pub pausing_requests: u64,
    /// Bytes of the bodies of requests that were sent.
    pub sent_bytes: u64,
    /// How often delivery was paused, for whatever reason.
    pub pauses: u64,
    /// How long an enqueue took: of this process, one call of `meditopia_enqueue` in 64. Bounds in
    /// microseconds: 0.5 1 2 5 10 20 50 100 200 500 1000 10000 100000 1000000.
    pub enqueue: meditopia_histogram,
    /// How long requests took, from their first byte to their answer. Bounds in milliseconds:
    /// 1 2.5 5 10 25 50 100 250 500 1000 2500 5000 10000 30000.
    pub request: meditopia_histogram,
    /// How long events took, from their enqueue until they were accepted. Bounds in seconds:
    /// 0.01 0.1 0.5 1 2.5 5 10 15 30 60 300 1800 3600 86400.
    pub delivery: meditopia_histogram,
}

// SAFETY: repr(C), starts with `struct_size`, and 4 + 4 + 27 * 8 + 3 * 17 * 8 leaves no padding.
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
        delivered_requests: 0,
        too_large_requests: 0,
        postponed_requests: 0,
        in_doubt_requests: 0,
        pausing_requests: 0,
        sent_bytes: 0,
        pauses: 0,
        enqueue: NONE,
        request: NONE,
        delivery: NONE,
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
            delivered_requests: stats.delivered_requests,
            too_large_requests: stats.too_large_requests,
            postponed_requests: stats.postponed_requests,
            in_doubt_requests: stats.in_doubt_requests,
            pausing_requests: stats.pausing_requests,
            sent_bytes: stats.sent_bytes,
            pauses: stats.pauses,
            enqueue: (&stats.enqueue_seconds).into(),
            request: (&stats.request_seconds).into(),
            delivery: (&stats.delivery_seconds).into(),
        }
    }
}

/// Reads the counters and states of the spool.
///
/// `stats` is the caller's; set its `struct_size`. Looks into the store, and into at most 8 MiB of what
/// no sender has taken over; never waits for the sender. `meditopia_sender_seen` is cheaper. Callable
/// from any thread.
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
    guard(error, || {
        // SAFETY: the header asks for stats that say their size, and for a live client.
        let (mut stats, client) = unsafe {
            (
                GrowingOutput::<meditopia_stats>::new("stats", stats)?,
                shared("client", client)?,
            )
        };
        stats.fill(&(&client.client.stats()?).into());
        Ok(())
    })
}

/// Says when a sender was last at work on the spool, and whether events wait: for a host that only
/// enqueues and wants to know that somebody sends.
///
///   seen_ms  gets the time in milliseconds since 1970-01-01T00:00:00Z; -1: there never was one
///   waiting  gets 1 if events seem to wait, else 0
///
/// Reads one small file and the sizes of the journal's files, so it suits a web request; what waits is
/// as of the sender's last word, at most a second old while it runs. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_sender_seen(
    client: *mut meditopia_client,
    seen_ms: *mut i64,
    waiting: *mut i32,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: NULL or the caller's numbers, says the header.
        let (seen_ms, waiting) = unsafe {
            (
                out_param("seen_ms", seen_ms, -1),
                out_param("waiting", waiting, 0),
            )
        };
        let (seen_ms, waiting) = (seen_ms?, waiting?);
        // SAFETY: the header asks for a live client.
        let client = unsafe { shared("client", client) }?;
        let seen = client.client.sender_seen()?;
        *seen_ms = seen.seen_ms.unwrap_or(-1);
        *waiting = i32::from(seen.waiting);
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
    guard(error, || {
        const JSON: i32 = meditopia_format::MEDITOPIA_FORMAT_JSON as i32;
        const PROMETHEUS: i32 = meditopia_format::MEDITOPIA_FORMAT_PROMETHEUS as i32;
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
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
