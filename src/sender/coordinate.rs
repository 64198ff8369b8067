//! The coordinator: one thread that stands for election and, while this process is elected, takes
//! the journal over, carries out commands and publishes the heartbeat.
//!
//! It is a loop over phases ([`Phase`]). An elected coordinator looks at everything when it is
//! woken, and at least every second.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::commands::{self, Erasures, Task};
use super::election::{self, Election};
use super::publisher::Publisher;
use super::reclaim::{self, DiskSpace};
use super::state::State;
use super::take_over::TakeOver;
use super::vitals::Thread;
use super::wake::{Reasons, WakeSocket};
use super::{Shared, lane, session};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Level;
use crate::process::another_copy;
use crate::store::DiskUse;

/// Other processes' segments are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while the journal holds more than the disk has room for in the store.
const LIMITED_LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a process that is not elected stands for election.
const STAND_EVERY: Duration = Duration::from_millis(300);
/// How long to leave a spool alone after an error.
const ERROR_REST: Duration = Duration::from_secs(1);
/// The same after a full disk: it has got the reserve since.
const FULL_REST: Duration = Duration::from_millis(100);
/// At most so often is a heartbeat published that no flush waits for.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether the files of the spool are old, or `identity.json` is gone.
const YOUNG_EVERY: Duration = Duration::from_secs(60);
/// How often old receipts are looked for, and how many files of them a look may remove.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_FILES: usize = 10;

/// What the coordinator is at.
enum Phase {
    /// Another process is elected, or nobody: it stands for election.
    StandBy,
    /// It leaves the spool alone for so long.
    Rest(Duration),
    /// This process is elected.
    Elected(Box<ElectedSender>),
}

/// Runs until nobody wants the sender.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut phase = Phase::StandBy;
    warn_of_copies(shared);
    loop {
        if shared.is_of_parent() {
            // Nothing of the parent's is dropped here.
            mem::forget(phase);
            return;
        }
        shared.liveness.report(Thread::Coordinator, LOOK_EVERY);
        if !shared.threads.is_wanted() {
            match end(shared, phase) {
                Some(next) => phase = next,
                None => return,
            }
            continue;
        }
        phase = match phase {
            Phase::StandBy => stand_for_election(shared),
            Phase::Rest(time) => {
                shared.threads.rest(time);
                Phase::StandBy
            }
            Phase::Elected(elected) => work(shared, elected),
        };
    }
}

/// Says once that this process has another copy of the library. Here, because it costs an enqueue nothing.
fn warn_of_copies(shared: &Shared) {
    static IS_LOOKED_FOR: AtomicBool = AtomicBool::new(false);
    if !IS_LOOKED_FOR.swap(true, Ordering::Relaxed)
        && let Some(path) = another_copy()
    {
        shared.log.warn(format_args!(
            "this process has two copies of libmeditopia, the other one is {path}; they know nothing of each other; load one"
        ));
    }
}

/// Stands for election; waits if another process is elected.
fn stand_for_election(shared: &Arc<Shared>) -> Phase {
    match ElectedSender::begin(shared) {
        Ok(Some(elected)) => Phase::Elected(Box::new(elected)),
        Ok(None) => {
            shared.session().forget_error();
            shared.wake_is_sent.store(false, Ordering::SeqCst);
            // What cannot be read just now is read at the next time.
            let _ = election::ask_for_it(shared);
            Phase::Rest(STAND_EVERY)
        }
        Err(e) => {
            shared.note_error(&e);
            Phase::Rest(rest_after(&e))
        }
    }
}

