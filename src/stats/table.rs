//! The table of all figures: what a figure is called, what it means, of which kind it is, and where
//! it is read. The C struct in `src/ffi/stats.rs` repeats the fields, with their text for the header.
//!
//! A macro that wants the table passes its own name to `for_each_figure!`: the struct [`Stats`],
//! its JSON and its Prometheus text, the copy of the store's totals and the conversion to the C struct
//! are all made so. The table is in the order of the JSON, which only ever grows. A line reads:
//!
//! ```text
//! /// What it means; the first line is also its HELP text for Prometheus.
//! field: type = kind, metric, c.field_of_the_c_struct, totals.where_the_store_keeps_it;
//! ```
//!
//! `totals` is left out where a figure is not a sum of the store. A new counter needs a line here
//! and a field at the end of `meditopia_stats`, the C struct, which does not compile without it. If
//! the store is to keep it, it also needs its field in `store::Measures`, where it is counted.
//!
//! [`Stats`]: super::Stats

/// The metric that all figures of kind `Verdict` share.
pub(super) const VERDICTS: &str = "meditopia_request_verdicts_total";
/// The HELP text of [`VERDICTS`].
pub(super) const VERDICTS_MEANING: &str = "Requests by what their end meant.";

/// Calls the macro `$consumer` with the table.
macro_rules! for_each_figure {
    ($consumer:ident) => {
        $consumer! {
            /// Events acknowledged by this process.
            enqueued: u64 = Counter, "meditopia_events_enqueued_total", c.enqueued;
            /// Events that the API has taken.
            delivered: u64 = Counter, "meditopia_events_delivered_total", c.delivered, totals.delivered;
            /// Events that the API refused alone.
            rejected: u64 = Counter, "meditopia_events_rejected_total", c.rejected, totals.rejected;
            /// Events that grew too old unsent.
            ///
            /// The option `event_ttl_s` sets the age.
            expired: u64 = Counter, "meditopia_events_expired_total", c.expired, totals.expired;
            /// Events that wait to be sent.
            pending: u64 = Gauge, "meditopia_events_pending", c.pending;
            /// Events of requests that no answer has settled.
            in_doubt: u64 = Gauge, "meditopia_events_in_doubt", c.in_doubt;
            /// Requests sent.
            requests: u64 = Counter, "meditopia_requests_total", c.requests, totals.requests;
            /// Requests repeated after no answer, or one that asked for it.
            retried_requests: u64 = Counter, "meditopia_requests_retried_total",
                c.retried_requests, totals.retried_requests;
            /// Requests that the API refused.
            refused_requests: u64 = Counter, "meditopia_requests_refused_total",
                c.refused_requests, totals.refused_requests;
            /// Requests sent to find a bad event.
            isolation_requests: u64 = Counter, "meditopia_requests_isolation_total",
                c.isolation_requests, totals.isolation_requests;
            /// Whether delivery is paused for this reason.
            ///
            /// `None`: delivery is not paused.
            paused: Option<PauseReason> = Paused, "meditopia_paused", c.pause_reason;
            /// Since when delivery is paused.
            paused_since_ms: Option<i64> = TimeMs, "meditopia_paused_since_timestamp_seconds",
                c.paused_since_ms;
            /// When the pause is probed next.
            next_probe_ms: Option<i64> = TimeMs, "meditopia_next_probe_timestamp_seconds",
                c.next_probe_ms;
            /// Bytes of journal that were not taken over yet.
            journal_bytes: u64 = Gauge, "meditopia_journal_bytes", c.journal_bytes;
            /// Files of the journal.
            segments: u64 = Gauge, "meditopia_journal_segments", c.segments;
            /// Damaged records that were set aside.
            damaged_records: u64 = Counter, "meditopia_journal_damaged_records_total",
                c.damaged_records, totals.damaged_records;
            /// When the oldest waiting event was enqueued.
            ///
            /// `None`: no event waits.
            oldest_pending_ms: Option<i64> = TimeMs, "meditopia_oldest_pending_timestamp_seconds",
                c.oldest_pending_ms;
            /// When a sender was last seen on this spool.
            ///
            /// `None`: there never was one.
            sender_seen_ms: Option<i64> = TimeMs, "meditopia_sender_seen_timestamp_seconds",
                c.sender_seen_ms;
            /// The process that is or was the sender.
            sender_pid: Option<u32> = Pid, "meditopia_sender_info", c.sender_pid;
            /// Segments whose end was cut short.
            ///
            /// The death of the segment's writer does that, and so does a power cut.
            torn_tails: u64 = Counter, "meditopia_journal_torn_tails_total",
                c.torn_tails, totals.torn_tails;
            /// At most how many events recover could not read out of a damaged store.
            lost: u64 = Counter, "meditopia_events_lost_total", c.lost, totals.lost;
            /// Bytes of the bodies of requests that were sent.
            sent_bytes: u64 = Counter, "meditopia_request_sent_bytes_total",
                c.sent_bytes, totals.measures.sent_bytes;
            /// How often delivery was paused.
            pauses: u64 = Counter, "meditopia_pauses_total", c.pauses, totals.measures.pauses;
            /// Requests whose events were all accepted.
            delivered_requests: u64 = Verdict("delivered"), VERDICTS,
                c.delivered_requests, totals.measures.verdicts.delivered;
            /// Requests whose body was too large.
            too_large_requests: u64 = Verdict("too_large"), VERDICTS,
                c.too_large_requests, totals.measures.verdicts.too_large;
            /// Requests that were not processed and are sent again later.
            postponed_requests: u64 = Verdict("retry"), VERDICTS,
                c.postponed_requests, totals.measures.verdicts.retry;
            /// Requests whose own end settled nothing; a repetition may have.
            in_doubt_requests: u64 = Verdict("in_doubt"), VERDICTS,
                c.in_doubt_requests, totals.measures.verdicts.in_doubt;
            /// Requests after which delivery paused, or stayed paused: no event was to blame.
            pausing_requests: u64 = Verdict("pause"), VERDICTS,
                c.pausing_requests, totals.measures.verdicts.pause;
            /// How long a single enqueue took, of one in 64 in this process.
            enqueue_seconds: Histogram = Histogram(&ENQUEUE_BOUNDS_US),
                "meditopia_enqueue_duration_seconds", c.enqueue;
            /// How long requests took from their first byte to their answer.
            request_seconds: Histogram = Histogram(&REQUEST_BOUNDS_US),
                "meditopia_request_duration_seconds", c.request, totals.measures.requests;
            /// How long events took from their enqueue until they were accepted.
            delivery_seconds: Histogram = Histogram(&DELIVERY_BOUNDS_US),
                "meditopia_delivery_duration_seconds", c.delivery, totals.measures.deliveries;
            /// When the API last answered a request.
            ///
            /// Neither a server error nor a login page is an answer of the API. `None`: never.
            answered_ms: Option<i64> = TimeMs, "meditopia_api_answered_timestamp_seconds",
                c.answered_ms;
            /// When the API last accepted events.
            ///
            /// `None`: never.
            accepted_ms: Option<i64> = TimeMs, "meditopia_events_accepted_timestamp_seconds",
                c.accepted_ms;
            /// Whether the store cannot be read, so that its figures are missing.
            store_unreadable: bool = Flag, "meditopia_store_unreadable", c.store_unreadable;
            /// Damaged records, and events that recover could not read, that no operator has acknowledged.
            damage_unacknowledged: u64 = Gauge, "meditopia_damage_unacknowledged",
                c.damage_unacknowledged;
        }
    };
}

pub(crate) use for_each_figure;
