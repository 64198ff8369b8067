//! The coordinating thread: elected or waiting for it, and once elected a loop that looks at the
//! journal, the commands and the token at every ring, and at least every second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::election::{Seat, pid_namespace};
use super::reclaim::{self, DiskSpace};
use super::state::{Note, State};
use super::take_over::TakeOver;
use super::vitals::Thread;
use super::wake::{Doorbell, Heard};
use super::{Shared, commands, lane, succession};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::log::Level;
use crate::mutex::{lock, wait};
use crate::process::{pid, spawn_with_signals_blocked};
use crate::spool::Heartbeat;
use crate::store::DiskUse;

/// Other processes' segments are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while the journal holds more than the disk has room for in the store.
const HUNGRY_LOOK: Duration = Duration::from_millis(20);
/// How often a process that is not elected tries to be.
const STAND_EVERY: Duration = Duration::from_millis(300);
/// How long to leave a spool alone that cannot be opened.
const TROUBLE_REST: Duration = Duration::from_secs(1);
const FULL_REST: Duration = Duration::from_millis(100);
/// At most so often is an unasked heartbeat written.
const BEAT_EVERY: Duration = Duration::from_millis(200);
/// How often old receipts are looked for, and how many commits a look may spend on them.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_COMMITS: usize = 10;

/// Runs until nobody wants it.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut term: Option<Term> = None;
    loop {
        shared.pulse.here(Thread::Coordinator, LOOK_EVERY);
        let mut desk = lock(&shared.desk);
        if desk.wanted == 0 {
            // The lanes first: their requests are answered before the seat is given up.
            if desk.lanes.contains(&true) {
                drop(wait(&shared.changed, desk, LOOK_EVERY));
                continue;
            }
            drop(desk);
            if let Some(term) = &mut term {
                // What this process closed by itself can go at once, and what others hold for nothing.
                term.space.hurry();
                let _ = term.look(shared, Heard::FLUSH);
            }
            desk = lock(&shared.desk);
            if desk.wanted > 0 {
                continue;
            }
            desk.state = None;
            term = None;
            desk.coordinating = false;
            shared.pulse.excuse(Thread::Coordinator);
            drop(desk);
            drop(term);
            shared.changed.notify_all();
            return;
        }
        // A lane may have failed: the seat goes too, and with the next one the store is read again.
        let failed = term.is_some() && desk.state.is_none();
        let pause = desk
            .trouble
            .as_ref()
            .map_or(TROUBLE_REST, |(e, _)| rest_after(e));
        drop(desk);
        if failed {
            term = None;
            rest(shared, pause);
        } else if let Some(current) = &mut term {
            match current.look(shared, current.heard) {
                Ok(()) => {
                    shared.trouble_is_over();
                    let pause = if shared.is_hungry() {
                        HUNGRY_LOOK
                    } else {
                        LOOK_EVERY
                    };
                    current.heard = current.bell.wait(pause.min(shared.flush_interval));
                    if current.heard.another_token && step_aside(shared) {
                        term = None;
                        rest(shared, succession::STEP_ASIDE);
                    }
                }
                Err(e) => {
                    shared.trouble(&e);
                    // A newer version may know what to do with what this one cannot read.
                    if e.kind() == ErrorKind::Store {
                        shared.drop_state();
                        term = None;
                    }
                    rest(shared, rest_after(&e));
                }
            }
        } else {
            term = stand(shared);
        }
    }
}

/// Stands for election; rests if there is nothing to win.
fn stand(shared: &Arc<Shared>) -> Option<Term> {
    match Term::begin(shared) {
        Ok(Some(term)) => return Some(term),
        Ok(None) => {
            lock(&shared.desk).trouble = None;
            shared.is_rung.store(false, Ordering::SeqCst);
            // What cannot be read just now is read at the next time.
            let _ = succession::ask(shared);
            rest(shared, STAND_EVERY);
        }
        Err(e) => {
            shared.trouble(&e);
            rest(shared, rest_after(&e));
        }
    }
    None
}

/// Leaves the desk to a process with another token, if this one's was refused.
fn step_aside(shared: &Shared) -> bool {
    let mut desk = lock(&shared.desk);
    let aside = desk.state.as_ref().is_some_and(succession::steps_aside);
    if aside {
        desk.drop_state();
        desk.notes.push(Note::new(
            Level::Info,
            format_args!("another process has another token; it may send"),
        ));
    }
    drop(shared.tell(desk));
    aside
}

