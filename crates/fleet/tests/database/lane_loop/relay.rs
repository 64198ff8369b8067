//! A fleet with its API, and relays of it: what a relay's coordinator does, step by step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use meditopia::internals::clock;
use meditopia::internals::config::{BearerToken, CurrentToken, TokenSource};
use meditopia::internals::delivery::Policy;
use meditopia::internals::lanes::{Command, LaneOptions};
use meditopia::internals::log::{Level, Log};
use meditopia::internals::process::random_uuid;
use meditopia::internals::store::Run;
use meditopia::internals::transport::{self, Transport};
use meditopia_fleet::lane_store::{LaneStore, LeaseHandle, LeaseLengths};
use meditopia_fleet::relay::Done;
use meditopia_fleet::relay::board::Board;
use meditopia_fleet::relay::inbox::Asked;
use meditopia_fleet::relay::lane::{Ended, LaneThread, Sending};
use meditopia_fleet::relay::pool::Pool;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::wait::wait_until;

use crate::fleet::{address, set_up};
use crate::sorted::sort;

pub struct Fleet {
    pub server: &'static PostgresServer,
    pub database: String,
    pub api: Sandbox,
    sorter: Pool,
}

/// What differs between tests.
#[derive(Clone)]
pub struct Setup {
    pub policy: Policy,
    pub request_timeout: Duration,
    /// `None`: as long as it has to be.
    pub lease_in_doubt: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: Policy {
                flush_interval: Duration::from_millis(1),
                ..Policy::default()
            },
            request_timeout: Duration::from_secs(30),
            lease_in_doubt: None,
        }
    }
}

impl Setup {
    pub fn brake_users(mut self, users: u32) -> Self {
        self.policy.brake_users = users;
        self
    }
}

impl Fleet {
    pub fn start() -> Self {
        let (server, database) = set_up();
        let sorter = Pool::new(address(&server.url(&database)), 1);
        Self {
            server,
            database,
            api: Sandbox::start(),
            sorter,
        }
    }

    pub fn relay(&self) -> Relay<'_> {
        self.relay_with(&Setup::default())
    }

    pub fn relay_without_token(&self) -> Relay<'_> {
        self.relay_of(&Setup::default(), &TokenSource::Absent)
    }

    pub fn relay_with(&self, setup: &Setup) -> Relay<'_> {
        let token = BearerToken::new(self.api.token()).unwrap();
        self.relay_of(setup, &TokenSource::Given(token))
    }

    fn relay_of(&self, setup: &Setup, token: &TokenSource) -> Relay<'_> {
        let tokens = Arc::new(CurrentToken::from_source(token));
        let log = Arc::new(Log::new(Some(Level::Debug)));
        let options = transport::Options {
            request_timeout: setup.request_timeout,
            ..transport::Options::new(self.api.endpoint())
        };
        let sending = Sending {
            transport: Transport::new(&options).unwrap(),
            connect_timeout: options.connect_timeout,
            request_timeout: options.request_timeout,
            board: Arc::new(Board::new(&setup.policy, tokens.clone(), log.clone())),
            tokens,
            options: LaneOptions {
                policy: setup.policy.clone(),
                event_ttl: None,
                receipts_kept: None,
            },
            log,
            done: Done::default(),
        };
        let lengths = LeaseLengths {
            idle: Duration::from_secs(10),
            in_doubt: setup.lease_in_doubt.unwrap_or(sending.lease_in_doubt()),
        };
        Relay {
            fleet: self,
            pool: Arc::new(Pool::new(address(&self.server.url(&self.database)), 4)),
            id: random_uuid(),
            sending: Arc::new(sending),
            lengths,
            threads: Mutex::default(),
            leases: Mutex::default(),
        }
    }

    /// Appends one run to a lane: events of these users, with these numbers.
    pub fn sort(&self, lane: i16, events: &[(&str, u64)]) {
        let mut run = Run::default();
        for (user, number) in events {
            let fragment = format!(
                r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
            );
            run.push(fragment.as_bytes(), clock::now().wall_ms);
        }
        sort(&self.sorter, lane, &[&run]);
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql)
    }

    fn number(&self, sql: &str) -> i64 {
        self.sql(sql).parse().unwrap()
    }

    /// Events that wait in lanes.
    pub fn pending(&self) -> i64 {
        self.number("SELECT (SELECT sum(n) FROM meditopia.sorter, unnest(appended) n) - sum(left_events) FROM meditopia.lane")
    }

    /// Leases of lanes that somebody has.
    pub fn leases(&self) -> i64 {
        self.number("SELECT count(*) FROM meditopia.lane WHERE lease_until > clock_timestamp()")
    }

    pub fn step(&self, lane: i16) -> i64 {
        self.number(&format!(
            "SELECT step FROM meditopia.lane WHERE lane = {lane}"
        ))
    }

    pub fn rejected_users(&self) -> String {
        self.sql("SELECT string_agg(\"user\", ' ' ORDER BY \"user\") FROM meditopia.rejected")
    }

    pub fn refused_in_a_row(&self) -> i64 {
        self.number("SELECT count(*) FROM meditopia.refused_in_a_row")
    }
}

