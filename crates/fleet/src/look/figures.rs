//! The sums of a fleet, and what stops its lanes.

use meditopia::internals::clock::wall_ms;
use meditopia::internals::store::{PauseState, SavedLane, Totals};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Look;
use super::lane_now::unusable;
use crate::connection::column;
use crate::failure::Result;
use crate::hold::Hold;
use crate::lane_store::decode_marks;
use crate::parcel::decode_slots;

/// Parcels that are looked at for the oldest event: they stand in the order in which they came.
const FIRST_PARCELS: i64 = 200;

/// A fleet at one moment.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// When this was read: wall time of this process in milliseconds.
    pub now_ms: i64,
    /// Events in lanes.
    pub sorted: u64,
    /// Events in parcels.
    pub in_parcels: u64,
    /// When the oldest of them was enqueued, as far as the heads of the queues and the first parcels say.
    pub oldest_pending_ms: Option<i64>,
    /// Events in doubt: those of requests in flight, and of those that no answer has settled.
    pub in_doubt: u64,
    /// Since when the first batch is in doubt, on the clock of a relay.
    pub in_doubt_since_ms: Option<i64>,
    /// Sums over the lanes: requests, delivered, rejected and expired events.
    pub totals: Totals,
    /// An operator's hold.
    pub hold: Option<Hold>,
    /// The lanes that are paused, each with why.
    pub pauses: Vec<(i16, PauseState)>,
    /// Lanes in which something waits and that rest after failed requests, each with the end of the rest.
    pub resting: Vec<(i16, i64)>,
    /// Lanes that no relay owns.
    pub without_owner: u64,
    /// How many rejections operators still allow.
    pub allowed_rejections: u64,
}

impl Figures {
    /// Events that are not delivered yet.
    pub fn pending(&self) -> u64 {
        self.sorted + self.in_parcels
    }
}

impl Look {
    /// The sums. Those of lanes and parcels are of one moment.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query); a lane's row cannot be read.
    pub fn figures(&mut self) -> Result<Figures> {
        let rows = self.connection.query(
            "SELECT l.lane, l.state, l.totals, l.delivered, l.rejected, l.expired, s.appended[l.lane + 1] - l.left_events,
               l.in_doubt_since_ms, l.lease_until > clock_timestamp() AND l.owner IS NOT NULL,
               regular.slots, regular.marks, suspects.slots, suspects.marks,
               (SELECT coalesce(sum(p.events), 0)::bigint FROM meditopia.parcel p),
               (SELECT m.hold::text FROM meditopia.meta m)
             FROM meditopia.lane l
             CROSS JOIN (SELECT appended FROM meditopia.sorter WHERE one = 1 ORDER BY step DESC LIMIT 1) AS s
             LEFT JOIN LATERAL (SELECT r.slots, r.marks FROM meditopia.run r
               WHERE r.lane = l.lane AND r.queue = 0 AND r.id >= l.first_run ORDER BY r.id LIMIT 1) AS regular ON true
             LEFT JOIN LATERAL (SELECT r.slots, r.marks FROM meditopia.run r
               WHERE r.lane = l.lane AND r.queue = 1 AND r.id >= l.first_suspect_run ORDER BY r.id LIMIT 1) AS suspects ON true
             ORDER BY l.lane",
            &[],
        )?;
        let mut figures = Figures {
            now_ms: wall_ms(),
            ..Figures::default()
        };
        for row in &rows {
            figures.add_lane(row)?;
        }
        if figures.in_parcels > 0 {
            let parcels = self.connection.query(
                "SELECT slots FROM meditopia.parcel ORDER BY id LIMIT $1",
                &[(&FIRST_PARCELS, Type::INT8)],
            )?;
            for row in &parcels {
                figures.note_oldest(column(row, 0)?, None);
            }
        }
        Ok(figures)
    }
}

impl Figures {
    fn add_lane(&mut self, row: &Row) -> Result<()> {
        let number = |at| column::<i64>(row, at).map(|number| number.max(0).unsigned_abs());
        let lane: i16 = column(row, 0)?;
        let saved = SavedLane::decode(column(row, 1)?, column(row, 2)?);
        let saved = saved.ok_or_else(|| unusable(lane, "cannot be read"))?;
        let pending = number(6)?;
        self.sorted += pending;
        self.in_parcels = number(13)?;
        self.hold = column::<Option<&str>>(row, 14)?.map(Hold::decode);
        self.without_owner += u64::from(!column::<bool>(row, 8)?);
        let totals = &mut self.totals;
        totals.delivered += number(3)?;
        totals.rejected += number(4)?;
        totals.expired += number(5)?;
        totals.requests += saved.totals.requests;
        totals.retried_requests += saved.totals.retried_requests;
        totals.refused_requests += saved.totals.refused_requests;
        totals.isolation_requests += saved.totals.isolation_requests;
        self.allowed_rejections += saved.totals.measures.allowed_rejections;
        let in_doubt = saved.state.in_doubt.map_or(0, |batch| batch.events);
        self.in_doubt += u64::from(in_doubt);
        let since: Option<i64> = column(row, 7)?;
        self.in_doubt_since_ms = earliest(self.in_doubt_since_ms, since);
        if let Some(until) = saved
            .rest
            .until_ms
            .filter(|until| *until > self.now_ms && pending > 0)
        {
            self.resting.push((lane, until));
        }
        self.pauses.extend(saved.pause.map(|pause| (lane, pause)));
        for at in [9, 11] {
            if let Some(slots) = column::<Option<&[u8]>>(row, at)? {
                self.note_oldest(slots, column(row, at + 1)?);
            }
        }
        Ok(())
    }

    /// Of what is damaged, lists tell.
    fn note_oldest(&mut self, slots: &[u8], marks: Option<&[u8]>) {
        let marks = decode_marks(marks).unwrap_or_default();
        let slots = decode_slots(slots).unwrap_or_default();
        let waiting = (0..128)
            .zip(slots)
            .filter(|(place, _)| marks >> place & 1 == 0);
        let oldest = waiting.map(|(_, slot)| slot.enqueued_ms).min();
        self.oldest_pending_ms = earliest(self.oldest_pending_ms, oldest);
    }
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
