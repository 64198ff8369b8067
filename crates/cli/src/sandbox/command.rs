//! `meditopia sandbox -- COMMAND`: one program against the sandbox, from its start to a summary.
//!
//! The program is told where to deliver by its environment, because the port is not known before
//! the sandbox listens. Its input and output are its own; the summary follows when it has ended. It
//! never outlives the sandbox, and of what it left running in the background nothing is waited for.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use meditopia_sandbox::{Handle, Ledger, Summary};

use super::Options;
use crate::output::say;

/// What a shell adds to the number of the signal that ended a program.
const ENDED_BY_SIGNAL: i32 = 128;

/// Runs the command of `options` to its end; ends it when the sandbox itself is asked to end.
pub async fn run(options: &Options, endpoint: &str) -> Result<ExitStatus, String> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err("there is no command to run".into());
    };
    let failed = |cause: std::io::Error| format!("{}: {cause}", program.display());
    // Before the command is there, for else a signal in between would leave it behind.
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

/// Prints what arrived; the exit code is that of the command, unless events were expected in vain.
pub fn conclude(
    sandbox: &Handle,
    ended: ExitStatus,
    expected: Option<u64>,
) -> Result<ExitCode, String> {
    let (summary, told) = sandbox.ledger(|ledger| {
        let summary = ledger.summary();
        let told = tell(ledger, &summary);
        (summary, told)
    });
    say(told.trim_end()).map_err(|failure| failure.to_string())?;
    match expected {
        Some(expected) if expected != summary.distinct_events => Err(format!(
            "{expected} different events were expected, {} were accepted",
            summary.distinct_events
        )),
        _ => Ok(exit_code(ended)),
    }
}

fn tell(ledger: &Ledger, summary: &Summary) -> String {
    let Summary {
        requests,
        accepted_requests,
        accepted_events,
        distinct_events,
        ..
    } = summary;
    let repeated = accepted_events - distinct_events;
    let mut told = format!(
        "requests: {requests}, of which {accepted_requests} accepted\n\
         accepted events: {distinct_events} different, of {} users, and {repeated} repeated\n",
        users(ledger)
    );
    // Writing to a String cannot fail.
    for (code, count) in &summary.by_code {
        let _ = writeln!(told, "refused requests with {code}: {count}");
    }
    for (fault, count) in &summary.by_fault {
        let _ = writeln!(told, "requests spoiled by {fault}: {count}");
    }
    let mut events = ledger.event_texts();
    if let Some(first) = events.next() {
        let last = events.next_back().unwrap_or(first);
        let _ = writeln!(told, "first event: {first}\nlast event:  {last}");
    }
    told
}

fn users(ledger: &Ledger) -> usize {
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
        .or_else(|| ended.signal().map(|signal| ENDED_BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
