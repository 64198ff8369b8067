//! The connections of a relay: a few, which all its threads share.
//!
//! A connection is opened when it is first needed, and asked which database it reaches. One that breaks takes
//! those that lie idle with it: they most likely lead to the same server that is gone, and each would cost some
//! lane a statement whose outcome is not known.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::connection::Connection;
use crate::failure::{Failure, Outcome, Result, WRONG_PLACE};
use crate::place::Place;

/// How long a statement may take. The database may commit it later all the same.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for a connection that is free. Each is kept no longer than a statement may take, and
/// many callers may stand in line.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// After a connection could not be opened, nobody tries again for a time between these: the shortest doubles with
/// each failure up to the longest.
const SHORTEST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Connections to the store, at most so many at once.
#[derive(Debug)]
pub struct Pool {
    address: Address,
    connections: usize,
    statement_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Those that are in use or being opened.
    in_use: usize,
    /// Who waits, in the order of their coming: a lane must not be overtaken for ever. Only the first is woken.
    line: VecDeque<Arc<Condvar>>,
    /// How many connections have broken.
    breaks: u64,
    /// What the database was when it was first reached.
    place: Option<Place>,
    away: Option<Away>,
}

/// The store cannot be reached.
#[derive(Debug)]
struct Away {
    failure: Failure,
    failures: u32,
    until: Instant,
}

impl Pool {
    /// Nothing is opened yet.
    pub fn new(address: Address, connections: usize) -> Self {
        Self {
            address,
            connections: connections.max(1),
            statement_timeout: STATEMENT_TIMEOUT,
            state: Mutex::default(),
        }
    }

    /// Sets the deadline of each statement; 10 s if this is not called.
    #[must_use]
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Calls `f` with a connection, which is opened if none is idle. Waits while all are in use, 30 s at most.
    ///
    /// After a failure to connect nobody tries again for a while, see [`Pool::rest`]: until then this fails at
    /// once with what the last attempt has failed with.
    ///
    /// # Errors
    /// Those of [`Connection::open`], [`Place::of`] and `f`. [`Outcome::Unreachable`]: no connection has become
    /// free. [`WRONG_PLACE`]: the fleet is not any more what it was when this pool first reached it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut taken = self.take()?;
        let connection = match taken.connection.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        f(taken.connection.insert(connection))
    }

    /// How many connections have broken so far. What a caller remembers of the database from before such a break
    /// may be newer than the database is: a server that was away may have come back as an older one.
    pub fn breaks(&self) -> u64 {
        self.lock().breaks
    }

    /// How long nobody tries to connect, because the last attempt has failed; zero if it has not.
    pub fn rest(&self) -> Duration {
        let state = self.lock();
        let until = state.away.as_ref().map(|away| away.until);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// What the database is.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn place(&self) -> Result<Place> {
        self.with(Place::of)
    }

    fn take(&self) -> Result<Taken<'_>> {
        let give_up = Instant::now() + TURN_TIMEOUT;
        let turn = Arc::new(Condvar::new());
        let mut state = self.lock();
        state.line.push_back(turn.clone());
        loop {
            let is_first = state.line.front().is_some_and(|it| Arc::ptr_eq(it, &turn));
            if is_first && state.in_use < self.connections {
                state.line.pop_front();
                break;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.line.retain(|waiting| !Arc::ptr_eq(waiting, &turn));
                state.wake_first();
                let message = format!(
                    "store {}: all {} connections are busy for {TURN_TIMEOUT:?}; raise store_connections, or find out why the database is slow",
                    self.address.shown(),
                    self.connections
                );
                return Err(Failure::new(Outcome::Unreachable, message));
            }
            state = wait(&turn, state, left);
        }
        // The next in line may find another one free.
        state.wake_first();
        while let Some(connection) = state.idle.pop() {
            if !connection.is_broken() {
                state.in_use += 1;
                return Ok(self.taken(Some(connection)));
            }
            // The server has ended it meanwhile; no statement was lost with it.
            state.note_break();
        }
        if let Some(away) = &state.away
            && Instant::now() < away.until
        {
            return Err(away.failure.clone());
        }
        state.in_use += 1;
        Ok(self.taken(None))
    }

    fn taken(&self, connection: Option<Connection>) -> Taken<'_> {
        Taken {
            pool: self,
            connection,
        }
    }

    fn open(&self) -> Result<Connection> {
        let opened = Connection::open(&self.address).and_then(|mut connection| {
            connection.set_statement_timeout(self.statement_timeout);
            let place = Place::of(&mut connection)?;
            Ok((connection, place))
        });
        let mut state = self.lock();
        let (connection, place) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                state.note_away(&failure);
                return Err(failure);
            }
        };
        let known = state.place.get_or_insert_with(|| place.clone());
        if (known.lanes, &known.endpoint, &known.account)
            != (place.lanes, &place.endpoint, &place.account)
        {
            let sqlstate = WRONG_PLACE.to_owned();
            let message = "the fleet of this database was changed while this relay ran; start the relay again";
            let failure = Failure::new(Outcome::Refused { sqlstate }, message);
            state.note_away(&failure);
            return Err(failure);
        }
        state.away = None;
        Ok(connection)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_first(&self) {
        if let Some(turn) = self.line.front() {
            turn.notify_one();
        }
    }

    fn note_break(&mut self) {
        self.breaks += 1;
        self.idle.clear();
    }

    fn note_away(&mut self, failure: &Failure) {
        let failures = self.away.as_ref().map_or(0, |away| away.failures);
        let bound = SHORTEST_REST * 2_u32.saturating_pow(failures.min(8));
        let bound = bound.min(LONGEST_REST).as_secs_f64();
        let shortest = SHORTEST_REST.as_secs_f64();
        // Full jitter: relays that lost the database at the same moment do not come back at the same moment.
        let rest = shortest + fastrand::f64() * (bound - shortest).max(0.0);
        self.away = Some(Away {
            failure: failure.clone(),
            failures: failures.saturating_add(1),
            until: Instant::now() + Duration::from_secs_f64(rest),
        });
    }
}

/// A place in the pool, with a connection once it is open. It goes back at the end, also of a panic.
struct Taken<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.in_use -= 1;
        match self.connection.take() {
            Some(connection) if !connection.is_broken() && !std::thread::panicking() => {
                state.idle.push(connection);
            }
            Some(_) => state.note_break(),
            None => {}
        }
        state.wake_first();
    }
}

fn wait<'a>(
    turn: &Condvar,
    state: MutexGuard<'a, State>,
    timeout: Duration,
) -> MutexGuard<'a, State> {
    let waited = turn.wait_timeout(state, timeout);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
