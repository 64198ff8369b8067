//! Waiting, with a deadline, until everything enqueued before a call is delivered or rejected.

use std::time::{Duration, Instant};

use super::election::{self, Elected};
use super::state::State;
use super::{Sender, wake};
use crate::clock::{self, BootTime};
use crate::dispatch::OnPause;
use crate::error::{Error, ErrorKind, PauseReason, Result};
use crate::journal::backlog;
use crate::journal::round::Offsets;
use crate::spool::{Heartbeat, Spool};
use crate::store::{PauseState, Reader};

/// How often a flush looks at what another process's sender has done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How soon the sender of another process has a pause probed for a flush.
const PROBED_WITHIN: Duration = Duration::from_secs(5);

/// How often a flush wakes the sender.
const WAKE_EVERY: Duration = Duration::from_secs(1);

/// An elected process says at least every second that it is alive. One that was not seen for so long is
/// stopped, or stuck on its disk.
const SILENT_MS: i64 = 4_000;

/// What has become of the spool's events during a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Why delivery is paused at the call's return, if it is.
    pub pause: Option<PauseReason>,
    /// Events accepted by the API since the call began.
    pub delivered: u64,
    /// Events rejected since the call began.
    pub rejected: u64,
    /// Events expired since the call began.
    pub expired: u64,
    /// Events that wait at its return.
    pub pending: u64,
    /// Of these, events whose last request was never answered.
    pub in_doubt: u64,
    /// Since when delivery is paused, wall time in milliseconds.
    pub paused_since_ms: Option<i64>,
    /// When the pause is probed next; `None`: not at all, only an operator ends it.
    pub next_probe_ms: Option<i64>,
}

/// How a look at the sender's work came out.
enum Progress {
    Done,
    Paused(StandingPause),
    /// Not all is settled yet, here or in the process that sends.
    Waiting,
}

/// A pause that no probe is about to end, and what is known of the events that it keeps.
struct StandingPause {
    pause: PauseState,
    stored: u64,
    offsets: Offsets,
}

impl StandingPause {
    /// As an error. It counts the journal, which may take a second: the session's lock must be free.
    fn error(&self, spool: &Spool) -> Error {
        let journalled = backlog::count(spool, &self.offsets);
        let kept = self.stored + journalled.map_or(0, |journalled| journalled.events);
        self.pause.error(kept, clock::wall_ms())
    }
}

/// What one flush waits for.
struct Goal {
    on_pause: OnPause,
    since: Instant,
    enqueued_upto: BootTime,
    /// The last row that can hold an event of before the call, once it is known.
    mark: Option<i64>,
    /// The last look into another process's store.
    store: Option<Reader>,
    /// How many looks at the token's file were begun before the call.
    token_looks: u64,
}

impl Goal {
    /// Looks at the work of this process's sender.
    fn look_here(&mut self, state: &mut State, knows_token: bool) -> Result<Progress> {
        let dispatcher = &mut state.dispatcher;
        if state.taken_upto >= self.enqueued_upto {
            let mark = *self.mark.get_or_insert_with(|| dispatcher.store.last_run());
            if dispatcher.is_settled_upto(mark)? {
                return Ok(Progress::Done);
            }
            dispatcher.send_at_once_upto(mark);
        } else if !state.take_over_is_limited {
            return Ok(Progress::Waiting);
        }
        let now = clock::now();
        Ok(match dispatcher.standing_pause(self.on_pause, now) {
            // The next step may end the pause.
            Some(pause) if knows_token => Progress::Paused(StandingPause {
                pause,
                stored: dispatcher.totals.pending,
                offsets: state.offsets.clone(),
            }),
            None if self.on_pause == OnPause::Probe => {
                // The coordinator does the same, but without /proc it does not hear of this flush.
                dispatcher.probe_soon(now)?;
                Progress::Waiting
            }
            _ => Progress::Waiting,
        })
    }

    /// How long the call waits for a probe by another process: one that does not hear it sends none.
    fn waits_for_probe(&self) -> OnPause {
        match self.since.elapsed() < PROBED_WITHIN {
            true => self.on_pause,
            false => OnPause::End,
        }
    }
}

/// A store that is found damaged is to a caller what a pause is that the store remembers.
fn as_pause(error: Error) -> Error {
    match error.pause_reason() {
        Some(reason) if error.kind() != ErrorKind::Paused => {
            let paused = format!("paused ({reason}): {}", error.message());
            Error::new(ErrorKind::Paused, paused).paused_for(reason)
        }
        _ => error,
    }
}

impl Sender {
    /// Waits until everything enqueued on the spool before this call is delivered or rejected; the
    /// threads must be wanted.
    ///
    /// Errors: [`ErrorKind::Paused`] with the reason; [`ErrorKind::Timeout`]; what keeps this
    /// sender from sending while no other is elected.
    pub(crate) fn flush(&self, on_pause: OnPause, deadline: Instant) -> Result<()> {
        let shared = &self.shared;
        let wake = match on_pause {
            OnPause::Probe => wake::Wake::TryAgain,
            OnPause::End => wake::Wake::Flush,
        };
        let mut goal = Goal {
            on_pause,
            since: Instant::now(),
            enqueued_upto: shared.spool.boot_time(),
            mark: None,
            store: None,
            token_looks: shared.token.looks(),
        };
        let mut woken: Option<Instant> = None;
        loop {
            // Again and again: the sender that heard it may have died, or none was elected yet.
            if woken.is_none_or(|at| at.elapsed() >= WAKE_EVERY) {
                wake::send(&shared.spool, wake);
                woken = Some(Instant::now());
            }
            let seen = shared.threads.changes();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.look(&mut goal, deadline).map_err(as_pause)? {
                Progress::Done => return Ok(()),
                Progress::Paused(standing) => return Err(standing.error(&shared.spool)),
                _ if left.is_zero() => return Err(self.timeout()),
                Progress::Waiting => shared.threads.wait(seen, left.min(LOOK_EVERY)),
            }
        }
    }

