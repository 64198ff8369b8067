//! What a flush or a close did.

use crate::client::Report;

use super::growing::Growing;
use super::status::pause_number;

/// What a `meditopia_flush` or `meditopia_client_close` did. It is written whatever the status is, also
/// after `MEDITOPIA_ERROR_TIMEOUT` and `MEDITOPIA_ERROR_PAUSED`; all zero where nothing is known.
///
/// Counts are events of the whole spool, other processes' included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_report {
    /// Set it to sizeof(meditopia_report) before the call.
    pub struct_size: u32,
    /// Why delivery is paused: one of `meditopia_pause_reason`.
    pub pause_reason: i32,
    /// Accepted by the API since the call began.
    pub delivered: u64,
    /// Refused by the API, each alone in a request, since the call began. They are kept and listed
    /// by `meditopia_rejected_open`.
    pub rejected: u64,
    /// Older than `event_ttl_s` since the call began. They are kept and listed with the rejected.
    pub expired: u64,
    /// Waiting when the call returned. Where its time did not suffice to count what has not been taken
    /// over from the journal yet, about.
    pub pending: u64,
    /// Of the pending: sent, but no answer has settled whether they arrived.
    pub in_doubt: u64,
    /// Since when delivery is paused, milliseconds since 1970-01-01T00:00:00Z; 0: it is not, or that is
    /// not known.
    pub paused_since_ms: i64,
    /// When a request asks next whether the pause is over; 0: it is not paused, or only an operator
    /// ends it.
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
