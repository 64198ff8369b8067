//! A fleet whose rows stand as hosts, the sorter and owners of lanes write them.

use meditopia::internals::client::Row;
use meditopia::internals::dispatch::lane_of;
use meditopia::internals::event::user_of;
use meditopia::internals::store::{Receipt, Rejected, SavedLane, Shares};
use meditopia_fleet::address::Address;
use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::look::Look;
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::parcel::{Parcel, checksum};
use meditopia_testkit::postgres_server::PostgresServer;
use tokio_postgres::types::Type;

use crate::fleet::{address, connect, set_up};

pub const LANES: usize = 4;

pub struct World {
    pub server: &'static PostgresServer,
    pub database: String,
    pub connection: Connection,
    last_run: i64,
}

/// The fragment of a user's event.
pub fn fragment(user: &str, value: usize) -> Vec<u8> {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{value}","received_at":"2024-08-06 15:04:05"}}"#
    )
    .into_bytes()
}

pub fn lane(user: &str) -> i16 {
    lane_of(user.as_bytes(), LANES) as i16
}

impl World {
    pub fn new() -> Self {
        let (server, database) = set_up();
        Self {
            connection: connect(&server.url(&database)),
            server,
            database,
            last_run: 0,
        }
    }

    pub fn address(&self) -> Address {
        address(&self.server.url(&self.database))
    }

    pub fn look(&self) -> Look {
        Look::open(&self.address()).unwrap()
    }

    pub fn sql(&self, statement: &str) -> String {
        self.server.sql(&self.database, statement)
    }

    /// A host hands events in, as one parcel.
    pub fn hand_in(&mut self, events: &[(&str, usize)]) {
        let mut parcel = Parcel::default();
        for (user, value) in events {
            parcel.push(&fragment(user, *value), 1_000 + *value as i64);
        }
        let (events, body, slots) = (parcel.len() as i16, parcel.body(), parcel.slots());
        let sum = checksum(body, &slots);
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
            (&events, Type::INT2),
            (&body, Type::BYTEA),
            (&slots, Type::BYTEA),
            (&&sum[..], Type::BYTEA),
        ];
        self.connection
            .query(
                "INSERT INTO meditopia.parcel (events, body, slots, checksum) VALUES ($1, $2, $3, $4)",
                &values,
            )
            .unwrap();
    }

    /// Takes all parcels over into lanes, a run for each lane and parcel.
    pub fn sort(&mut self) {
        let rows = self
            .connection
            .query(
                "DELETE FROM meditopia.parcel RETURNING id, body, slots, checksum",
                &[],
            )
            .unwrap();
        let mut parcels: Vec<(i64, Parcel)> = rows
            .iter()
            .map(|row| {
                let (body, slots) = (column(row, 1).unwrap(), column(row, 2).unwrap());
                let parcel = Parcel::decode(body, slots, column(row, 3).unwrap());
                (column(row, 0).unwrap(), parcel.unwrap())
            })
            .collect();
        parcels.sort_by_key(|(id, _)| *id);
        for (_, parcel) in parcels {
            let mut lanes = [(); LANES].map(|()| Parcel::default());
            for (fragment, enqueued_ms) in parcel.events() {
                lanes[lane_of(user_of(fragment), LANES)].push(fragment, enqueued_ms);
            }
            for (lane, run) in (0..).zip(lanes).filter(|(_, run)| !run.is_empty()) {
                self.append(lane, &run);
            }
        }
    }

    fn append(&mut self, lane: i16, run: &Parcel) {
        self.last_run += 1;
        let (events, body, slots) = (run.len() as i16, run.body(), run.slots());
        let sum = checksum(body, &slots);
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
            (&lane, Type::INT2),
            (&self.last_run, Type::INT8),
            (&events, Type::INT2),
            (&body, Type::BYTEA),
            (&slots, Type::BYTEA),
            (&&sum[..], Type::BYTEA),
        ];
        self.connection
            .query(
                "WITH put AS (INSERT INTO meditopia.run (lane, queue, id, origin, events, body, slots, checksum)
                   VALUES ($1, 0, $2, $2, $3, $4, $5, $6))
                 UPDATE meditopia.sorter SET step = step + 1, last_run = $2, appended[$1 + 1] = appended[$1 + 1] + $3",
                &values,
            )
            .unwrap();
    }

    /// What the owner of a lane knows of it.
    pub fn save(&mut self, lane: i16, saved: &SavedLane) {
        let (state, totals) = (saved.encode_state(), saved.encode_totals());
        let since = saved.state.in_doubt.map(|batch| batch.first_ms);
        self.connection
            .query(
                "UPDATE meditopia.lane SET step = step + 1, state = $2, totals = $3, in_doubt_since_ms = $4 WHERE lane = $1",
                &[
                    (&lane, Type::INT2),
                    (&state, Type::BYTEA),
                    (&totals, Type::BYTEA),
                    (&since, Type::INT8),
                ],
            )
            .unwrap();
    }

    pub fn reject(&mut self, id: i64, event: &Rejected) {
        self.connection
            .query(
                "INSERT INTO meditopia.rejected VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 400, 1, $9, $10)",
                &[
                    (&id, Type::INT8),
                    (&lane(&event.user), Type::INT2),
                    (&event.user, Type::TEXT),
                    (&event.event, Type::BYTEA),
                    (&(event.reason as i16), Type::INT2),
                    (&event.may_be_delivered, Type::BOOL),
                    (&event.api_code, Type::TEXT),
                    (&event.message, Type::TEXT),
                    (&event.first_ms, Type::INT8),
                    (&event.last_ms, Type::INT8),
                ],
            )
            .unwrap();
    }

    pub fn receipt(&mut self, lane: i16, id: i64, time_ms: i64, users: &[&str]) {
        let fragments: Vec<_> = users.iter().map(|user| fragment(user, 0)).collect();
        let receipt = Receipt {
            time_ms,
            http_status: 204,
            attempts: 1,
            events: users.len() as u32,
            shares: Shares::of(fragments.iter().map(|fragment| &fragment[..])),
        };
        self.connection
            .query(
                "INSERT INTO meditopia.receipt VALUES ($1, $2, $3, 204, 1, $4, $5)",
                &[
                    (&lane, Type::INT2),
                    (&id, Type::INT8),
                    (&time_ms, Type::INT8),
                    (&(receipt.events as i16), Type::INT2),
                    (&receipt.shares.as_bytes(), Type::BYTEA),
                ],
            )
            .unwrap();
    }
}

/// The rest of a list.
pub fn rest(pages: &mut PendingPages, look: &mut Look) -> Vec<Row> {
    let mut all = Vec::new();
    loop {
        let page = pages.next_page(look).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
