//! The counters and gauges of a spool, as a struct and as text.

use crate::error::PauseReason;
use crate::stats::histogram::{BUCKETS, Histogram};
use crate::stats::{Stats, for_each_figure};

use super::argument::invalid_argument;
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::guard;
use super::handle::shared;
use super::output::out_param;
use super::status::{meditopia_pause_reason, meditopia_status, pause_number};
use super::text::meditopia_text;

/// The formats of `meditopia_stats_text`.
#[repr(C)]
pub enum meditopia_format {
    /// One JSON object.
    MEDITOPIA_FORMAT_JSON = 0,
    /// The text format of Prometheus.
    MEDITOPIA_FORMAT_PROMETHEUS = 1,
}

/// Durations, counted in buckets whose bounds never change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_histogram {
    /// How many durations were measured.
    pub count: u64,
    /// The sum of the durations, in microseconds.
    pub sum_us: u64,
    /// How many durations fell into each bucket: they were longer than the bound of the bucket
    /// before, and at most its own. The last bucket has no bound. `meditopia_stats_text` names the
    /// bounds.
    pub buckets: [u64; 15],
}

/// Counters and gauges of a spool, over all its processes. A counter is a number of events since
/// the spool was created, unless its comment says otherwise. A time is in milliseconds since
/// 1970-01-01T00:00:00Z; -1: there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_stats {
    /// Set it to sizeof(meditopia_stats) before the call.
    pub struct_size: u32,
    /// Why delivery is paused: one of `meditopia_pause_reason`.
    pub pause_reason: i32,
    /// Events that this process enqueued, and that were acknowledged, since it opened the spool.
    pub enqueued: u64,
    /// Events that the API accepted.
    pub delivered: u64,
    /// Events that the API refused, each alone in a request.
    pub rejected: u64,
    /// Events that were older than `event_ttl_s` before they could be sent.
    pub expired: u64,
    /// Events that wait now.
    pub pending: u64,
    /// Of the pending events: sent, but no answer settled whether they arrived.
    pub in_doubt: u64,
    /// Requests sent, of every kind.
    pub requests: u64,
    /// Of the requests: those sent again because no answer settled them.
    pub retried_requests: u64,
    /// Of the requests: those that the API refused.
    pub refused_requests: u64,
    /// Of the requests: those sent to find the bad events of a refused request.
    pub isolation_requests: u64,
    /// When the pause began.
    pub paused_since_ms: i64,
    /// When a paused sender sends its next probe.
    pub next_probe_ms: i64,
    /// Bytes on disk that no sender has taken over yet.
    pub journal_bytes: u64,
    /// Files of the journal. A process that enqueues keeps one, even when all of it is taken over.
    /// A process whose threads often enqueue at the same time keeps up to four.
    pub segments: u64,
    /// Places of the journal that could not be read and were set aside under `damaged/` in the
    /// spool. A place is one record, which is one enqueue of one or more events, or several records
    /// in a row.
    pub damaged_records: u64,
    /// When the oldest pending event was enqueued.
    pub oldest_pending_ms: i64,
    /// When a sender was last at work. If that was long ago and events are pending, no process is
    /// sending.
    pub sender_seen_ms: i64,
    /// The process id of that sender; -1: there never was one.
    pub sender_pid: i64,
    /// Files of the journal whose end was cut short. The death of a process cuts a file short; the
    /// missing part was then not acknowledged. A power cut does so too; with `durability` "process"
    /// the missing part may then hold acknowledged events.
    pub torn_tails: u64,
    /// At most how many events `meditopia recover` could not read from a damaged store. An upper bound.
    pub lost: u64,
    /// Of the requests: those whose events the API accepted. This field and the ones below count
    /// from version 3 of the store on.
    pub delivered_requests: u64,
    /// Of the requests: those that were too large.
    pub too_large_requests: u64,
    /// Of the requests: those that were not processed and will be sent again later (no connection,
    /// HTTP 429).
    pub postponed_requests: u64,
    /// Of the requests: those whose own end settled nothing. A repetition may have settled it, so that
    /// `in_doubt` is 0 again.
    pub in_doubt_requests: u64,
    /// Of the requests: those that failed through no fault of an event, so that delivery paused or
    /// stayed paused.
    pub pausing_requests: u64,
    /// Bytes of the request bodies that were sent.
    pub sent_bytes: u64,
    /// How many times delivery paused, for any reason.
    pub pauses: u64,
    /// How long the enqueues of this process took; one call of `meditopia_enqueue` in 64 is
    /// measured. Bounds in microseconds: 0.5 1 2 5 10 20 50 100 200 500 1000 10000 100000 1000000.
    pub enqueue: meditopia_histogram,
    /// How long requests took, from their first byte to their answer. Bounds in milliseconds: 1 2.5
    /// 5 10 25 50 100 250 500 1000 2500 5000 10000 30000.
    pub request: meditopia_histogram,
    /// How long events took, from their enqueue until the API accepted them. Bounds in seconds:
    /// 0.01 0.1 0.5 1 2.5 5 10 15 30 60 300 1800 3600 86400.
    pub delivery: meditopia_histogram,
    /// When the API last answered a request. Neither a server error nor a login page is an answer of
    /// the API.
    pub answered_ms: i64,
    /// When the API last accepted events.
    pub accepted_ms: i64,
    /// 1 if the store cannot be read, otherwise 0. The figures that the store keeps are then missing:
    /// `pending`, `in_doubt` and all counters but `enqueued` are 0, whatever they were.
    pub store_unreadable: u64,
    /// Of `damaged_records` and `lost` together: how many no operator has acknowledged, by
    /// `meditopia damaged acknowledge`.
    pub damage_unacknowledged: u64,
}