/// A full disk has got the reserve since.
fn rest_after(trouble: &Error) -> Duration {
    match trouble.kind() {
        ErrorKind::SpoolFull => FULL_REST,
        _ => TROUBLE_REST,
    }
}

/// Waits, unless nobody wants the sender any more.
fn rest(shared: &Shared, time: Duration) {
    let mut desk = lock(&shared.desk);
    let until = Instant::now() + time;
    while desk.wanted > 0 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        desk = wait(&shared.changed, desk, left);
    }
}

/// The time of this process as the spool's sender.
struct Term {
    _seat: Seat,
    space: DiskSpace,
    bell: Doorbell,
    heard: Heard,
    beaten: Option<Instant>,
    pid_namespace: Option<u64>,
    /// When no old receipt was left.
    forgotten: Option<Instant>,
    /// What was wrong with the token's file, to log it once.
    token_trouble: Option<String>,
}

impl Term {
    /// Wins the election, if it is free, and opens the store.
    fn begin(shared: &Arc<Shared>) -> Result<Option<Self>> {
        let Some(seat) = Seat::try_take(&shared.spool)? else {
            return Ok(None);
        };
        shared.transport()?;
        // Before the store tells which token was refused last; what is wrong with it, the first look says.
        let _ = shared.token.follow_file();
        let space = DiskSpace::of(&shared.spool)?;
        // A store of an earlier version is upgraded here, which takes as long as it is large.
        shared.pulse.excuse(Thread::Coordinator);
        let mut state = shared.open_state()?;
        state.store.set_disk_use(space.in_use)?;
        let bell = Doorbell::hang(&shared.spool)?;
        let mut desk = lock(&shared.desk);
        desk.state = Some(state);
        desk.generation += 1;
        desk.trouble = None;
        Ok(Some(Self {
            _seat: seat,
            space,
            bell,
            heard: Heard::FLUSH,
            beaten: None,
            pid_namespace: pid_namespace(),
            forgotten: None,
            token_trouble: None,
        }))
    }

    /// One look at everything.
    fn look(&mut self, shared: &Arc<Shared>, heard: Heard) -> Result<()> {
        // Before the journal is listed: what is enqueued from here on may be missed, and rings again.
        shared.is_rung.swap(false, Ordering::SeqCst);
        shared.enqueued_since_look.store(0, Ordering::Relaxed);
        shared.on_state(|_| shared.spool.check_path())?;
        self.follow_token(shared)?;
        spread_anew(shared)?;
        start_lanes(shared)?;
        self.space.look(shared)?;
        let taken_bytes = take_over(shared, &mut self.space)?;
        carry_out(shared)?;
        self.forget_receipts(shared)?;
        let due = self.beaten.is_none_or(|at| at.elapsed() >= BEAT_EVERY);
        if due || heard.flush {
            self.beat(shared, taken_bytes, heard)?;
        }
        Ok(())
    }

    /// Reads the token's file again if it has changed, and pauses while there is no token at all.
    fn follow_token(&mut self, shared: &Shared) -> Result<()> {
        let mut why = "no bearer token; set bearer_token or bearer_token_file".to_owned();
        match shared.token.follow_file() {
            Ok(true) => shared.token_replaced()?,
            Ok(false) => {}
            Err(e) => {
                e.message().clone_into(&mut why);
                if self.token_trouble.as_deref() != Some(e.message()) {
                    shared.log.warn(format_args!("{e}"));
                    self.token_trouble = Some(why.clone());
                }
            }
        }
        if shared.token.current().is_none() {
            shared.on_state(|state| state.token_missing(&why, clock::now()))?;
        }
        Ok(())
    }

    /// Lets go of old receipts, some thousands at a look.
    fn forget_receipts(&mut self, shared: &Shared) -> Result<()> {
        if self.forgotten.is_some_and(|at| at.elapsed() < FORGET_EVERY) {
            return Ok(());
        }
        for _ in 0..FORGET_COMMITS {
            let more = shared.on_state(|state| state.forget_receipts(clock::now()))?;
            if more != Some(true) {
                self.forgotten = Some(Instant::now());
                break;
            }
        }
        Ok(())
    }

