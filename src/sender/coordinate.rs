//! The coordinating thread: elected or waiting for it, and once elected a loop that looks at the
//! journal, the commands and the token at every ring, and at least every second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::election::Seat;
use super::state::State;
use super::take_over::TakeOver;
use super::wake::{Doorbell, Heard};
use super::{Shared, commands, lane};
use crate::clock::{self, Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::heartbeat::Heartbeat;
use crate::journal::process::{pid, spawn_quiet};
use crate::journal::reader::Offsets;
use crate::sync::{lock, wait};

/// Other processes' segments are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a process that is not elected tries to be.
const STAND_EVERY: Duration = Duration::from_millis(300);
/// How long to leave a spool alone that cannot be opened.
const TROUBLE_REST: Duration = Duration::from_secs(1);
/// At most so often is an unasked heartbeat written.
const BEAT_EVERY: Duration = Duration::from_millis(200);

/// Runs until nobody wants it.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut term: Option<Term> = None;
    loop {
        let mut desk = lock(&shared.desk);
        if desk.wanted == 0 {
            // The lanes first: their requests are answered before the seat is given up.
            if desk.lanes.contains(&true) {
                drop(wait(&shared.changed, desk, LOOK_EVERY));
                continue;
            }
            drop(desk);
            if let Some(term) = &mut term {
                // What this process closed by itself can go at once.
                let _ = term.look(shared, Heard::Flush);
            }
            desk = lock(&shared.desk);
            if desk.wanted > 0 {
                continue;
            }
            desk.state = None;
            term = None;
            desk.coordinating = false;
            drop(desk);
            drop(term);
            shared.changed.notify_all();
            return;
        }
        drop(desk);

        let Some(current) = &mut term else {
            match Term::begin(shared) {
                Ok(Some(begun)) => term = Some(begun),
                Ok(None) => rest(shared, None, STAND_EVERY),
                Err(e) => rest(shared, Some(e), TROUBLE_REST),
            }
            continue;
        };
        match current.look(shared, current.heard) {
            Ok(()) => {
                shared.changed.notify_all();
                current.heard = current.bell.wait(LOOK_EVERY.min(shared.flush_interval));
            }
            Err(e) => {
                shared.trouble(&e);
                if lock(&shared.desk).state.is_none() {
                    term = None;
                }
                rest(shared, Some(e), TROUBLE_REST);
            }
        }
    }
}

/// Waits for a change at the desk, and leaves word why.
fn rest(shared: &Shared, trouble: Option<Error>, time: Duration) {
    let mut desk = lock(&shared.desk);
    desk.trouble = trouble;
    shared.changed.notify_all();
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
    bell: Doorbell,
    heard: Heard,
    beaten: Option<Instant>,
}

impl Term {
    /// Wins the election, if it is free, and opens the store.
    fn begin(shared: &Arc<Shared>) -> Result<Option<Self>> {
        let Some(seat) = Seat::try_take(&shared.spool)? else {
            return Ok(None);
        };
        shared.transport()?;
        let state = shared.open_state()?;
        let bell = Doorbell::hang(&shared.spool)?;
        let mut desk = lock(&shared.desk);
        desk.state = Some(state);
        desk.generation += 1;
        desk.trouble = None;
        Ok(Some(Self {
            _seat: seat,
            bell,
            heard: Heard::Flush,
            beaten: None,
        }))
    }

    /// One look at everything.
    fn look(&mut self, shared: &Arc<Shared>, heard: Heard) -> Result<()> {
        start_lanes(shared)?;
        shared.enqueued_since_look.store(0, Ordering::Relaxed);
        self.follow_token(shared)?;
        let taken_bytes = take_over(shared)?;
        carry_out(shared)?;
        let due = self.beaten.is_none_or(|at| at.elapsed() >= BEAT_EVERY);
        if due || heard == Heard::Flush {
            self.beat(shared, taken_bytes, heard)?;
        }
        Ok(())
    }

