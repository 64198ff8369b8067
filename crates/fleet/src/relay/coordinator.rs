//! The thread of a relay that decides which lanes it owns, and tells them what has come for them.
//!
//! It keeps the relay's row, takes free lanes and gives up what is more than its share, and looks every
//! [`LOOK_EVERY`] for new runs, an operator's hold and operators' commands, for all of its lanes at once. While the
//! database is away it tries again, after waits that the pool draws.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use meditopia::LogLevel as Level;
use meditopia::internals::clock;

use super::board::MayOwn;
use super::commands::Commands;
use super::figures::Away;
use super::lane::LaneThread;
use super::owned::{Left, OwnedLanes};
use super::poll::{self, News};
use super::shares::Move;
use super::sign_of_life::{Blocked, KEEP_EVERY, read_table};
use super::sorter_thread::SorterThread;
use super::{Relay, lock};
use crate::failure::{Failure, Outcome, Result, WRONG_PLACE};

/// How often it looks for news.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the token's file is looked at.
const TOKEN_EVERY: Duration = Duration::from_secs(1);
/// How often a failure that lasts is logged.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// By when it has come by again, also if the database answers as late as it may: it waits for a connection, for its
/// statement, and for a rest after a failure.
const COMES_BY: Duration = Duration::from_secs(90);
/// How long after a lane had no event to probe with another one is taken for that.
const PROBE_AGAIN: Duration = Duration::from_secs(30);
/// How long the sorter may take to give its lease up: as long as a statement.
const SORTER_ENDS_IN: Duration = Duration::from_secs(10);

