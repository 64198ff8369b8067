//! Everything that a spool holds of one user is erased, by the elected process, beside the requests of others.
//!
//! First the journal is taken over without the user's events, then they leave the queues and the rejected events,
//! each step a commit. Only the bytes are left then: the ledger goes on in a file that speaks of copies without
//! them, finished ledgers are copied without the user's receipts, and of the journal the blocks are given back.
//! Wherever it ends early, the same command goes on there.
//!
//! What a request under way has, or one in doubt, stays, and is counted.

use std::collections::BTreeSet;
use std::io::ErrorKind as IoKind;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::election::Election;
use super::reclaim::{self, DiskSpace};
use super::take_over::TakeOver;
use super::vitals::Thread;
use super::{Shared, commands};
use crate::clock;
use crate::dispatch::{Command, TakenOut, in_steps};
use crate::error::{Error, ErrorKind, Result};
use crate::event;
use crate::mutex::lock;
use crate::spool::Heartbeat;
use crate::store::disk::Folder;
use crate::store::reader::ListPosition;
use crate::store::{Reader, RejectedFilter, StoredRun, erasure};

/// Runs read from the store at a time.
const PAGE_RUNS: usize = 64;
/// Files that are copied for one ledger: each takes 8 MiB of the disk until that is published.
const FILES_AT_ONCE: usize = 4;
/// How long an author waits before it looks again whether what was in flight is settled, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// So often is all of it done for one author, whose user may have events in flight for ever.
const ERASURES_AT_MOST: usize = 3;
/// How often an erasure lets other commands go first, and looks for another token.
const OTHERS_EVERY: Duration = Duration::from_millis(100);

/// What an erasure has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erased {
    /// Events that waited.
    pub(crate) pending: u64,
    /// Rejected events.
    pub(crate) rejected: u64,
    /// Receipts that named the user.
    pub(crate) receipts: u64,
    /// Events that stay: a request with them is under way or in doubt.
    pub(crate) in_flight: u64,
    /// The disk had no room to look at all of the journal.
    #[serde(default)]
    is_limited: bool,
}

impl super::Sender {
    /// Has the elected process erase what the spool holds of `user`, or this one if none is. While a request has events
    /// of the user, only asks for these, until `deadline`; all is done once more when none is left, or then if one has become free.
    ///
    /// Errors: [`ErrorKind::Timeout`] if no sender has done it once by then, or what came of it.
    #[cold]
    pub(crate) fn erase(&self, user: &str, deadline: Instant) -> Result<Erased> {
        let mut sum = Erased::default();
        self.erase_once(user, deadline, false, &mut sum)?;
        for _ in 1..ERASURES_AT_MOST {
            if sum.in_flight == 0 {
                break;
            }
            let begun_with = (sum.in_flight, sum.pending);
            let mut wait = FIRST_WAIT;
            let mut is_answered = true;
            while is_answered && sum.in_flight > 0 && Instant::now() + wait < deadline {
                std::thread::sleep(wait);
                wait = (2 * wait).min(LONGEST_WAIT);
                is_answered = self.erase_again(user, deadline, true, &mut sum)?;
            }
            // Nothing has become free, or the time is over.
            let is_over = !is_answered || (sum.in_flight, sum.pending) == begun_with;
            if is_over || !self.erase_again(user, deadline, false, &mut sum)? {
                break;
            }
        }
        Ok(sum)
    }

    /// Asks once more; says whether a sender has answered in time: what was done before is done.
    #[cold]
    fn erase_again(
        &self,
        user: &str,
        deadline: Instant,
        again: bool,
        sum: &mut Erased,
    ) -> Result<bool> {
        match self.erase_once(user, deadline, again, sum) {
            Err(e) if e.kind() == ErrorKind::Timeout => Ok(false),
            done => done.map(|()| true),
        }
    }

    #[cold]
    fn erase_once(
        &self,
        user: &str,
        deadline: Instant,
        again: bool,
        sum: &mut Erased,
    ) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let command = Command::Forget {
            user: user.to_owned(),
            boot_count: self.shared.spool.boot_count(),
            until_ns: clock::now().after(left).boot_ns,
            again,
        };
        let outcome = self.shared.command(&command, deadline)?;
        let found = outcome.erased.unwrap_or_default();
        sum.pending += found.pending;
        sum.rejected += found.rejected;
        sum.receipts += found.receipts;
        sum.in_flight = found.in_flight;
        match found.is_limited {
            true => Err(self.shared.has_no_room()),
            false => Ok(()),
        }
    }
}

impl Shared {
    /// Checks that whoever asked for an erasure still waits for it: what was enqueued since is not asked for.
    #[cold]
    pub(super) fn check_erasure(&self, boot_count: u32, until_ns: u64) -> Result<()> {
        if boot_count == self.spool.boot_count() && clock::boot_ns() <= until_ns {
            return Ok(());
        }
        let what = "was asked for too long ago, and was not begun; ask again";
        let name = self.spool.name();
        Err(Error::new(
            ErrorKind::Timeout,
            format!("{name}: an erasure {what}"),
        ))
    }

