//! Checks whether a pause, a damaged store or a retry stops delivery, whatever the API says.
//!
//! Like `status`, this only reads: nothing is changed, and a running sender is not disturbed.

use std::path::Path;

use meditopia::internals::client::{Elected, Purpose};
use meditopia::internals::clock::wall_ms;
use meditopia::internals::spool;
use meditopia::{Client, PauseReason, Result};

use super::spool_directory::{advice, problem};
use super::{Finding, Report};
use crate::alarms::start_forwarder;
use crate::options::typed::Typed;
use crate::output::{failures, figures, forwarding, pauses, sanitize};
use crate::times::Zone;

const NAME: &str = "delivery";

pub fn check(dir: &Path, typed: &Typed, report: &mut Report) {
    // A directory without a spool has been reported already.
    if spool::describe(dir).is_err() {
        return;
    }
    report.add(&match check_spool(dir, typed) {
        Ok(finding) => finding,
        Err(e) => Finding::fail(NAME, problem(&e), advice(&e)),
    });
}

fn check_spool(dir: &Path, typed: &Typed) -> Result<Finding> {
    let client = Client::open_existing(dir, Purpose::Read)?;
    let stats = client.stats()?;
    let now_ms = wall_ms();
    let failed = match client.last_failure()? {
        Some(failed) => format!(
            "; the last failure: {}",
            failures::describe(&failed, now_ms)
        ),
        None => String::new(),
    };
    let pending = format!("{}{failed}", figures::all_pending(&stats));
    if let Some(reason) = stats.paused {
        let paused = pauses::describe(reason, &stats, now_ms, &Zone::new(false));
        let answer = match client.pause() {
            // What the store remembers of another pause is not why a damaged store stands still.
            Ok(Some(pause)) if pause.reason == reason => pause.message,
            Ok(_) => String::new(),
            Err(e) => problem(&e),
        };
        let answer = match answer.as_str() {
            "" => answer,
            answer => format!(" ({})", sanitize(answer)),
        };
        let finding = match reason {
            // A store that cannot be read does not say how many events are pending.
            PauseReason::StoreDamaged => format!("{paused}{answer}: nothing is sent"),
            _ => format!("{paused}{answer}: nothing is sent, {pending}"),
        };
        let mut advice = pauses::advice(reason, typed);
        if let Some(other) = pauses::other_way(reason, stats.pending, typed) {
            advice = format!("{other}; {advice}");
        }
        return Ok(Finding::fail(NAME, finding, advice));
    }
    let elected = client.elected()?;
    if let Some(forwarded) = client.forwarded()? {
        let how = forwarding::describe(&forwarded.record, now_ms);
        let is_alive = elected != Elected::Nobody;
        return Ok(match (forwarded.record.failing_since_ms, is_alive) {
            (Some(_), true) => Finding::warn(
                NAME,
                format!("events {how}; {pending}"),
                "the forwarder tries again by itself; see that the database runs and that this host reaches it",
            ),
            (None, true) => Finding::ok(NAME, format!("events go {how}; {pending}")),
            (_, false) => Finding::warn(
                NAME,
                format!("no process forwards this spool; {pending}"),
                start_forwarder(typed),
            ),
        });
    }
    let retry = client.retry()?.filter(|retry| retry.is_lasting);
    Ok(match retry.filter(|_| elected != Elected::Nobody) {
        Some(retry) => Finding::warn(
            NAME,
            format!("waiting for a retry: {}; {pending}", retry.in_words(now_ms)),
            "the sender tries again by itself",
        ),
        None => Finding::ok(NAME, format!("nothing stops it; {pending}")),
    })
}
