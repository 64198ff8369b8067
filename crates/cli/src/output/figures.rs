//! How figures are told to people: with the same words in every command, so that they add up.
//!
//! Pending events wait to be sent, or are in doubt; both together are *pending*. A store that cannot be read has
//! no figures: then it says so, and not 0.

use meditopia::internals::spool::DiskSpace;
use meditopia::{PauseReason, Report, Stats};

use super::{byte_size, event_count, grouped};

/// A figure of a store that cannot be read.
pub const UNKNOWN: &str = "unknown: the store cannot be read";

/// `12 events`.
pub fn pending(stats: &Stats) -> String {
    match stats.store_unreadable {
        true => UNKNOWN.to_owned(),
        false => event_count(stats.pending),
    }
}

/// `2 of the pending events`.
pub fn in_doubt(stats: &Stats) -> String {
    match stats.in_doubt {
        _ if stats.store_unreadable => UNKNOWN.to_owned(),
        0 => "none".to_owned(),
        in_doubt => format!("{} of the pending events", grouped(in_doubt)),
    }
}

/// What a line about the whole spool says: `12 events pending, 2 of them in doubt`.
pub fn all_pending(stats: &Stats) -> String {
    match (stats.pending, stats.in_doubt) {
        _ if stats.store_unreadable => {
            "what is pending is unknown: the store cannot be read".to_owned()
        }
        (pending, 0) => format!("{} pending", event_count(pending)),
        (pending, in_doubt) => format!(
            "{} pending, {} of them in doubt",
            event_count(pending),
            grouped(in_doubt)
        ),
    }
}

/// What is left after a flush or a close: `12 pending, 2 of them in doubt`.
pub fn left(report: &Report) -> String {
    match (report.pending, report.in_doubt) {
        _ if report.pause == Some(PauseReason::StoreDamaged) => {
            "what is pending is unknown".to_owned()
        }
        (0, _) => "nothing pending".to_owned(),
        (pending, 0) => format!("{pending} pending"),
        (pending, in_doubt) => format!("{pending} pending, {in_doubt} of them in doubt"),
    }
}

/// `1.5 GiB and 12,480 inodes free`.
pub fn free(disk: &DiskSpace) -> String {
    let bytes = byte_size(disk.free_bytes);
    match disk.free_inodes {
        Some(inodes) => format!("{bytes} and {} inodes free", grouped(inodes)),
        None => format!("{bytes} free"),
    }
}
