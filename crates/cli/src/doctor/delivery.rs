//! Delivery: is it paused, or is the store damaged, so that nothing goes whatever the API says?
//!
//! It looks as `status` does: nothing is changed, and a sender that runs does not notice.

use std::path::Path;

use meditopia::Client;
use meditopia::internals::client::{Elected, Purpose};
use meditopia::internals::clock::wall_ms;
use meditopia::internals::config::Settings;
use meditopia::internals::spool;
use meditopia::{PauseReason, Result};

use super::place::{first, rest};
use super::{Finding, Report};
use crate::output::{events, plain};
use crate::pauses;
use crate::times::Zone;

const WHAT: &str = "delivery";

pub fn examine(settings: &Settings, report: &mut Report) {
    // What is wrong with a place that has no spool is told already.
    let Some(dir) = &settings.spool else {
        return;
    };
    if spool::describe(dir).is_err() {
        return;
    }
    report.add(&match look(dir) {
        Ok(finding) => finding,
        Err(e) => Finding::fail(WHAT, first(&e), rest(&e)),
    });
}

fn look(dir: &Path) -> Result<Finding> {
    let client = Client::open_existing(dir, Purpose::Read)?;
    let stats = client.stats()?;
    let now_ms = wall_ms();
    let waiting = format!("{} wait", events(stats.pending));
    if let Some(reason) = stats.paused {
        let paused = pauses::in_words(reason, &stats, now_ms, &Zone::of(false));
        let why = match client.pause() {
            Ok(Some(pause)) => pause.message,
            Ok(None) => String::new(),
            Err(e) => first(&e),
        };
        let why = match why.as_str() {
            "" => why,
            why => format!(" ({})", plain(why)),
        };
        let finding = match reason {
            // How many, a store that cannot be read does not tell.
            PauseReason::StoreDamaged => format!("{paused}{why}: nothing is sent"),
            _ => format!("{paused}{why}: nothing is sent, {waiting}"),
        };
        return Ok(Finding::fail(WHAT, finding, pauses::advice(reason, dir)));
    }
    let elected = client.elected()?;
    let retry = client.retry()?.filter(|retry| retry.is_lasting);
    Ok(match retry.filter(|_| elected != Elected::Nobody) {
        Some(retry) => Finding::warn(
            WHAT,
            format!("waiting for a retry: {}; {waiting}", retry.in_words(now_ms)),
            "it tries again by itself; the sender's log has the last failure",
        ),
        None => Finding::ok(WHAT, format!("nothing stands in its way; {waiting}")),
    })
}