/// Looks at everything, and waits for the next look.
fn work(shared: &Arc<Shared>, mut elected: Box<ElectedSender>) -> Phase {
    let session = shared.session();
    if session.state().is_none() {
        // A step has failed: the election is given up, and the next one reads the store again.
        let rest = session.last_error().map_or(ERROR_REST, rest_after);
        return Phase::Rest(rest);
    }
    drop(session);
    match elected.election.keep(&shared.spool) {
        Ok(true) => {}
        // While a request is in flight the store stays open, and so nobody else sends.
        Ok(false) => {
            let why =
                "sender.lock was removed, and another process has locked a new one; it may send";
            if give_election_up(shared, |state| !state.dispatcher.is_in_flight(), why) {
                return Phase::StandBy;
            }
        }
        Err(e) => shared.note_error(&e),
    }
    if let Err(e) = elected.look(shared) {
        shared.note_error(&e);
        // A newer version may know what to do with what this one cannot read.
        if e.kind() == ErrorKind::Store {
            shared.session().close();
            return Phase::Rest(rest_after(&e));
        }
        shared.threads.rest(rest_after(&e));
        return Phase::Elected(elected);
    }
    shared.session().went_well();
    shared.threads.notify();
    elected.wait(shared);
    let why = "another process has another token; it may send";
    if elected.reasons.another_token && give_election_up(shared, election::may_be_given_up, why) {
        return Phase::Rest(election::GIVEN_UP_FOR);
    }
    Phase::Elected(elected)
}

/// Ends, once all requests are answered; `None`: it has ended.
fn end(shared: &Arc<Shared>, phase: Phase) -> Option<Phase> {
    // The lanes first: their requests are answered before the election is given up.
    let seen = shared.threads.changes();
    if shared.threads.has_lanes() {
        shared.threads.wait(seen, LOOK_EVERY);
        return Some(phase);
    }
    if let Phase::Elected(mut elected) = phase {
        // What this process closed by itself can go at once, and what others hold for nothing.
        elected.space.give_back_at_once();
        elected.reasons = Reasons::FLUSH;
        let _ = elected.look(shared);
        if shared.threads.is_wanted() {
            return Some(Phase::Elected(elected));
        }
        let mut session = shared.session();
        session.close();
        shared.release(session);
    }
    shared.liveness.expect_none(Thread::Coordinator);
    (!shared.threads.end_coordinator()).then_some(Phase::StandBy)
}

/// Gives the election up to another process, if the state allows it.
fn give_election_up(shared: &Shared, may_be_given_up: impl Fn(&State) -> bool, why: &str) -> bool {
    let mut session = shared.session();
    let may = session.step(|state| Ok(may_be_given_up(state)));
    let gives_up = matches!(may, Ok(Some(true)));
    if gives_up {
        session.close();
        session.say(Level::Info, format_args!("{why}"));
    }
    shared.release(session);
    gives_up
}

fn rest_after(error: &Error) -> Duration {
    match error.kind() {
        ErrorKind::SpoolFull => FULL_REST,
        _ => ERROR_REST,
    }
}

/// The time of this process as the spool's sender.
pub(super) struct ElectedSender {
    election: Arc<Election>,
    space: DiskSpace,
    wake: WakeSocket,
    /// What the next look is for.
    reasons: Reasons,
    publisher: Publisher,
    /// When no old receipt was left.
    forgotten: Option<Instant>,
    /// When the files were last looked at by their age.
    kept_young: Option<Instant>,
    /// What was wrong with the token's file, to log it once.
    token_error: Option<String>,
}