    fn look(&self, goal: &mut Goal, deadline: Instant) -> Result<Progress> {
        Ok(match self.look_at_sender(goal, deadline)? {
            Progress::Paused(standing) if self.has_hope(goal, &standing.pause) => Progress::Waiting,
            progress => progress,
        })
    }

    /// Whether the token of this process may end the pause: the next step tries it, or the sender of another
    /// process gives the election up to it.
    fn has_hope(&self, goal: &Goal, pause: &PauseState) -> bool {
        // The coordinator reads the token's file, which may hang; it may not have had the time yet.
        let is_known = self.shared.token.is_known_since(goal.token_looks);
        (pause.reason == PauseReason::Auth && !is_known) || election::may_end(&self.shared, pause)
    }

    fn look_at_sender(&self, goal: &mut Goal, deadline: Instant) -> Result<Progress> {
        // A step of the sender may hold it for as long as the disk takes.
        let Ok(mut session) = self.shared.session_until(deadline) else {
            return Ok(Progress::Waiting);
        };
        let knows_token = session.knows_token();
        if let Some(state) = session.state_mut() {
            let looked = goal.look_here(state, knows_token);
            if let Err(error) = &looked {
                // As after a failed step: the lanes must not go on in a store that cannot be read.
                session.close();
                self.shared.release(session);
                self.shared.note_error(error);
            }
            return looked;
        }
        // What was seen before the call may have passed; the sender tries again every second.
        let last_error = session.last_error_since(goal.since).cloned();
        drop(session);
        match last_error {
            Some(error) if !self.is_another_elected() => match error.kind() {
                // Held by another program, or out of room just now.
                ErrorKind::Timeout | ErrorKind::SpoolFull => Ok(Progress::Waiting),
                _ => Err(error),
            },
            _ => match self.look_elsewhere(goal) {
                // Held by another program just now: look again.
                Err(error) if error.kind() == ErrorKind::Timeout => Ok(Progress::Waiting),
                looked => looked,
            },
        }
    }

    fn look_elsewhere(&self, goal: &mut Goal) -> Result<Progress> {
        let spool = &self.shared.spool;
        let Some(heartbeat) = Heartbeat::read(spool)? else {
            return Ok(Progress::Waiting);
        };
        let taken = heartbeat.taken_upto() >= goal.enqueued_upto;
        if !taken && !heartbeat.take_over_is_limited {
            return Ok(Progress::Waiting);
        }
        // A look costs what was appended since the last one.
        let store = match goal.store.take() {
            Some(mut store) => store.refresh().map(|()| Some(store))?,
            None => Reader::open(spool)?,
        };
        let Some(mut store) = store else {
            return Ok(Progress::Waiting);
        };
        if taken {
            let mark = *goal.mark.get_or_insert_with(|| store.last_run());
            if store.first_origin()?.is_none_or(|first| first > mark) {
                return Ok(Progress::Done);
            }
        }
        let on_pause = goal.waits_for_probe();
        let store = &*goal.store.insert(store);
        Ok(match store.pause() {
            Some(pause) if !on_pause.is_probed(pause, clock::wall_ms()) => {
                Progress::Paused(StandingPause {
                    pause: pause.clone(),
                    stored: store.totals().pending,
                    offsets: store.offsets(),
                })
            }
            _ => Progress::Waiting,
        })
    }

    /// Whether another sender is elected, in this process or in another one. A look that cannot know
    /// says no: this sender was the elected one when it met its error.
    fn is_another_elected(&self) -> bool {
        // After an error this sender keeps the election for a while without sending.
        !self.shared.own_election.is_held()
            && matches!(Elected::look(&self.shared.spool), Ok(Elected::Somebody))
    }

    /// What is said of a process that is elected and does nothing.
    fn silent_sender(&self) -> Option<String> {
        let last = Heartbeat::read(&self.shared.spool).ok()??;
        let ago_ms = clock::wall_ms() - last.seen_ms;
        (ago_ms >= SILENT_MS && self.is_another_elected()).then(|| {
            format!(
                "another process is elected, pid {}, but no sender was seen for {} s: it is stopped, or stuck on its disk; end it",
                last.pid,
                ago_ms / 1_000
            )
        })
    }

    fn timeout(&self) -> Error {
        let spool = &self.shared.spool;
        let session = self.shared.session_until(Instant::now()).ok();
        let failure = session.and_then(|session| {
            let last_error = session.last_error().map(|e| e.message().to_owned());
            last_error.or_else(|| {
                let why = session.state()?.dispatcher.last_failure.as_ref()?;
                Some(format!("the last request: {why}"))
            })
        });
        let failure = failure.or_else(|| self.silent_sender());
        let last = failure.map_or_else(String::new, |why| format!(" ({why})"));
        Error::new(
            ErrorKind::Timeout,
            format!(
                "{}: not all is delivered yet{last}; what waits is kept; flush again",
                spool.name()
            ),
        )
    }
}

#[cfg(test)]
mod tests;
