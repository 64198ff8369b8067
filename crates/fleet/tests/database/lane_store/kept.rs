//! A lane in a database of its own, and what others do to it: the sorter, and whoever ends a lease.

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::process::random_uuid;
use meditopia::internals::store::conformance::{Has, Kept, Opened};
use meditopia::internals::store::{Change, Place, Receipt, Run, Shares, Store};
use meditopia_fleet::connection::column;
use meditopia_fleet::lane_store::{LaneStore, LeaseLengths};
use meditopia_fleet::relay::pool::Pool;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;
use tokio_postgres::types::Type;

use crate::fleet::{address, set_up};
use crate::sorted::sort;

/// Not the first one: a store calls its lane 0.
pub const LANE: i16 = 3;
pub const LENGTHS: LeaseLengths = LeaseLengths {
    idle: Duration::from_secs(10),
    in_doubt: Duration::from_secs(45),
};

/// A fleet whose lane is opened again and again, by another relay each time.
pub struct InDatabase {
    pub server: &'static PostgresServer,
    pub database: String,
    /// Of a relay, which has a relay's rights.
    pub pool: Arc<Pool>,
    /// Of a superuser.
    others: Pool,
}

/// Makes the user that relays log in as.
pub fn make_relay_user(server: &PostgresServer, database: &str) -> &'static str {
    server.sql(
        database,
        "DO $$ BEGIN CREATE ROLE lane_owner LOGIN IN ROLE meditopia_relay;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    );
    "lane_owner"
}

impl InDatabase {
    pub fn new() -> Self {
        let (server, database) = set_up();
        Self::of(server, database)
    }

    pub fn of(server: &'static PostgresServer, database: String) -> Self {
        let user = make_relay_user(server, &database);
        let pool = Pool::new(address(&server.url_as(user, &database)), 2);
        let others = Pool::new(address(&server.url(&database)), 1);
        Self {
            server,
            database,
            pool: Arc::new(pool),
            others,
        }
    }

    /// A pool of a relay whose statements have this deadline.
    pub fn pool_with_deadline(&self, deadline: Duration) -> Arc<Pool> {
        let url = self.server.url_as("lane_owner", &self.database);
        Arc::new(Pool::new(address(&url), 1).with_statement_timeout(deadline))
    }

    /// A pool of a relay whose connections go through this port.
    pub fn pool_through(&self, port: u16) -> Arc<Pool> {
        let url = format!("postgres://lane_owner@127.0.0.1:{port}/{}", self.database);
        Arc::new(Pool::new(address(&url), 1))
    }

    /// Takes the lane over, whoever has it.
    pub fn take_over(&self) -> LaneStore {
        self.take_over_by(&self.pool)
    }

    pub fn take_over_by(&self, pool: &Arc<Pool>) -> LaneStore {
        self.try_to_take_over(pool).unwrap()
    }

    pub fn try_to_take_over(&self, pool: &Arc<Pool>) -> Option<LaneStore> {
        self.sql("UPDATE meditopia.lane SET lease_until = '-infinity'");
        LaneStore::open(pool.clone(), LANE, &random_uuid(), LENGTHS).unwrap()
    }

    /// One statement of a superuser, and the texts of its rows.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let rows = self.others.with(|connection| {
            let rows = connection.query(sql, &[])?;
            let texts = rows.iter().map(|row| column::<String>(row, 0));
            texts.collect::<Result<Vec<_>, _>>()
        });
        rows.unwrap().join("\n")
    }

    /// The step of the lane.
    pub fn step(&self) -> i64 {
        let step = format!("SELECT step::text FROM meditopia.lane WHERE lane = {LANE}");
        self.sql(&step).parse().unwrap()
    }

    /// Appends runs to the regular queue as the sorter does, in one statement.
    pub fn sort(&self, runs: &[&Run]) {
        // The ids of both queues are times; within a millisecond they may be the same, and lists would name runs by them.
        let past = "SELECT (extract(epoch FROM clock_timestamp()) * 1000 - 1735689600000 > max(last_suspect_run) + 1)::text FROM meditopia.lane";
        wait_until("the last suspects' run is older", || {
            self.sql(past) == "true"
        });
        sort(&self.others, LANE, runs);
    }
}

impl Kept for InDatabase {
    fn has(&self) -> Has {
        Has {
            lanes: 1,
            regular_appends: false,
            counted_bytes: false,
            lives: 6,
        }
    }

    fn another(&self) -> Box<dyn Kept> {
        Box::new(Self::new())
    }

    fn append(&self, store: &mut dyn Store, runs: &[(Place, &Run)]) {
        for (place, run) in runs {
            let (place, origin) = (*place, None);
            match place.queue {
                0 => self.sort(&[run]),
                _ => {
                    let append = Change::Append { place, origin, run };
                    store.commit(&[append]).unwrap();
                }
            }
        }
    }

    fn open(&self) -> Opened {
        Opened::Store(Box::new(self.take_over()))
    }

    fn receipts(&self) -> Vec<Receipt> {
        let read = self.pool.with(|connection| {
            let rows = connection.query(
                "SELECT time_ms, http_status, attempts, events, shares FROM meditopia.receipt WHERE lane = $1 ORDER BY id",
                &[(&LANE, Type::INT2)],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(Receipt {
                        time_ms: column(row, 0)?,
                        http_status: column::<i16>(row, 1)?.unsigned_abs(),
                        attempts: column::<i32>(row, 2)?.unsigned_abs(),
                        events: u32::from(column::<i16>(row, 3)?.unsigned_abs()),
                        shares: Shares::from_bytes(column(row, 4)?),
                    })
                })
                .collect()
        });
        read.unwrap()
    }
}