impl ElectedSender {
    /// Wins the election if no process is elected, and opens the store.
    fn begin(shared: &Arc<Shared>) -> Result<Option<Self>> {
        let Some(election) = Election::try_win_for(&shared.spool, &shared.own_election)? else {
            return Ok(None);
        };
        shared.transport()?;
        // Before the store says which token was refused last; the first look says what is wrong
        // with the file.
        let _ = shared.token.follow_file();
        let space = DiskSpace::of(&shared.spool)?;
        // After a boot, what is not known to be durable is read and verified here.
        shared.liveness.expect_none(Thread::Coordinator);
        let damage = shared.session().damage().cloned();
        // Before it is read: what an operator repairs after that is not the damaged one.
        let ledger = session::ledger_in_use(&shared.spool);
        let opened = shared.open_state(&election, damage);
        let mut state = opened.inspect_err(|e| shared.note_damage(e, || ledger))?;
        state.dispatcher.store.set_disk_use(space.in_use);
        let wake = WakeSocket::bind(&shared.spool, &election)?;
        let election = Arc::new(election);
        shared.session().open(state, election.clone());
        Ok(Some(Self {
            election,
            space,
            wake,
            // A new process tries again at once.
            reasons: Reasons {
                try_again: true,
                ..Reasons::FLUSH
            },
            publisher: Publisher::new(),
            forgotten: None,
            kept_young: None,
            token_error: None,
        }))
    }

    /// Waits until the next look is due.
    fn wait(&mut self, shared: &Shared) {
        let session = shared.session();
        let is_limited = session
            .state()
            .is_some_and(|state| state.take_over_is_limited);
        drop(session);
        let every = if is_limited {
            LIMITED_LOOK_EVERY
        } else {
            LOOK_EVERY
        };
        // If that fails, the next look comes by its time.
        if !self.wake.is_open()
            && let Ok(wake) = WakeSocket::bind(&shared.spool, &self.election)
        {
            self.wake = wake;
        }
        self.reasons = self.wake.wait(every.min(shared.flush_interval));
    }

    /// One look at everything.
    fn look(&mut self, shared: &Arc<Shared>) -> Result<()> {
        // Before the journal is listed: what is enqueued from here on may be missed, and wakes the
        // sender again.
        shared.wake_is_sent.swap(false, Ordering::SeqCst);
        shared.enqueued_since_look.store(0, Ordering::Relaxed);
        shared.step(|_| shared.spool.check_path())?;
        self.follow_token(shared)?;
        if self.publisher.is_first() {
            self.publisher.announce(shared)?;
        }
        if self.reasons.try_again {
            shared.step(|state| state.dispatcher.probe_soon(clock::now()))?;
        }
        lane::change_number(shared)?;
        lane::start_all(shared)?;
        self.space.look(shared)?;
        carry_out_commands(shared, &self.election, &mut self.publisher, Erasures::Now)?;
        let taken_bytes = self.take_over(shared)?;
        self.forget_receipts(shared)?;
        self.keep_files_young(shared);
        shared.keep_ledger_short()?;
        let for_flush = self.reasons.flush;
        let untold = shared.step(|state| Ok(mem::take(&mut state.dispatcher.is_failure_untold)))?;
        if for_flush
            || untold == Some(true)
            || self.publisher.is_progress_older_than(HEARTBEAT_EVERY)
        {
            self.publisher.publish(shared, taken_bytes, for_flush)?;
        }
        Ok(())
    }

    /// Reads the token's file again if it has changed, and pauses while there is no token at all.
    fn follow_token(&mut self, shared: &Shared) -> Result<()> {
        let mut why = "no bearer token; set bearer_token or bearer_token_file".to_owned();
        match shared.token.follow_file() {
            Ok(true) => shared.threads.notify(),
            Ok(false) => {}
            Err(e) => {
                e.message().clone_into(&mut why);
                if self.token_error.as_deref() != Some(e.message()) {
                    shared.log.warn(format_args!("{e}"));
                    self.token_error = Some(why.clone());
                }
            }
        }
        // The step tells the engine if there is another token.
        shared.step(|state| match shared.token.current() {
            Some(_) => Ok(()),
            None => state.dispatcher.token_missing(&why, clock::now()),
        })?;
        Ok(())
    }

