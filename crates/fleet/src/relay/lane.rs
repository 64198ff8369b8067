//! The thread of an owned lane: decide, put in doubt, send, settle; one request at a time.
//!
//! A request leaves only while the lease outlasts it, counted on this host from before the statement that renewed the
//! lease: then no other relay can have the lane before the answer is known or never will be. A process that is stopped
//! between that look and the first byte can still be late; then the batch arrives twice.
//!
//! The thread renews the lease of an idle lane itself, with a step that changes nothing else. It ends after any error:
//! what the store does not know has not happened, and the owner of the thread opens the lane again, or leaves it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use meditopia::internals::clock;
use meditopia::internals::config::{BearerToken, CurrentToken};
use meditopia::internals::exchange::Exchange;
use meditopia::internals::lanes::{Command, LaneOptions, Next, OwnedLane, Sent, Then};
use meditopia::internals::log::Log;
use meditopia::internals::store::Store;
use meditopia::internals::transport::{Stage, Transport, Watch};
use meditopia::{Error, ErrorKind};
use secrecy::SecretString;

use super::board::{Board, Order};
use super::figures::Done;
use super::inbox::{Asked, Inbox};
use crate::failure;
use crate::lane_store::LeaseHandle;

/// By how much the lease has to outlast a request: the clock of a server that was promoted may be ahead.
pub const MARGIN: Duration = Duration::from_secs(4);
/// How long the statement may take that puts a batch in doubt, so that its request still leaves.
const STATEMENT: Duration = Duration::from_secs(6);
/// A lane with nothing to do looks again after this.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// The lease of an idle lane is renewed when it lasts no longer than this.
const RENEWED_BEFORE: Duration = Duration::from_secs(6);

/// What all lanes of a relay send with.
pub struct Sending {
    /// To the API.
    pub transport: Transport,
    /// The limits of a request, as the transport has them.
    pub connect_timeout: Duration,
    /// The same.
    pub request_timeout: Duration,
    /// The bearer token.
    pub tokens: Arc<CurrentToken>,
    /// What the configuration says about lanes.
    pub options: LaneOptions,
    /// Where the lanes know of each other.
    pub board: Arc<Board>,
    /// For all of them.
    pub log: Arc<Log>,
    /// What all of them have done.
    pub done: Done,
}

impl Sending {
    /// How long the lease of a lane has to be while a batch is in doubt.
    pub fn lease_in_doubt(&self) -> Duration {
        self.connect_timeout + self.request_timeout + MARGIN + STATEMENT
    }
}

/// The lease of the lane, as far as its thread needs it.
pub trait LaneLease: Send + Sync {
    /// Whether it lasts longer than `time` from now on. Does not block.
    fn outlasts(&self, time: Duration) -> bool;

    /// Whether another relay has the lane by now. Does not block.
    fn is_lost(&self) -> bool;

    /// Renews it by a step that changes nothing else. Blocks as long as a statement may take.
    ///
    /// # Errors
    /// Those of the statement; the lane has to be opened again.
    fn renew(&self) -> failure::Result<()>;

    /// Gives it up. Blocks as long as a statement may take.
    ///
    /// # Errors
    /// Those of the statement; the lease ends by itself then.
    fn give_up(&self) -> failure::Result<()>;
}

impl LaneLease for LeaseHandle {
    fn outlasts(&self, time: Duration) -> bool {
        self.lease_outlasts(time)
    }

    fn is_lost(&self) -> bool {
        self.is_lost()
    }

    fn renew(&self) -> failure::Result<()> {
        self.renew()
    }

    fn give_up(&self) -> failure::Result<()> {
        self.give_up().map(drop)
    }
}

/// How the thread of a lane has ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told to stop. The lease is given up.
    Stopped,
    /// The API does not accept this relay's address. The lease is given up.
    Blocked,
    /// The lane was taken to find out whether the API accepts the address by now, and has no event. The lease is given up.
    NothingToProbe,
    /// Another relay has the lane.
    Lost,
    /// A step has failed, and it is not known whether it was taken. The lease may last: open the lane again.
    Failed(Error),
}

/// The thread of a lane.
pub struct LaneThread {
    lane: i16,
    inbox: Arc<Inbox>,
    thread: JoinHandle<Ended>,
}

impl LaneThread {
    /// Starts the thread of a lane that was just opened. It calls `on_end` as the last thing that it does.
    ///
    /// # Errors
    /// Those of [`Builder::spawn`]; the lease lasts.
    pub fn start(
        sending: Arc<Sending>,
        lane: i16,
        store: Box<dyn Store>,
        lease: Arc<dyn LaneLease>,
        on_end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let of_thread = inbox.clone();
        let body = move || {
            let ended = Lane::run(&sending, lane, store, lease, of_thread);
            on_end();
            ended
        };
        let name = format!("lane-{lane}");
        let thread = Builder::new().name(name).spawn(body)?;
        Ok(Self {
            lane,
            inbox,
            thread,
        })
    }

    /// The lane.
    pub fn lane(&self) -> i16 {
        self.lane
    }

    /// Runs may have come to the lane.
    pub fn wake(&self) {
        self.inbox.news();
    }

    /// Has the lane carry out a command of an operator. If the thread ends before, the answer never comes.
    pub fn ask(&self, asked: Asked) {
        self.inbox.ask(asked);
    }

    /// Has the thread end: it waits for its request in flight, settles it, and gives the lease up.
    pub fn stop(&self) {
        self.inbox.stop();
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended; at most for the timeouts of a request and of two statements once it is to stop.
    pub fn join(self) -> Ended {
        self.thread.join().unwrap_or_else(|_| {
            let what = format!("lane {}: a defect has ended its thread", self.lane);
            Ended::Failed(Error::new(ErrorKind::Internal, what))
        })
    }
}

struct Lane<'a> {
    sending: &'a Arc<Sending>,
    lane: i16,
    lease: Arc<dyn LaneLease>,
    inbox: Arc<Inbox>,
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
    fn run(
        sending: &'a Arc<Sending>,
        number: i16,
        store: Box<dyn Store>,
        lease: Arc<dyn LaneLease>,
        inbox: Arc<Inbox>,
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
