//! `meditopia sandbox -- COMMAND`: runs one program against the sandbox and prints a summary.
//!
//! The program gets the address of the sandbox in its environment, because the port is known only
//! once the sandbox listens. It keeps its own input and output; the summary follows after its end.
//! The program never outlives the sandbox. Processes that it leaves in the background are not
//! waited for.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use meditopia_sandbox::{Handle, Ledger, Summary};

use super::Options;
use crate::output::print_line;

/// A program that names its spool and token itself sends to the API of that spool.
const NO_REQUEST: &str = "No request came. The program has to take its configuration from the environment, and to flush or close\n\
    before it ends; docs/testing.md shows it in each language.\n";

/// What a shell adds to the number of the signal that killed a program.
const KILLED_BY_SIGNAL: i32 = 128;

/// Runs the command of `options` to its end, or kills it when the sandbox itself is asked to end.
pub async fn run(options: &Options, endpoint: &str) -> Result<ExitStatus, String> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err("there is no command to run".into());
    };
    let failed = |cause: std::io::Error| format!("{}: {cause}", program.display());
    // Installed before the command starts, so that no signal in between can leave it behind.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("MEDITOPIA_ENDPOINT", endpoint)
        .env("MEDITOPIA_BEARER_TOKEN", &options.token)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    tokio::select! {
        ended = child.wait() => return ended.map_err(failed),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    child.kill().await.map_err(failed)?;
    child.wait().await.map_err(failed)
}

/// Prints what arrived. Returns the exit code of the command, or an error if another number of
/// events arrived than `--expect-events` says.
pub fn print_summary(
    sandbox: &Handle,
    ended: ExitStatus,
    expected: Option<u64>,
) -> Result<ExitCode, String> {
    let (summary, text) = sandbox.ledger(|ledger| {
        let summary = ledger.summary();
        let text = render(ledger, &summary);
        (summary, text)
    });
    print_line(text.trim_end()).map_err(|failure| failure.to_string())?;
    match expected {
        Some(expected) if expected != summary.distinct_events => Err(format!(
            "{expected} different events were expected, {} were accepted",
            summary.distinct_events
        )),
        _ => Ok(exit_code(ended)),
    }
}

fn render(ledger: &Ledger, summary: &Summary) -> String {
    let Summary {
        requests,
        accepted_requests,
        accepted_events,
        distinct_events,
        events_in_repeated_bodies,
        ..
    } = summary;
    // An event has no id: whether one of two identical events was sent again cannot be told.
    let identical = accepted_events - distinct_events;
    let mut text = format!(
        "requests: {requests}, of which {accepted_requests} accepted\n\
         accepted events: {distinct_events} different, of {} users, and {identical} identical to earlier ones,\n\x20 \
         of which {events_in_repeated_bodies} in repeated requests\n",
        count_users(ledger)
    );
    if *requests == 0 {
        text.push_str(NO_REQUEST);
    }
    // Writing to a String cannot fail.
    for (code, count) in &summary.by_code {
        let _ = writeln!(text, "refused requests with {code}: {count}");
    }
    for (fault, count) in &summary.by_fault {
        let _ = writeln!(text, "requests with the fault {fault}: {count}");
    }
    let mut events = ledger.event_texts();
    if let Some(first) = events.next() {
        let last = events.next_back().unwrap_or(first);
        let _ = writeln!(text, "first event: {first}\nlast event:  {last}");
    }
    text
}

fn count_users(ledger: &Ledger) -> usize {
    #[derive(Deserialize)]
    struct OfUser {
        partner_user_id: String,
    }
    let user = |text| serde_json::from_str(text).ok();
    let users: HashSet<String> = ledger
        .event_texts()
        .filter_map(user)
        .map(|event: OfUser| event.partner_user_id)
        .collect();
    users.len()
}

fn exit_code(ended: ExitStatus) -> ExitCode {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| KILLED_BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