pub(super) struct Coordinator<'a> {
    relay: &'a Arc<Relay>,
    lanes: OwnedLanes,
    /// Something has happened that is to be looked at before its time.
    woken: Receiver<()>,
    commands: Commands,
    sorter: Option<SorterThread>,
    /// What the lanes were told last of what the sorter has appended.
    appended: Vec<i64>,
    /// When the relay's row was written last, and when the token's file was looked at.
    kept: Option<Instant>,
    followed: Option<Instant>,
    /// When a failure of the database was logged last, and one of a lane.
    said: Option<Instant>,
    said_of_lane: Option<Instant>,
    /// Which lane is to probe next whether the API accepts this relay's address, and not before when.
    probe_next: usize,
    probe_after: Option<Instant>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(relay: &'a Arc<Relay>, lanes: OwnedLanes, woken: Receiver<()>) -> Self {
        Self {
            relay,
            lanes,
            woken,
            commands: Commands::default(),
            sorter: None,
            appended: Vec::new(),
            kept: None,
            followed: None,
            said: None,
            said_of_lane: None,
            probe_next: 0,
            probe_after: None,
        }
    }

    /// Works until the relay is stopped, and gives everything up then. Says how many lanes had to be left.
    ///
    /// # Errors
    /// The configuration is wrong, or the database is no fleet of this endpoint and account.
    pub(super) fn run(mut self) -> Result<usize> {
        loop {
            lock(&self.relay.standing).expected = Some(clock::now().after(COMES_BY));
            if self.relay.stop.is_asked() {
                return Ok(self.end());
            }
            let outcome = self.round();
            match outcome {
                Ok(()) => self.reached(),
                Err(failure) if self.is_wrong(&failure) => return Err(failure),
                Err(failure) => self.failed(&failure),
            }
            lock(&self.relay.standing).lanes_owned = self.lanes.count();
            self.wait();
        }
    }

    /// Whether trying again cannot help. What was right once may be right again.
    fn is_wrong(&self, failure: &Failure) -> bool {
        self.sorter.is_none()
            && (*failure.outcome() == Outcome::Misconfigured
                || failure.is_refused_with(WRONG_PLACE))
    }

    fn wait(&self) {
        let rest = self.relay.pool.rest().max(LOOK_EVERY);
        let _ = self.woken.recv_timeout(rest);
        // One look answers all of them.
        while self.woken.try_recv().is_ok() {}
    }

    fn round(&mut self) -> Result<()> {
        if is_due(&mut self.followed, TOKEN_EVERY) {
            self.relay.board.follow_token();
        }
        let ended = self.lanes.reap();
        let has_fewer = !ended.is_empty();
        for (lane, left) in ended {
            self.commands.forget(lane);
            self.say_left(lane, left);
        }
        match &self.sorter {
            None => self.begin()?,
            // By a defect, which has reported itself.
            Some(sorter) if sorter.has_ended() => {
                self.sorter = Some(SorterThread::start(self.relay.clone())?);
            }
            Some(_) => {}
        }
        for lane in self.lanes.open_again()? {
            self.say_left(lane, Left::Lost);
        }
        let is_due = self.kept.is_none_or(|at| at.elapsed() >= KEEP_EVERY);
        if is_due {
            self.keep(self.blocked().as_ref())?;
            self.kept = Some(Instant::now());
        }
        if is_due || has_fewer {
            self.share()?;
        }
        self.look()
    }

    /// The database is reached for the first time.
    fn begin(&mut self) -> Result<()> {
        let relay = self.relay;
        let place = relay.pool.place()?;
        place.check_destination(
            &relay.endpoint,
            &relay.account,
            "this relay is",
            "set endpoint and account as the fleet has them, or name another store",
        )?;
        lock(&relay.standing).lanes = place.lanes.into();
        self.say(
            Level::Info,
            &format!("delivers from a fleet of {} lanes", place.lanes),
        );
        self.sorter = Some(SorterThread::start(relay.clone())?);
        Ok(())
    }

    fn blocked(&self) -> Option<Blocked> {
        let blocked = self.relay.board.blocked()?;
        let now = clock::now();
        Some(Blocked {
            why: blocked.cause,
            probe_in: blocked.until.map_or(Duration::ZERO, |at| now.until(at)),
        })
    }

    fn keep(&self, blocked: Option<&Blocked>) -> Result<()> {
        let me = &self.relay.me;
        self.relay
            .pool
            .with(|connection| me.keep(connection, blocked))
    }

    /// Takes and gives up lanes until this relay has its share, or has to wait for others.
    fn share(&mut self) -> Result<()> {
        while !self.relay.stop.is_asked() {
            match self.relay.board.may_own(clock::now()) {
                MayOwn::Share => {}
                MayOwn::One => return self.take_one(),
                MayOwn::NoMore(_) => return Ok(()),
            }
            let table = self.relay.pool.with(read_table)?;
            match table.next_move(self.relay.me.id()) {
                // One that ends still holds its lease.
                Some(Move::Take(lane)) if !self.lanes.has(lane) => {
                    self.lanes.take(lane)?;
                }
                Some(Move::GiveUp(lane)) => {
                    self.lanes.stop(lane);
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes a lane to find out whether the API accepts this relay's address by now. If none is free, another relay gives
    /// one up, because this one counts as able until it has one.
    fn take_one(&mut self) -> Result<()> {
        let is_too_early = self.probe_after.is_some_and(|at| Instant::now() < at);
        if is_too_early || self.lanes.count() > 0 {
            return Ok(());
        }
        let table = self.relay.pool.with(read_table)?;
        let lanes = table.lanes.len();
        for lane in (0..lanes).map(|step| (self.probe_next + step) % lanes) {
            let is_free = table.lanes[lane].is_none();
            if is_free && self.lanes.take(i16::try_from(lane).unwrap_or(i16::MAX))? {
                return self.keep(self.blocked().as_ref());
            }
        }
        self.keep(None)
    }

    fn look(&mut self) -> Result<()> {
        let relay = self.relay;
        let owned: Vec<i16> = self.lanes.threads().map(LaneThread::lane).collect();
        let asked = clock::now();
        let News {
            appended,
            hold,
            refused_users,
            has_commands,
            sorts,
        } = relay
            .pool
            .with(|connection| poll::look(connection, &owned, relay.me.id()))?;
        lock(&relay.standing).sorts = sorts;
        let hold = hold.as_ref().map(|(since, why)| (*since, why.as_str()));
        relay.board.set_hold(hold);
        relay.board.count_refused(refused_users, asked);
        for thread in self.lanes.threads() {
            let at = usize::try_from(thread.lane()).unwrap_or(usize::MAX);
            if appended.get(at) != self.appended.get(at) {
                thread.wake();
            }
        }
        self.appended = appended;
        match has_commands {
            true => self.commands.hand_over(&relay.pool, &self.lanes),
            false => Ok(()),
        }
    }

    /// Gives everything up within the time that the relay has; says how many lanes are left.
    fn end(&mut self) -> usize {
        let by = lock(&self.relay.stop_by).unwrap_or_else(Instant::now);
        self.lanes.stop_all();
        if let Some(sorter) = &self.sorter {
            sorter.stop();
        }
        loop {
            for (lane, left) in self.lanes.reap() {
                self.say_left(lane, left);
            }
            // One that has failed meanwhile.
            self.lanes.stop_all();
            lock(&self.relay.standing).lanes_owned = self.lanes.count();
            let wait = by.saturating_duration_since(Instant::now());
            if self.lanes.count() == 0 || wait.is_zero() {
                break;
            }
            let _ = self.woken.recv_timeout(wait.min(LOOK_EVERY));
        }
        if let Some(sorter) = &self.sorter {
            sorter.wait_ended(SORTER_ENDS_IN);
            // Otherwise others would count with this relay for a while.
            let me = &self.relay.me;
            if let Err(failure) = self.relay.pool.with(|connection| me.remove(connection)) {
                self.say(
                    Level::Warn,
                    &format!("its row stays for a while: {failure}"),
                );
            }
        }
        self.lanes.count()
    }

    fn say_left(&mut self, lane: i16, left: Left) {
        match left {
            Left::GivenUp | Left::ReadAgain => {}
            Left::NothingToProbe => {
                self.probe_next = usize::try_from(lane).unwrap_or(0) + 1;
                self.probe_after = Some(Instant::now() + PROBE_AGAIN);
            }
            Left::Lost => self.say(
                Level::Warn,
                &format!(
                    "lane {lane}: another relay has it; this one was away for longer than its lease"
                ),
            ),
            // While the database is away, that is said once for all lanes.
            Left::Failed(error) => {
                if is_due(&mut self.said_of_lane, SAY_EVERY) {
                    self.say(
                        Level::Warn,
                        &format!(
                            "lane {lane}: a step has failed, and the lane is read again: {error}"
                        ),
                    );
                }
            }
        }
    }

    fn failed(&mut self, failure: &Failure) {
        lock(&self.relay.standing)
            .away
            .get_or_insert_with(|| Away::new(failure.message()))
            .why = failure.message().to_owned();
        if is_due(&mut self.said, SAY_EVERY) {
            self.say(
                Level::Error,
                &format!(
                    "the database cannot be reached: {failure}; nothing is delivered until it is, and everything is kept"
                ),
            );
        }
    }

    fn reached(&mut self) {
        if lock(&self.relay.standing).away.take().is_some() {
            self.say(Level::Info, "the database can be reached again");
        }
        self.said = None;
    }

    fn say(&self, level: Level, text: &str) {
        self.relay.say(level, text);
    }
}

/// Whether `every` has passed since `last`, which is now then.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|at| at.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
