//! Whether the elected process sends: a process that is stopped keeps its lock, and with it all others from
//! sending.

use std::fs;
use std::time::Duration;

use meditopia::internals::client::Elected;
use meditopia::internals::clock::wall_ms;
use meditopia::{Client, Result, Stats};

use crate::times::show_span;

/// A sender says at least every second that it is alive. One that is elected and has not said so for this long
/// is looked at again.
const SILENT_MS: i64 = 3_000;
/// The second look comes after a heartbeat is due: the first may have met a clock that was set.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1_200);
/// For a sender in another container, whose lock cannot be seen.
const VERY_RECENT_MS: i64 = 2_000;
const RECENT_MS: i64 = 4_000;

/// The sender of a spool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderState {
    /// It is elected, and says that it is alive.
    Alive,
    /// It is elected, and its process is stopped (SIGSTOP).
    Stopped,
    /// It is elected, and says nothing.
    Silent,
    /// No process is elected.
    None,
}

impl SenderState {
    /// Looks at the elected process. `in_copy`: the heartbeat is that of the original's sender.
    pub fn look(
        client: &Client,
        elected: Elected,
        stats: &Stats,
        in_copy: bool,
        now_ms: i64,
    ) -> Result<Self> {
        let (Some(pid), Some(seen)) = (stats.sender_pid, stats.sender_seen_ms) else {
            return Ok(Self::None);
        };
        let ago = now_ms - seen;
        Ok(match elected {
            _ if in_copy => Self::None,
            Elected::Nobody => Self::None,
            // It has just been elected, and says so once its store is open.
            Elected::Somebody if client.elected_pid()?.is_some_and(|elected| elected != pid) => {
                Self::Alive
            }
            Elected::Somebody if is_stopped(pid) => Self::Stopped,
            Elected::Somebody if ago < SILENT_MS => Self::Alive,
            Elected::Somebody => {
                std::thread::sleep(LOOK_AGAIN_AFTER);
                match client.sender_seen()?.seen_ms == Some(seen) {
                    true => Self::Silent,
                    false => Self::Alive,
                }
            }
            // The election of a sender in another container cannot be seen.
            Elected::Unknown
                if ago < VERY_RECENT_MS || (ago < RECENT_MS && process_exists(pid)) =>
            {
                Self::Alive
            }
            Elected::Unknown => Self::None,
        })
    }

    /// What is wrong with the process that is elected now, in words; `None`: nothing, or nobody knows.
    pub fn silence(client: &Client) -> Option<String> {
        let seen = client.sender_seen().ok()?;
        let stats = Stats {
            sender_pid: seen.pid,
            sender_seen_ms: seen.seen_ms,
            ..Stats::default()
        };
        let now_ms = wall_ms();
        let state = Self::look(client, client.elected().ok()?, &stats, false, now_ms).ok()?;
        let (problem, advice) = (state.problem(&stats, now_ms)?, state.advice(&stats)?);
        Some(format!("{problem}; {advice}"))
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Stopped => "stopped",
            Self::Silent => "silent",
            Self::None => "none",
        }
    }

    /// What keeps a process that is elected from sending; `None`: it sends, or none is elected.
    pub fn problem(self, stats: &Stats, now_ms: i64) -> Option<String> {
        let pid = stats.sender_pid.unwrap_or_default();
        let ago = show_span((now_ms - stats.sender_seen_ms.unwrap_or(now_ms)).max(0));
        match self {
            Self::Alive | Self::None => None,
            Self::Stopped => Some(format!(
                "pid {pid} is elected and its process is stopped; it was last seen {ago} ago"
            )),
            Self::Silent => Some(format!(
                "pid {pid} is elected, but no sender was seen for {ago}: it is stopped, or stuck on its disk"
            )),
        }
    }

    /// What ends that.
    pub fn advice(self, stats: &Stats) -> Option<String> {
        let pid = stats.sender_pid.unwrap_or_default();
        match self {
            Self::Alive | Self::None => None,
            Self::Stopped => Some(format!(
                "to let it go on: kill -CONT {pid}; to end it, so that the next one follows: kill -KILL {pid}"
            )),
            Self::Silent => Some(format!(
                "to end it, so that the next one follows: kill -KILL {pid}"
            )),
        }
    }
}

/// Whether the process is stopped by a signal or a debugger, as far as can be seen.
fn is_stopped(pid: u32) -> bool {
    let about = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state is in parentheses, and may have any characters.
    let state = about
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

fn process_exists(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let probe = pid.map(rustix::process::test_kill_process);
    matches!(probe, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
}
