//! What the thread of a lane does: a loop of steps, between which it sends or rests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::internals::clock;
use meditopia::internals::config::BearerToken;
use meditopia::internals::exchange::Exchange;
use meditopia::internals::lanes::{Command, Next, OwnedLane, Sent, Then};
use meditopia::internals::store::Store;
use meditopia::internals::transport::{Stage, Watch};
use meditopia::{Error, ErrorKind};
use secrecy::SecretString;

use super::{Ended, LaneLease, MARGIN, Progress, Sending, lock};
use crate::relay::board::{Board, Order};
use crate::relay::inbox::{Asked, Inbox};

/// A lane with nothing to do looks again after this.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// The lease of an idle lane is renewed when it lasts no longer than this.
const RENEWED_BEFORE: Duration = Duration::from_secs(6);

/// A lane, in its thread.
pub(super) struct Lane<'a> {
    sending: &'a Arc<Sending>,
    lane: i16,
    lease: Arc<dyn LaneLease>,
    inbox: Arc<Inbox>,
    progress: Arc<Mutex<Progress>>,
    owned: Rc<RefCell<OwnedLane>>,
    holds_ended: u64,
    /// The lease is as long as it was taken for: it was not known whether a batch is in doubt.
    is_lease_new: bool,
}

/// What the lane does after a step.
enum After {
    Send,
    Rest(Duration),
    End(Ended),
}

impl<'a> Lane<'a> {
    /// Runs until the lane ends.
    pub(super) fn run(
        sending: &'a Arc<Sending>,
        number: i16,
        store: Box<dyn Store>,
        lease: Arc<dyn LaneLease>,
        (inbox, progress): (Arc<Inbox>, Arc<Mutex<Progress>>),
    ) -> Ended {
        let Sending {
            options,
            tokens,
            board,
            log,
            ..
        } = &**sending;
        // Before the store is read, so that no end of a hold is missed.
        let holds_ended = board.holds_ended();
        let owned = match OwnedLane::open(store, options, tokens.clone(), log.clone()) {
            Ok(owned) => Rc::new(RefCell::new(owned)),
            Err(e) => return Ended::Failed(e),
        };
        board.join(number, inbox.clone());
        let _joined = Joined { board, number };
        let mut lane = Self {
            sending,
            lane: number,
            lease,
            inbox,
            progress,
            owned,
            holds_ended,
            is_lease_new: true,
        };
        let ended = lane.loop_until_end();
        let is_given_up = matches!(
            ended,
            Ended::Stopped | Ended::Blocked | Ended::NothingToProbe
        );
        if is_given_up && let Err(e) = lane.lease.give_up() {
            log.warn(format_args!(
                "lane {number}: its lease was not given up and ends by itself: {e}"
            ));
        }
        ended
    }

    fn loop_until_end(&mut self) -> Ended {
        let mut body = Vec::new();
        let mut sent = None;
        loop {
            let after = self.step(sent.take(), &mut body);
            match after.unwrap_or_else(|e| After::End(self.failed(e))) {
                After::Send => match self.send(&body) {
                    Ok(ended) => sent = Some(ended),
                    Err(ended) => return ended,
                },
                After::Rest(rest) => self.inbox.wait(rest),
                After::End(ended) => return ended,
            }
        }
    }

    fn failed(&self, error: Error) -> Ended {
        match self.lease.is_lost() {
            true => Ended::Lost,
            false => Ended::Failed(error),
        }
    }