    fn follow_token(&self, shared: &Shared) -> Result<()> {
        let mut why = "no bearer token; set bearer_token or bearer_token_file".to_owned();
        match shared.token.follow_file() {
            Ok(true) => shared.token_replaced()?,
            Ok(false) => {}
            Err(e) => {
                shared.log.warn(format_args!("{e}"));
                why = e.message().to_owned();
            }
        }
        let missing = shared.token.current().is_none();
        let mut desk = lock(&shared.desk);
        if missing && let Some(state) = &mut desk.state {
            state.token_missing(&why, SystemClock.now())?;
        }
        Ok(())
    }

    /// Tells other processes how far this one is.
    fn beat(&mut self, shared: &Shared, taken_bytes: u64, heard: Heard) -> Result<()> {
        let mut desk = lock(&shared.desk);
        let Some(state) = &mut desk.state else {
            return Ok(());
        };
        if heard == Heard::Flush {
            // Whoever rang waits for what is taken over by now.
            state.urgent_upto = state.store.last_run()?;
        }
        let heartbeat = Heartbeat {
            pid: pid().cast_unsigned(),
            seen_ms: clock::wall_ms(),
            boot_count: state.taken_upto.0,
            taken_upto_boot_ns: state.taken_upto.1,
            pending_bytes: state.totals.pending_bytes,
            taken_bytes,
            paused: state
                .engine
                .pause_state()
                .map(|pause| pause.reason.name().to_owned()),
        };
        drop(desk);
        self.beaten = Some(Instant::now());
        heartbeat.write(&shared.spool)
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
            spawn_quiet(
                "meditopia-lane",
                Box::new(move || lane::run(&for_lane, lane)),
            )
            .map_err(|e| Error::io("start of a lane's thread", e))?;
            desk.lanes[lane] = true;
        }
    }
    Ok(())
}

/// Takes the journal over; says how many of its bytes are taken and still stand there.
fn take_over(shared: &Shared) -> Result<u64> {
    let (offsets, lanes): (Offsets, usize) = match &lock(&shared.desk).state {
        Some(state) => (state.offsets.clone(), state.lane_count()),
        None => return Ok(0),
    };
    let spool = &shared.spool;
    let mut round = TakeOver::begin(spool, &offsets, lanes)?;
    while let Some(chunk) = round.read(spool)? {
        let mut desk = lock(&shared.desk);
        let Some(state) = &mut desk.state else {
            return Ok(0);
        };
        state.take_over(&chunk)?;
        drop(desk);
        shared.changed.notify_all();
    }
    let abandoned = round.abandoned(spool);
    let mut desk = lock(&shared.desk);
    if let Some(state) = &mut desk.state {
        state.taken_upto = round.upto();
        state.remove_segments(spool, &abandoned)?;
    }
    Ok(round.taken_bytes())
}

/// Carries out what operators have asked for.
fn carry_out(shared: &Shared) -> Result<()> {
    for (path, command) in commands::waiting(&shared.spool)? {
        let mut desk = lock(&shared.desk);
        let Some(state) = &mut desk.state else {
            return Ok(());
        };
        let outcome = state.carry_out(&command, SystemClock.now());
        drop(desk);
        commands::answer(&path, &outcome)?;
        outcome?;
    }
    Ok(())
}

impl Shared {
    /// A step failed. Only what the store knows has happened: it is opened again, by this process or another.
    pub(super) fn trouble(&self, e: &Error) {
        let mut desk = lock(&self.desk);
        if desk.trouble.as_ref() != Some(e) {
            self.log.error(format_args!("{e}"));
        }
        desk.trouble = Some(e.clone());
        let journal_only = e.kind() == ErrorKind::Io && e.message().contains("/journal/");
        if !journal_only {
            desk.state = None;
            desk.generation += 1;
        }
        drop(desk);
        self.changed.notify_all();
    }
}