    /// Erases what the spool holds of `user`; `None`: the state has gone meanwhile. `alive` is called between the
    /// steps, which may take minutes together.
    #[cold]
    pub(super) fn erase(
        &self,
        election: &Election,
        user: &str,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<Erased>> {
        self.liveness.expect_none(Thread::Coordinator);
        let escaped = event::escaped_user(user);
        let mut erased = Erased::default();
        let mut looked = Instant::now();
        let mut alive = || {
            self.keep_ledger_short()?;
            if looked.elapsed() >= OTHERS_EVERY {
                self.carry_out_meanwhile(election);
                self.follow_token_meanwhile()?;
                looked = Instant::now();
            }
            alive()
        };
        let Some((dropped, is_limited)) = self.take_over_without(election, &escaped, &mut alive)?
        else {
            return Ok(None);
        };
        erased.pending = dropped;
        let Some(taken) = self.erase_waiting(&escaped, &mut alive)? else {
            return Ok(None);
        };
        erased.pending += taken.events;
        erased.in_flight = taken.bound;
        let filter = RejectedFilter {
            user: Some(user.to_owned()),
            ..RejectedFilter::default()
        };
        let upto = i64::MAX;
        let discarded = in_steps(&Command::DiscardMatching { filter, upto }, |step| {
            alive()?;
            self.step(|state| state.dispatcher.carry_out(step, clock::now()))
        })?;
        let Some(discarded) = discarded else {
            return Ok(None);
        };
        erased.rejected = discarded as u64;
        let Some(receipts) = self.erase_bytes(election, &escaped, &mut alive)? else {
            return Ok(None);
        };
        erased.receipts = receipts;
        commands::remove_bad_ones_naming(&self.spool, user)?;
        let publishing = lock(&self.publishing);
        Heartbeat::leave_user_out(&self.spool, user)?;
        drop(publishing);
        self.threads.notify();
        let Erased {
            pending, rejected, ..
        } = erased;
        self.log.write(
            crate::log::Level::Info,
            format_args!(
                "a user was erased by an operator: {pending} waiting events, {rejected} rejected ones, {receipts} receipts; {} events are in flight and stay",
                erased.in_flight
            ),
        );
        erased.is_limited = is_limited;
        Ok(Some(erased))
    }

    /// The engine is told of another token, as at each look of a sender. What is wrong with its file the next look says.
    #[cold]
    fn follow_token_meanwhile(&self) -> Result<()> {
        if let Ok(true) = self.token.follow_file() {
            self.step(|_| Ok(()))?;
            self.threads.notify();
        }
        Ok(())
    }

    #[cold]
    fn has_no_room(&self) -> Error {
        let what = "the disk is nearly full, so that events of the journal could not be looked at; what the store holds of the user is erased; make room, and ask again";
        let name = self.spool.name();
        Error::new(ErrorKind::SpoolFull, format!("{name}: {what}"))
    }

    /// Takes the journal over, as a round of the sender does, but for the events of a user. Says how many these
    /// were, and whether the disk had no room for others.
    #[cold]
    fn take_over_without(
        &self,
        election: &Election,
        user: &[u8],
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<(u64, bool)>> {
        let known =
            self.step(|state| Ok((state.offsets.clone(), state.dispatcher.lane_count())))?;
        let Some((offsets, lanes)) = known else {
            return Ok(None);
        };
        let spool = &self.spool;
        let mut space = DiskSpace::of(spool)?;
        let mut round = TakeOver::begin(spool, &offsets, lanes, space.chunk_bytes())?;
        round.leave_out(user);
        loop {
            let pending = self.step(|state| Ok(state.dispatcher.totals.pending_bytes))?;
            let Some(pending) = pending else {
                return Ok(None);
            };
            if !space.has_room_for_more(pending) {
                break;
            }
            let Some(chunk) = round.read(spool)? else {
                break;
            };
            self.step(|state| {
                spool.check_path()?;
                state.take_over(&chunk, &mut round.lines)
            })?;
            self.threads.notify();
            space.give_back_if_tight(self, election)?;
            alive()?;
        }
        let dropped = round.left_out();
        self.step(|state| {
            state.note_round(&round);
            Ok(())
        })?;
        reclaim::remove_abandoned(self, election, &mut round, &offsets, alive)?;
        Ok(Some((dropped, !round.is_done())))
    }

    /// Takes those events of `user` out of the queues that are at hand, and counts what is bound.
    #[cold]
    pub(super) fn erase_at_hand(&self, user: &str) -> Result<Option<Erased>> {
        let escaped = event::escaped_user(user);
        let taken = self.take_out_at_hand(&escaped, &mut || self.keep_ledger_short())?;
        Ok(taken.map(|(pending, bound)| Erased {
            pending,
            in_flight: bound.iter().sum(),
            ..Erased::default()
        }))
    }

    /// Takes a user's events at hand out of all lanes; says how many, and how many of each are bound.
    #[cold]
    fn take_out_at_hand(
        &self,
        user: &[u8],
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<(u64, Vec<u64>)>> {
        let lanes = self.step(|state| Ok(state.dispatcher.lane_count()))?;
        let Some(lanes) = lanes else {
            return Ok(None);
        };
        let mut bound = vec![0; lanes];
        let mut events = 0;
        for (lane, bound) in bound.iter_mut().enumerate() {
            loop {
                let taken =
                    self.step(|state| state.dispatcher.take_out(lane, user, clock::now()))?;
                let Some(taken) = taken else {
                    return Ok(None);
                };
                events += taken.events;
                *bound = taken.bound;
                if !taken.more {
                    break;
                }
                alive()?;
            }
        }
        Ok(Some((events, bound)))
    }

    /// Takes a user's events out of the queues; what is bound of them in the end is counted.
    #[cold]
    fn erase_waiting(
        &self,
        user: &[u8],
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<TakenOut>> {
        let Some((events, mut bound)) = self.take_out_at_hand(user, alive)? else {
            return Ok(None);
        };
        let mut sum = TakenOut {
            events,
            ..TakenOut::default()
        };
        let mut at = ListPosition::from_run(0);
        let mut reader = Reader::open(&self.spool)?;
        while let Some(store) = &mut reader {
            let page = store.next_runs(&mut at, PAGE_RUNS)?;
            let is_last = page.len() < PAGE_RUNS;
            let has_some = |stored: &StoredRun| {
                let mut waiting = stored.waiting();
                waiting.any(|(_, fragment, _)| event::user_of(fragment) == user)
            };
            let of_user: Vec<_> = page
                .into_iter()
                .filter(|(_, stored)| has_some(stored))
                .collect();
            if !of_user.is_empty() {
                let taken = self.step(|state| {
                    let behind = state.dispatcher.take_out_behind(&of_user, user)?;
                    let mut at_hand = Vec::new();
                    for (place, _) in &of_user {
                        let lane = usize::from(place.lane);
                        let taken = state.dispatcher.take_out(lane, user, clock::now())?;
                        at_hand.push((lane, taken));
                    }
                    Ok((behind, at_hand))
                })?;
                let Some((behind, at_hand)) = taken else {
                    return Ok(None);
                };
                sum.events += behind;
                for (lane, taken) in at_hand {
                    sum.events += taken.events;
                    if let Some(bound) = bound.get_mut(lane) {
                        *bound = taken.bound;
                    }
                }
            }
            if is_last {
                break;
            }
            alive()?;
            store.refresh()?;
        }
        sum.bound = bound.iter().sum();
        let forgotten = self.step(|state| state.dispatcher.forget_user(user, sum.bound > 0))?;
        Ok(forgotten.map(|()| sum))
    }

    /// Takes the bytes of what has left, and of receipts, out of the files. Says how many receipts named the user.
    #[cold]
    fn erase_bytes(
        &self,
        election: &Election,
        user: &[u8],
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<u64>> {
        let mark = event::mark_of_user(user);
        let Some(disk) = self.step(|state| Ok(state.dispatcher.store.disk()))? else {
            return Ok(None);
        };
        let failed = |e| Error::io(disk.describe(None), e);
        let mut found = BTreeSet::new();
        for folder in [Folder::Queues, Folder::Rejected] {
            for name in disk.list(folder).map_err(failed)? {
                if erasure::file_has_mark(&*disk, (folder, &name), &mark).map_err(failed)? {
                    found.insert((folder, name));
                }
                alive()?;
            }
        }
        let names = erasure::ledger_names(&*disk, user).map_err(failed)?;
        let named = self.step(|state| Ok(state.dispatcher.store.named_files()))?;
        let Some(named) = named else {
            return Ok(None);
        };
        // A sender that died has left the others, whose copies the ledger speaks of.
        let found: Vec<_> = found.into_iter().collect();
        let mut portions: Vec<_> = found.chunks(FILES_AT_ONCE).collect();
        if portions.is_empty() && names {
            portions.push(&[]);
        }
        for portion in portions {
            let (copied, left): (Vec<_>, Vec<_>) =
                portion.iter().partition(|file| named.contains(file));
            for (folder, name) in left {
                disk.remove(*folder, name).map_err(failed)?;
            }
            let copied = copied.into_iter().cloned().collect();
            let begun = self.step(|state| {
                state.dispatcher.store.rewrite(copied);
                Ok(())
            })?;
            if begun.is_none() {
                return Ok(None);
            }
            alive()?;
        }
        let receipts = erasure::erase_receipts(&*disk, user, &mut *alive)?;
        for folder in Folder::ALL {
            match disk.sync(folder) {
                Err(e) if e.kind() != IoKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
        reclaim::erase_taken(self, election, &mark, alive)?;
        self.sync_committed()?;
        // Whoever began the next ledger for it may have failed, and closed the state.
        let open = self.step(|_| Ok(()))?;
        Ok(open.map(|()| receipts))
    }
}
