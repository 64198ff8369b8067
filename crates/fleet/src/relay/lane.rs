//! The thread of an owned lane: decide, put in doubt, send, settle; one request at a time.
//!
//! A request leaves only while the lease outlasts it, counted on this host from before the statement that renewed the
//! lease: then no other relay can have the lane before the answer is known or never will be. A process that is stopped
//! between that look and the first byte can still be late; then the batch arrives twice.
//!
//! The thread renews the lease of an idle lane itself, with a step that changes nothing else. It ends after any error:
//! what the store does not know has not happened, and the owner of the thread opens the lane again, or leaves it.

mod steps;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use meditopia::internals::config::CurrentToken;
use meditopia::internals::delivery::Pause;
use meditopia::internals::lanes::{LaneOptions, OwnedLane};
use meditopia::internals::log::Log;
use meditopia::internals::store::{Store, Totals};
use meditopia::internals::transport::Transport;
use meditopia::{Error, ErrorKind};

use self::steps::Lane;
use super::board::Board;
use super::figures::Done;
use super::inbox::{Asked, Inbox};
use crate::failure;
use crate::lane_store::LeaseHandle;

/// By how much the lease has to outlast a request: the clock of a server that was promoted may be ahead.
pub const MARGIN: Duration = Duration::from_secs(4);
/// How long the statement may take that puts a batch in doubt, so that its request still leaves.
const STATEMENT: Duration = Duration::from_secs(6);
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

/// What a lane has done, as of its last step.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The sums, of all its owners.
    pub totals: Totals,
    /// What stops it: a pause of its own, or what the board says.
    pub pause: Option<Pause>,
    /// Why its last request came to nothing, if it did.
    pub last_failure: Option<String>,
    /// When the API last answered this owner's requests, wall time in milliseconds.
    pub answered_ms: Option<i64>,
    /// When it last accepted one.
    pub accepted_ms: Option<i64>,
}

impl Progress {
    fn of(owned: &OwnedLane) -> Self {
        let (answered_ms, accepted_ms) = owned.answered_and_accepted_ms();
        Self {
            totals: owned.totals(),
            pause: owned.pause().cloned(),
            last_failure: owned.last_failure().map(str::to_owned),
            answered_ms,
            accepted_ms,
        }
    }
}

/// The thread of a lane.
pub struct LaneThread {
    lane: i16,
    inbox: Arc<Inbox>,
    progress: Arc<Mutex<Progress>>,
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
        let progress = Arc::new(Mutex::new(Progress::default()));
        let of_thread = (inbox.clone(), progress.clone());
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
            progress,
            thread,
        })
    }

    /// The lane.
    pub fn lane(&self) -> i16 {
        self.lane
    }

    /// What it has done so far.
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
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

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    // It is replaced as a whole.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
