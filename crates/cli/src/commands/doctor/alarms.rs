//! Checks who sends, and whether anything was damaged or lost: what `status --check` finds as well. A pause, a
//! retry and the disk have lines of their own.

use std::path::Path;

use meditopia::Client;
use meditopia::internals::client::Purpose;
use meditopia::internals::spool;

use super::{Finding, Report};
use crate::alarms::{self, Patience};
use crate::commands::status::snapshot::Snapshot;
use crate::failure::Failure;
use crate::options::typed::Typed;
use crate::output::event_count;
use crate::times::show_span;

/// The lines of this file, and the alarms that each tells.
const LINES: [(&str, &[&str]); 2] = [
    ("sender", &["stuck_sender", "no_sender"]),
    ("damage", &["damaged", "lost"]),
];

pub fn check(dir: &Path, typed: &Typed, report: &mut Report) {
    // A directory without a spool has been reported already.
    if spool::describe(dir).is_err() {
        return;
    }
    let snapshot = match take(dir) {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            let why = failure.to_string();
            report.add(&Finding::fail("sender", why, typed.command("status")));
            return;
        }
    };
    let mut found = alarms::of_spool(&snapshot, typed, Patience::WhileEventsWait);
    for (what, names) in LINES {
        let mut is_well = true;
        for alarm in found.extract_if(.., |alarm| names.contains(&alarm.name)) {
            is_well = false;
            report.add(&Finding::of(what, alarm));
        }
        if is_well {
            report.add(&Finding::ok(what, well(what, &snapshot)));
        }
    }
}

fn take(dir: &Path) -> Result<Snapshot, Failure> {
    let client = Client::open_existing(dir, Purpose::Read)?;
    Snapshot::take(&client, dir)
}

fn well(what: &str, snapshot: &Snapshot) -> String {
    if what == "damage" {
        return "no damaged record, no lost event".to_owned();
    }
    match (snapshot.is_sender_alive(), snapshot.stats.sender_pid) {
        (true, Some(pid)) => format!("pid {pid} is alive"),
        _ if snapshot.stats.pending == 0 => "none is running, and nothing waits for one".to_owned(),
        _ => format!(
            "none is running; {} for {}",
            match snapshot.stats.pending {
                1 => "1 event waits".to_owned(),
                events => format!("{} wait", event_count(events)),
            },
            show_span(snapshot.oldest_age_ms().unwrap_or(0))
        ),
    }
}