pub struct Relay<'a> {
    fleet: &'a Fleet,
    pool: Arc<Pool>,
    id: String,
    pub sending: Arc<Sending>,
    lengths: LeaseLengths,
    threads: Mutex<Vec<LaneThread>>,
    leases: Mutex<BTreeMap<i16, Arc<LeaseHandle>>>,
}

impl Relay<'_> {
    pub fn board(&self) -> &Board {
        &self.sending.board
    }

    /// Takes the lease of a lane, which has to be free, and starts its thread.
    pub fn own(&self, lane: i16) {
        let store = LaneStore::open(self.pool.clone(), lane, &self.id, self.lengths);
        self.start(lane, store.unwrap().expect("the lane is free"));
    }

    /// Opens a lane again whose thread has ended and whose lease this relay has.
    pub fn own_again(&self, lane: i16) {
        let lease = self.leases.lock().unwrap()[&lane].clone();
        let store = LaneStore::open_again(&lease).unwrap();
        self.start(lane, store.expect("the lease lasts"));
    }

    fn start(&self, lane: i16, store: LaneStore) {
        let lease = store.lease();
        self.leases.lock().unwrap().insert(lane, lease.clone());
        let sending = self.sending.clone();
        let thread = LaneThread::start(sending, lane, Box::new(store), lease, || ()).unwrap();
        self.threads.lock().unwrap().push(thread);
    }

    pub fn wake(&self, lane: i16) {
        self.with(lane, LaneThread::wake);
    }

    pub fn with<T>(&self, lane: i16, f: impl FnOnce(&LaneThread) -> T) -> T {
        let threads = self.threads.lock().unwrap();
        f(threads.iter().find(|thread| thread.lane() == lane).unwrap())
    }

    /// Has a lane carry out a command, and waits for the answer.
    pub fn ask(&self, lane: i16, command: Command) -> usize {
        let (answer, answered) = mpsc::channel();
        let answer = Box::new(move |changed| answer.send(changed).unwrap());
        self.with(lane, |thread| thread.ask(Asked { command, answer }));
        answered.recv().unwrap().unwrap()
    }

    /// Looks how many users were refused in a row, as a relay does when it polls.
    pub fn poll(&self) {
        let asked = clock::now();
        let users = usize::try_from(self.fleet.refused_in_a_row()).unwrap();
        self.board().count_refused(users, asked);
    }

    /// Has a lane idle until it has looked whether there is something to send, found nothing, and renewed its lease.
    pub fn wait_until_idle(&self, lane: i16) {
        let step = self.fleet.step(lane);
        wait_until("the idle lane renews its lease", || {
            self.fleet.step(lane) > step
        });
    }

    /// Waits until the thread of a lane has ended by itself.
    pub fn wait_for_end(&self, lane: i16) -> Ended {
        wait_until("the lane's thread has ended", || {
            self.with(lane, LaneThread::has_ended)
        });
        let mut threads = self.threads.lock().unwrap();
        let at = threads
            .iter()
            .position(|thread| thread.lane() == lane)
            .unwrap();
        threads.remove(at).join()
    }

    /// Ends all lanes.
    pub fn stop(&self) -> Vec<Ended> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap());
        threads.iter().for_each(LaneThread::stop);
        threads.into_iter().map(LaneThread::join).collect()
    }

    /// What was logged since the last call.
    pub fn logged(&self) -> Vec<String> {
        std::iter::from_fn(|| self.sending.log.next())
            .map(|record| record.message)
            .collect()
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