    /// Tells other processes how far this one is.
    fn beat(&mut self, shared: &Shared, taken_bytes: u64, heard: Heard) -> Result<()> {
        let heartbeat = shared.on_state(|state| {
            if heard.flush {
                // Whoever rang waits for what is taken over by now.
                state.urgent_upto = state.store.last_run()?;
            }
            let pause = state.engine.pause_state();
            Ok(Heartbeat {
                pid: pid().cast_unsigned(),
                pid_namespace: self.pid_namespace,
                seen_ms: clock::wall_ms(),
                boot_count: state.taken_upto.boot_count,
                taken_upto_boot_ns: state.taken_upto.boot_ns,
                take_over_is_limited: state.hungry,
                pending_bytes: state.totals.pending_bytes,
                taken_bytes,
                paused: pause.map(|pause| pause.reason.name().to_owned()),
                paused_since_ms: pause.map(|pause| pause.since_ms),
            })
        })?;
        self.beaten = Some(Instant::now());
        heartbeat.map_or(Ok(()), |heartbeat| heartbeat.write(&shared.spool))
    }
}

/// Every lane has a thread while somebody wants the sender.
fn start_lanes(shared: &Arc<Shared>) -> Result<()> {
    let mut desk = lock(&shared.desk);
    let lanes = desk.state.as_ref().map_or(0, State::lane_count);
    let wanted = if desk.wanted > 0 { lanes } else { 0 };
    for lane in 0..wanted {
        if !desk.lanes[lane] {
            let for_lane = shared.clone();
            spawn_with_signals_blocked(
                "meditopia-lane",
                Box::new(move || for_lane.through_panics(|| lane::run(&for_lane, lane))),
            )
            .map_err(|e| Error::io("start of a lane's thread", e))?;
            desk.lanes[lane] = true;
        }
    }
    Ok(())
}

/// Applies a number of lanes that had to wait until the rows of the last one were gone.
fn spread_anew(shared: &Shared) -> Result<()> {
    let wanted = shared.orders.policy.lanes;
    let mut desk = lock(&shared.desk);
    let stale = |state: &mut State| state.lane_count() != wanted && state.is_drained();
    if let Some(state) = desk.state.take_if(stale) {
        let (orders, log) = (shared.orders.clone(), shared.log.clone());
        desk.state = Some(State::open(state.store, orders, log)?);
        desk.generation += 1;
    }
    Ok(())
}

/// Takes the journal over, as far as there is room, and gives back what that makes free. Says how many
/// of its bytes are taken and still stand there.
fn take_over(shared: &Shared, space: &mut DiskSpace) -> Result<u64> {
    let (offsets, lanes): (Offsets, usize) = match &lock(&shared.desk).state {
        Some(state) => (state.offsets.clone(), state.lane_count()),
        None => return Ok(0),
    };
    let spool = &shared.spool;
    let mut round = TakeOver::begin(spool, &offsets, lanes, space.chunk_bytes())?;
    while !space.is_sated(shared.pending_bytes())
        && let Some(chunk) = round.read(spool)?
    {
        shared.pulse.here(Thread::Coordinator, LOOK_EVERY);
        shared.on_state(|state| {
            // After the reading: what was read is this spool's.
            spool.check_path()?;
            state.take_over(&chunk)
        })?;
        shared.changed.notify_all();
        if space.in_use == DiskUse::Tight {
            space.give_back(shared)?;
        }
    }
    shared.on_state(|state| {
        state.hungry = !round.is_done();
        if !state.hungry {
            state.taken_upto = round.upto();
        }
        state.say_foreign(round.foreign());
        Ok(())
    })?;
    let removed = reclaim::remove_abandoned(shared, &round, &offsets)?;
    space.give_back(shared)?;
    Ok(round.taken_bytes().saturating_sub(removed))
}

/// Carries out what operators have asked for.
fn carry_out(shared: &Shared) -> Result<()> {
    for (path, command) in commands::claim(&shared.spool, &shared.log)? {
        shared.pulse.excuse(Thread::Coordinator);
        match shared.carry_out(&command) {
            Ok(None) => return Ok(()),
            Ok(Some(changed)) => commands::answer(&path, Ok(changed))?,
            Err(e) => {
                commands::answer(&path, Err(&e))?;
                return Err(e);
            }
        }
    }
    Ok(())
}