    /// Settles `sent`, and decides what comes next. If it is to send, the batch is in doubt and in `body`.
    fn step(&mut self, sent: Option<Sent>, body: &mut Vec<u8>) -> Result<After, Error> {
        let board = &self.sending.board;
        let told = self.inbox.take();
        let mut owned = self.owned.borrow_mut();
        if told.news {
            owned.appended();
        }
        let turn = board.begin(self.lane, clock::now());
        let ends = told.stop || turn.order == Order::GiveUp;
        let then = if ends { Then::Stop } else { Then::Decide };
        // What is in flight is settled first: a command does not find it then.
        let has_commands = !told.asked.is_empty() || turn.holds_ended != self.holds_ended;
        let then = if has_commands { Then::Stop } else { then };
        let before = owned.totals();
        let stepped = owned.step(&turn.share, sent.as_ref(), then, body);
        let next = stepped.inspect_err(|_| board.abandon(self.lane, &turn))?;
        self.sending.done.add(&before, &owned.totals());
        board.end(self.lane, &turn, &owned, next, clock::now());
        *lock(&self.progress) = Progress::of(&owned);
        if has_commands {
            if turn.holds_ended != self.holds_ended {
                owned.carry_out(&Command::Resume, clock::now())?;
                self.holds_ended = turn.holds_ended;
            }
            for asked in told.asked {
                carry_out(board, &mut owned, asked)?;
            }
            return Ok(After::Rest(Duration::ZERO));
        }
        if ends {
            return Ok(After::End(match told.stop {
                true => Ended::Stopped,
                false => Ended::Blocked,
            }));
        }
        if next != Next::Send && board.order(self.lane) == Order::GiveUp {
            return Ok(After::Rest(Duration::ZERO));
        }
        let rest = match next {
            Next::Send => {
                self.is_lease_new = false;
                return Ok(After::Send);
            }
            Next::Wait(until) => clock::now().until(until),
            Next::Idle if turn.probes_address() && board.blocked().is_some() => {
                return Ok(After::End(Ended::NothingToProbe));
            }
            Next::Idle => IDLE_LOOK,
        };
        if std::mem::take(&mut self.is_lease_new) || !self.lease.outlasts(RENEWED_BEFORE) {
            let renewed = self.lease.renew();
            renewed.map_err(|e| Error::new(ErrorKind::Io, format!("lane {}: {e}", self.lane)))?;
            // A wake-up may have been missed.
            owned.appended();
        }
        let asks_again = board.asks_again_at(self.lane);
        let rest = asks_again.map_or(rest, |at| rest.min(clock::now().until(at)));
        Ok(After::Rest(rest.clamp(Duration::from_millis(1), IDLE_LOOK)))
    }

    fn send(&self, body: &[u8]) -> Result<Sent, Ended> {
        let sending = self.sending;
        let token = sending.tokens.current();
        let begun = Instant::now();
        let failed = Rc::new(Cell::new(None));
        let limits = sending.connect_timeout + sending.request_timeout;
        let exchange = match (self.must_not_leave(limits), &token) {
            (Some(why), _) => Exchange::NotSent { why },
            (None, None) => Exchange::NotSent {
                why: "there is no bearer token".to_owned(),
            },
            (None, Some(token)) => {
                let watch = self.watch(failed.clone());
                let secret = secret(token);
                sending.transport.post_watched(&secret, body, watch)
            }
        };
        if let Some(error) = failed.take() {
            return Err(self.failed(error));
        }
        Ok(Sent {
            exchange,
            bytes: body.len(),
            took: begun.elapsed(),
            token,
        })
    }

    /// Why a request must not leave that may take so long.
    fn must_not_leave(&self, limit: Duration) -> Option<String> {
        must_not_leave(&*self.lease, self.lane, limit)
    }

    /// A request that needs a new connection is not in doubt until it has one.
    fn watch(&self, failed: Rc<Cell<Option<Error>>>) -> Watch {
        let (owned, lease, lane) = (self.owned.clone(), self.lease.clone(), self.lane);
        let limit = self.sending.request_timeout;
        let is_in_doubt = Cell::new(true);
        Rc::new(move |stage| {
            let connected = (stage == Stage::Connected).then(clock::now);
            match owned.borrow_mut().connect(connected, is_in_doubt.get()) {
                Ok(now) => is_in_doubt.set(now),
                Err(e) => {
                    let why = e.message().to_owned();
                    failed.set(Some(e));
                    return Err(why);
                }
            }
            match stage {
                Stage::Connecting => Ok(()),
                Stage::Connected => must_not_leave(&*lease, lane, limit).map_or(Ok(()), Err),
            }
        })
    }
}

fn must_not_leave(lease: &dyn LaneLease, lane: i16, limit: Duration) -> Option<String> {
    let is_long_enough = lease.outlasts(limit + MARGIN);
    (!is_long_enough).then(|| {
        format!(
            "the lease of lane {lane} ends too soon: the database takes seconds for a statement"
        )
    })
}

fn carry_out(board: &Board, owned: &mut OwnedLane, asked: Asked) -> Result<(), Error> {
    let Asked { command, answer } = asked;
    let carried = owned.carry_out(&command, clock::now());
    let failed = carried.as_ref().err().cloned();
    if failed.is_none() && matches!(command, Command::Resume | Command::ResumeAllowing { .. }) {
        board.resume();
    }
    answer(carried);
    failed.map_or(Ok(()), Err)
}

fn secret(token: &BearerToken) -> SecretString {
    token.expose().into()
}

/// The lane is on the board, also while a panic ends its thread.
struct Joined<'a> {
    board: &'a Board,
    number: i16,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.board.leave(self.number);
    }
}