    /// Takes the journal over, as far as there is room, and gives back what that makes free. Says
    /// how many of its bytes are taken and still stand there.
    fn take_over(&mut self, shared: &Shared) -> Result<u64> {
        let session = shared.session();
        let Some(state) = session.state() else {
            return Ok(0);
        };
        let (offsets, lanes) = (state.offsets.clone(), state.dispatcher.lane_count());
        drop(session);
        let spool = &shared.spool;
        let mut round = TakeOver::begin(spool, &offsets, lanes, self.space.chunk_bytes())?;
        while self.space.has_room_for_more(pending_bytes(shared))
            && let Some(chunk) = round.read(spool)?
        {
            shared.liveness.report(Thread::Coordinator, LOOK_EVERY);
            shared.step(|state| {
                // After the reading: what was read is this spool's.
                spool.check_path()?;
                state.take_over(&chunk, &mut round.lines)
            })?;
            shared.threads.notify();
            if self.space.in_use == DiskUse::Tight {
                self.space.give_back(shared, &self.election)?;
            }
            shared.keep_ledger_short()?;
            // The rest of the round may take minutes. No other one may begin in it, as an erasure would.
            carry_out_commands(shared, &self.election, &mut self.publisher, Erasures::Later)?;
            self.publisher.keep_alive(shared)?;
        }
        shared.step(|state| {
            state.note_round(&round);
            Ok(())
        })?;
        let keep_alive = || self.publisher.keep_alive(shared);
        let removed =
            reclaim::remove_abandoned(shared, &self.election, &mut round, &offsets, keep_alive)?;
        self.space.give_back(shared, &self.election)?;
        Ok(round.taken_bytes().saturating_sub(removed))
    }

    /// Keeps the files of the spool from programs that clean up. Delivery goes on if that fails.
    fn keep_files_young(&mut self, shared: &Shared) {
        if self.kept_young.is_some_and(|at| at.elapsed() < YOUNG_EVERY) {
            return;
        }
        self.kept_young = Some(Instant::now());
        match shared.spool.keep_young() {
            Ok(false) => {}
            Ok(true) => shared.log.warn(format_args!(
                "{}: identity.json was removed, and is written again; see that no program removes old files there",
                shared.spool.name()
            )),
            Err(e) => shared.log.warn(format_args!("{e}; old files of it may be removed by programs that clean up")),
        }
    }

    /// Lets go of old receipts, some files of them at a look.
    fn forget_receipts(&mut self, shared: &Shared) -> Result<()> {
        if self.forgotten.is_some_and(|at| at.elapsed() < FORGET_EVERY) {
            return Ok(());
        }
        let kept = shared.options.dispatch.receipts_kept;
        for _ in 0..FORGET_FILES {
            let now_ms = clock::wall_ms();
            let before_ms = kept.map_or(i64::MAX, |kept| {
                now_ms.saturating_sub_unsigned(kept.as_millis() as u64)
            });
            let more =
                shared.step(|state| state.dispatcher.store.forget_receipts(before_ms, now_ms))?;
            if more != Some(true) {
                self.forgotten = Some(Instant::now());
                break;
            }
        }
        Ok(())
    }
}

/// Carries out what operators have asked for.
fn carry_out_commands(
    shared: &Shared,
    election: &Election,
    publisher: &mut Publisher,
    erasures: Erasures<'_>,
) -> Result<()> {
    let count = commands::carry_out_waiting(shared, election, erasures, &mut |task| {
        shared.liveness.expect_none(Thread::Coordinator);
        let is_erasure = matches!(task, Task::Erasure(_));
        let done = shared.carry_out(election, task, &mut || publisher.keep_alive(shared))?;
        if is_erasure {
            // What it knows of the last failure may name the user.
            publisher.announce(shared)?;
        }
        Ok(done)
    })?;
    if count > 0 {
        shared.threads.notify();
    }
    Ok(())
}

/// Bytes of events that are pending in the store.
fn pending_bytes(shared: &Shared) -> u64 {
    let session = shared.session();
    session
        .state()
        .map_or(0, |state| state.dispatcher.totals.pending_bytes)
}

#[cfg(test)]
pub(super) mod tests;
