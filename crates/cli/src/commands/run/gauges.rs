//! The metrics of `meditopia run` beside the statistics of the spool: what only an operator needs.

use std::path::Path;

use meditopia::internals::client::{Standing, Vitals};

use super::current_client::SpoolState;
use crate::alarms;
use crate::output::metrics::{self, flag, number};

/// The gauges in Prometheus' text format.
pub fn text(name: &str, spool: &SpoolState, vitals: &Vitals, limit_bytes: u64) -> String {
    let retry = spool.retry.as_ref();
    let is_away = spool.stats.pending > 0 && retry.is_some_and(|retry| retry.is_lasting);
    let gauges = [
        (
            "meditopia_spool_bytes",
            "About how many bytes of events wait, as counted against max_spool_bytes.",
            number(spool.waiting_bytes),
        ),
        (
            "meditopia_spool_limit_bytes",
            "The value of max_spool_bytes; 0 means no limit.",
            number(limit_bytes),
        ),
        (
            "meditopia_spool_disk_free_bytes",
            "Bytes that are free on the disk of the spool.",
            number(spool.disk.free_bytes),
        ),
        (
            "meditopia_spool_disk_free_inodes",
            "Inodes that are free on the disk of the spool, if it has a number of them.",
            spool.disk.free_inodes.and_then(number),
        ),
        (
            "meditopia_spool_disk_nearly_full",
            "Whether the disk of the spool is full or nearly so, as status --check finds it.",
            flag(alarms::disk(&spool.disk, Path::new("")).is_some()),
        ),
        (
            "meditopia_rejected_kept",
            "Rejected events that are kept until somebody requeues or discards them.",
            spool.rejected_kept.and_then(number),
        ),
        (
            "meditopia_api_away",
            "Whether all that waits rests after failed requests.",
            flag(is_away),
        ),
        (
            "meditopia_run_elected",
            "Whether this process is the one that sends.",
            flag(vitals.standing == Standing::Elected),
        ),
        (
            "meditopia_run_overdue_seconds",
            "By how much a thread of the sender is overdue.",
            Some(format!("{:.3}", vitals.overdue.as_secs_f64())),
        ),
    ];
    metrics::gauges(&[("spool", name)], &gauges)
}