// SAFETY: repr(C), starts with `struct_size` and one more field of 4 bytes; every field after them is
// made of 8-byte numbers, which leaves no padding.
unsafe impl Growing for meditopia_stats {
    const NAME: &'static str = "meditopia_stats";
    const FIRST_SIZE: usize = 168;
    const BLANK: Self = Self::UNKNOWN;
}

/// How a figure of the statistics is written in C.
trait InC {
    type C;
    /// What stands for a figure that is not known.
    const UNKNOWN: Self::C;
    fn in_c(&self) -> Self::C;
}

impl InC for u64 {
    type C = Self;
    const UNKNOWN: Self = 0;
    fn in_c(&self) -> Self {
        *self
    }
}

impl InC for bool {
    type C = u64;
    const UNKNOWN: u64 = 0;

    fn in_c(&self) -> u64 {
        u64::from(*self)
    }
}

impl InC for Option<i64> {
    type C = i64;
    const UNKNOWN: i64 = -1;
    fn in_c(&self) -> i64 {
        self.unwrap_or(Self::UNKNOWN)
    }
}

impl InC for Option<u32> {
    type C = i64;
    const UNKNOWN: i64 = -1;
    fn in_c(&self) -> i64 {
        self.map_or(Self::UNKNOWN, i64::from)
    }
}

impl InC for Option<PauseReason> {
    type C = i32;
    const UNKNOWN: i32 = meditopia_pause_reason::MEDITOPIA_PAUSE_NONE as i32;
    fn in_c(&self) -> i32 {
        pause_number(*self)
    }
}

impl InC for Histogram {
    type C = meditopia_histogram;
    const UNKNOWN: meditopia_histogram = meditopia_histogram {
        count: 0,
        sum_us: 0,
        buckets: [0; BUCKETS],
    };
    fn in_c(&self) -> meditopia_histogram {
        meditopia_histogram {
            count: self.count(),
            sum_us: self.sum_us,
            buckets: self.counts,
        }
    }
}

/// Fills the C struct from the table of figures: a figure without a field does not compile.
macro_rules! convert_to_c {
    ($(
        $(#[doc = $meaning:literal])*
        $field:ident: $type:ty = $kind:ident $(($argument:expr))?, $metric:expr,
            c.$c_field:ident $(, totals.$($total:ident).+)?;
    )*) => {
        impl meditopia_stats {
            const UNKNOWN: Self = Self {
                struct_size: 0,
                $($c_field: <$type as InC>::UNKNOWN,)*
            };
        }

        impl From<&Stats> for meditopia_stats {
            fn from(stats: &Stats) -> Self {
                Self {
                    struct_size: 0,
                    $($c_field: stats.$field.in_c(),)*
                }
            }
        }
    };
}

for_each_figure!(convert_to_c);

/// Reads the counters and gauges of the spool.
///
/// `stats` is the caller's; set its `struct_size`. The call reads the store, and a few places of
/// each file of the journal that no sender has taken over yet. It never waits for the sender.
/// `meditopia_sender_seen` is cheaper. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
/// `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
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
        // SAFETY: the header demands stats that say their size, and a live client.
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

/// Says when a sender was last at work on the spool, and whether events wait. It is meant for an
/// application that only enqueues and has to know that another process sends.
///
///   seen_ms  receives the time in milliseconds since 1970-01-01T00:00:00Z; -1: there never was a
///            sender
///   waiting  receives 1 if events seem to wait, 0 otherwise
///
/// Reads one small file and the sizes of the journal's files, so it is cheap enough for a web
/// request. `waiting` relies on the sender's heartbeat, which is at most a second old while the
/// sender runs. Callable from any thread.
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
        // SAFETY: the header demands NULL or writable numbers.
        let (seen_ms, waiting) = unsafe {
            (
                out_param("seen_ms", seen_ms, -1),
                out_param("waiting", waiting, 0),
            )
        };
        let (seen_ms, waiting) = (seen_ms?, waiting?);
        // SAFETY: the header demands a live client.
        let client = unsafe { shared("client", client) }?;
        let seen = client.client.sender_seen()?;
        *seen_ms = seen.seen_ms.unwrap_or(-1);
        *waiting = i32::from(seen.waiting);
        Ok(())
    })
}

/// Reads the counters and gauges of the spool as text, for a metrics page or a log.
///
/// `format` is one of `meditopia_format`. `*out` receives a new text, to be freed with
/// `meditopia_text_free`; after an error it is NULL. Blocking, threads and errors as for
/// `meditopia_get_stats`.
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
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        let write = match format {
            JSON => Stats::to_json,
            PROMETHEUS => Stats::to_prometheus,
            unknown => {
                return Err(invalid_argument(format!(
                    "format: {unknown} is neither MEDITOPIA_FORMAT_JSON nor MEDITOPIA_FORMAT_PROMETHEUS"
                )));
            }
        };
        // SAFETY: the header demands a live client.
        let client = unsafe { shared("client", client) }?;
        *out = meditopia_text::give(write(&client.client.stats()?));
        Ok(())
    })
}
