//! What happened to the events during a flush or a close.

use crate::client::Report;

use super::growing::Growing;
use super::status::pause_number;

/// What happened to the events during a `meditopia_flush` or `meditopia_client_close`. It is
/// written whatever the status is, also with `MEDITOPIA_ERROR_TIMEOUT` and
/// `MEDITOPIA_ERROR_PAUSED`. It is all zero if nothing is known.
///
/// The counts are events of the whole spool, those of other processes included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_report {
    /// Set it to sizeof(meditopia_report) before the call.
    pub struct_size: u32,
    /// Why delivery is paused: one of `meditopia_pause_reason`.
    pub pause_reason: i32,
    /// Events that the API accepted since the call began.
    pub delivered: u64,
    /// Events that the API refused since the call began, each alone in a request. They are kept,
    /// and `meditopia_rejected_open` lists them.
    pub rejected: u64,
    /// Events that expired since the call began, because they were older than `event_ttl_s`. They
    /// are kept and listed with the rejected events.
    pub expired: u64,
    /// Events that were waiting when the call returned.
    pub pending: u64,
    /// Of the pending events: sent, but no answer settled whether they arrived.
    pub in_doubt: u64,
    /// When the pause began, in milliseconds since 1970-01-01T00:00:00Z; 0: delivery is not paused,
    /// or the time is not known.
    pub paused_since_ms: i64,
    /// When the next probe is sent to see whether the pause can end, in milliseconds since
    /// 1970-01-01T00:00:00Z; 0: delivery is not paused, or only an operator can end the pause.
    pub next_probe_ms: i64,
}

// SAFETY: repr(C), starts with `struct_size`, and 4 + 4 + 7 * 8 leaves no padding.
unsafe impl Growing for meditopia_report {
    const NAME: &'static str = "meditopia_report";
    const FIRST_SIZE: usize = 48;
    const BLANK: Self = Self {
        struct_size: 0,
        pause_reason: 0,
        delivered: 0,
        rejected: 0,
        expired: 0,
        pending: 0,
        in_doubt: 0,
        paused_since_ms: 0,
        next_probe_ms: 0,
    };
}

impl From<&Report> for meditopia_report {
    fn from(report: &Report) -> Self {
        Self {
            struct_size: 0,
            pause_reason: pause_number(report.pause),
            delivered: report.delivered,
            rejected: report.rejected,
            expired: report.expired,
            pending: report.pending,
            in_doubt: report.in_doubt,
            paused_since_ms: report.paused_since_ms.unwrap_or(0),
            next_probe_ms: report.next_probe_ms.unwrap_or(0),
        }
    }
}
