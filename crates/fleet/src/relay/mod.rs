//! A relay: takes leases of lanes and of the sorter, sorts parcels into runs, and delivers the runs of its lanes.
//!
//! Threads, which all share a few connections of a [`pool`]:
//!
//! - the coordinator keeps the relay's row ([`sign_of_life`]), takes and gives up lanes ([`shares`]), and looks for
//!   what has come for them (`poll`)
//! - the sorter takes parcels over into lanes ([`sorter`]), if this relay has its lease
//! - one for each lane that this relay owns, which sends and settles (`lane`); by the `board` they know of each other's
//!   pauses
//!
//! No lane waits for a lock of another one, and nothing is shared between relays but the database.

pub mod board;
mod commands;
mod coordinator;
mod figures;
pub mod housekeeping;
pub mod inbox;
pub mod lane;
pub mod lease;
mod owned;
mod poll;
pub mod pool;
mod settings;
pub mod shares;
pub mod sign_of_life;
pub mod sorter;
mod sorter_thread;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meditopia::LogLevel as Level;
use meditopia::internals::client::connection;
use meditopia::internals::clock::{self, Moment};
use meditopia::internals::config::{self, CurrentToken};
use meditopia::internals::lanes::LaneOptions;
use meditopia::internals::log::{Callback, Log};
use meditopia::internals::transport::Transport;

use self::board::Board;
use self::coordinator::Coordinator;
use self::figures::Away;
pub use self::figures::{Done, Figures};
use self::lane::Sending;
use self::owned::OwnedLanes;
use self::pool::Pool;
pub use self::settings::Settings;
use self::sign_of_life::SignOfLife;
use crate::address::Address;
pub use crate::failure::Result;
use crate::forward::Stop;

const DAY_S: u64 = 86_400;

/// How a relay works.
pub struct Options {
    /// The database.
    pub address: Address,
    /// What lists call it.
    pub name: String,
    /// At most so many connections to the database at once.
    pub connections: usize,
    /// What the library knows: where events go, with which token, and how.
    pub settings: config::Settings,
    /// Gets each record of the log.
    pub log: Callback,
}

/// How a relay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// So many lanes had a request in flight for too long: another relay takes each when its lease ends.
    pub lanes_left: usize,
}

/// A relay.
pub struct Relay {
    me: SignOfLife,
    name: String,
    endpoint: String,
    account: String,
    receipts_days: u32,
    pool: Arc<Pool>,
    board: Arc<Board>,
    sending: Arc<Sending>,
    log: Arc<Log>,
    stop: Stop,
    /// Wakes the coordinator, while it runs.
    wake: Mutex<Option<Sender<()>>>,
    /// Until when lanes may finish what they have in flight, once it is stopped.
    stop_by: Mutex<Option<Instant>>,
    standing: Mutex<Standing>,
}

/// What the coordinator says of the relay.
#[derive(Debug, Default)]
struct Standing {
    lanes: usize,
    lanes_owned: usize,
    sorts: bool,
    away: Option<Away>,
    /// By when it has promised to come by again.
    expected: Option<Moment>,
}

impl Relay {
    /// Checks the options and starts nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](meditopia::ErrorKind::Config): `endpoint`, `proxy` or `ca_file` cannot be used.
    pub fn new(options: Options) -> meditopia::Result<Self> {
        let settings = &options.settings;
        let log = Arc::new(Log::new(settings.log_level));
        log.set_callback(0, Some(options.log));
        let tokens = Arc::new(CurrentToken::from_source(&settings.bearer_token));
        let lanes = LaneOptions::of(settings);
        let board = Arc::new(Board::new(&lanes.policy, tokens.clone(), log.clone()));
        let sending = Sending {
            transport: Transport::new(&connection(settings))?,
            connect_timeout: settings.connect_timeout,
            request_timeout: settings.request_timeout,
            tokens,
            options: lanes,
            board: board.clone(),
            log: log.clone(),
            done: Done::default(),
        };
        let receipts_days = settings
            .receipts_kept
            .map_or(0, |kept| kept.as_secs() / DAY_S);
        Ok(Self {
            me: SignOfLife::new(&options.name),
            name: options.name,
            endpoint: settings.endpoint.as_str().to_owned(),
            account: settings.account.clone(),
            receipts_days: u32::try_from(receipts_days).unwrap_or(u32::MAX),
            pool: Arc::new(Pool::new(options.address, options.connections)),
            board,
            sending: Arc::new(sending),
            log,
            stop: Stop::default(),
            wake: Mutex::default(),
            stop_by: Mutex::default(),
            standing: Mutex::default(),
        })
    }

    /// What lists call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Delivers until it is stopped, and gives its leases up then. Blocks.
    ///
    /// # Errors
    /// The configuration is wrong, or the database is no fleet of this endpoint and account. A database that cannot
    /// be reached is waited for.
    pub fn run(self: &Arc<Self>) -> Result<Ended> {
        let (wake, woken) = channel();
        *lock(&self.wake) = Some(wake.clone());
        let lanes = OwnedLanes::new(
            self.sending.clone(),
            self.pool.clone(),
            self.me.id().to_owned(),
            wake,
        );
        let lanes_left = Coordinator::new(self, lanes, woken).run()?;
        Ok(Ended { lanes_left })
    }

    /// Has it end: from now on it takes no lane, and its lanes have `timeout` for what they have in flight. Returns at
    /// once.
    pub fn stop(&self, timeout: Duration) {
        *lock(&self.stop_by) = Some(Instant::now() + timeout);
        self.stop.ask();
        if let Some(wake) = &*lock(&self.wake) {
            // It may have ended by itself.
            let _ = wake.send(());
        }
    }

    /// What it does, and has done.
    pub fn figures(&self) -> Figures {
        let standing = lock(&self.standing);
        let pause = self.board.pause();
        let away = standing.away.as_ref();
        let is_blocked = self.board.blocked().is_some();
        let hindered = match (away, &pause) {
            _ if self.stop.is_asked() => Some("this relay is ending".to_owned()),
            (Some(away), _) if away.is_lasting() || standing.lanes == 0 => {
                Some(format!("the database cannot be reached: {}", away.why))
            }
            (_, Some(pause)) if is_blocked => Some(format!(
                "paused ({}): the API refuses the address of this host: {}; share it with Meditopia, or end this relay; others go on",
                pause.reason, pause.message
            )),
            (_, Some(pause)) => Some(format!("paused ({}): {}", pause.reason, pause.message)),
            _ if standing.lanes == 0 => Some("the database was not reached yet".to_owned()),
            _ => None,
        };
        let now = clock::now();
        let overdue = |expected: Moment| expected.until(now);
        let done = &self.sending.done;
        let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            lanes: standing.lanes,
            lanes_owned: standing.lanes_owned,
            sorts: standing.sorts,
            delivered: counted(&done.delivered),
            rejected: counted(&done.rejected),
            expired: counted(&done.expired),
            requests: counted(&done.requests),
            away_since_ms: away.map(|away| away.since_ms),
            is_blocked,
            is_paused: pause.is_some(),
            hindered,
            overdue: standing.expected.map_or(Duration::ZERO, overdue),
        }
    }

    /// The events of the whole fleet that are in the database and still to be delivered. Blocks as long as a
    /// statement may take.
    ///
    /// # Errors
    /// Those of [`Pool::with`].
    pub fn pending(&self) -> Result<i64> {
        self.pool.with(poll::pending)
    }

    fn say(&self, level: Level, text: &str) {
        self.log.write(level, format_args!("{}: {text}", self.name));
    }
}

/// Locks `mutex`: each change of what is behind one is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
