//! The pending events of a fleet: those in lanes in the order of their runs, then those in parcels.
//!
//! An event moves from a parcel into a run, and nothing is held while a list is read. So at its end the list looks
//! once more at the runs that were sorted since the parcels were begun with, and leaves out what it has listed in
//! a parcel: no event is left out or listed twice because it was sorted meanwhile.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use meditopia::internals::client::{
    FIRST_JOURNAL_ID, PendingFilter, Row, RowReason, is_listed, pending_row,
};
use meditopia::internals::event;
use meditopia::internals::store::{StoredRun, pending_event_id};
use tokio_postgres::types::Type;

use super::Look;
use super::runs::{RUN_COLUMNS, parcel, stored_run};
use crate::connection::column;
use crate::failure::Result;

/// Runs or parcels of a page: 3,200 events at most.
const PAGE_ROWS: i64 = 32;
/// So many events of parcels are remembered; of a longer list an event can be listed twice.
const REMEMBERED: usize = 1_000_000;
/// Places of a parcel that ids of events have room for.
const PLACES: i64 = 128;

/// How far a list of pending events was read.
#[derive(Debug)]
pub struct PendingPages {
    filter: PendingFilter,
    escaped_user: Option<Vec<u8>>,
    /// What the bodies of a user's runs and parcels have in them.
    mark: Option<Vec<u8>>,
    /// What was in doubt when the list was begun, by lane and id.
    in_doubt: HashMap<(i16, i64), Row>,
    /// What was listed in parcels, by a hash, and how often: only what can be sorted while the list is read.
    in_parcels: HashMap<u64, u32>,
    next: Next,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Begin,
    /// The runs behind this one: id, lane, queue.
    Runs((i64, i16, i16)),
    /// The parcels behind this one; the last run that was sorted when they were begun with.
    Parcels {
        after: i64,
        last_run: i64,
    },
    /// The runs behind this one that were sorted meanwhile.
    SortedSince((i64, i16, i16)),
    End,
}

/// A page of runs with their lanes and queues, and the last run that the sorter had made by then.
struct Runs {
    runs: Vec<(i16, i16, StoredRun)>,
    last_run: i64,
}

impl PendingPages {
    /// The events that `filter` takes; its `after_id` is not read.
    pub fn new(filter: PendingFilter) -> Self {
        let escaped_user = filter.user.as_deref().map(event::escaped_user);
        Self {
            mark: escaped_user.as_deref().map(event::mark_of_user),
            escaped_user,
            filter,
            in_doubt: HashMap::new(),
            in_parcels: HashMap::new(),
            next: Next::Begin,
        }
    }

    /// The next events; none at the end.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query); a row is damaged.
    pub fn next_page(&mut self, look: &mut Look) -> Result<Vec<Row>> {
        let mut page = Vec::new();
        while page.is_empty() {
            self.next = match self.next {
                Next::Begin => {
                    let lanes = look.lanes_of(self.filter.user.as_deref());
                    let in_doubt = look.in_doubt_in(&lanes)?.into_iter();
                    self.in_doubt = in_doubt
                        .map(|event| ((event.lane, event.row.id), event.row))
                        .collect();
                    Next::Runs((i64::MIN, -1, -1))
                }
                Next::Runs(after) => {
                    let read = self.runs(look, after)?;
                    let last = self.list_runs(&read, &mut page);
                    match read.runs.len() as i64 == PAGE_ROWS {
                        true => Next::Runs(last.unwrap_or(after)),
                        false => Next::Parcels {
                            after: i64::MIN,
                            last_run: read.last_run,
                        },
                    }
                }
                Next::Parcels { after, last_run } => {
                    match self.list_parcels(look, after, &mut page)? {
                        Some(after) => Next::Parcels { after, last_run },
                        None => Next::SortedSince((last_run, i16::MAX, 0)),
                    }
                }
                Next::SortedSince(after) => {
                    let mut read = self.runs(look, after)?;
                    let is_full = read.runs.len() as i64 == PAGE_ROWS;
                    let last = read
                        .runs
                        .last()
                        .map(|(lane, queue, run)| (run.id, *lane, *queue));
                    // The suspects' runs hold what was sorted before.
                    read.runs.retain(|(_, queue, _)| *queue == 0);
                    self.leave_out_listed(&mut read);
                    self.list_runs(&read, &mut page);
                    match is_full {
                        true => Next::SortedSince(last.unwrap_or(after)),
                        false => Next::End,
                    }
                }
                Next::End => return Ok(page),
            };
        }
        Ok(page)
    }

    fn runs(&self, look: &mut Look, (id, lane, queue): (i64, i16, i16)) -> Result<Runs> {
        let lanes = look.lanes_of(self.filter.user.as_deref());
        // The first few of each queue from the index, and the rows of the first of those alone.
        let rows = look.connection.query(
            &format!(
                "SELECT s.last_run, r.lane, r.queue, {RUN_COLUMNS}
                 FROM (SELECT last_run FROM meditopia.sorter WHERE one = 1 ORDER BY step DESC LIMIT 1) AS s
                 LEFT JOIN (
                   SELECT n.* FROM meditopia.lane l CROSS JOIN (VALUES (0::smallint), (1::smallint)) AS q(queue)
                   CROSS JOIN LATERAL (
                     SELECT i.id, i.lane, i.queue FROM meditopia.run i
                     WHERE i.lane = l.lane AND i.queue = q.queue AND (i.id, i.lane, i.queue) > ($2, $3, $4)
                       AND i.id >= greatest($2, CASE q.queue WHEN 0 THEN l.first_run ELSE l.first_suspect_run END)
                       AND ($5::bytea IS NULL OR position($5 IN i.body) > 0)
                     ORDER BY i.id LIMIT $6
                   ) AS n WHERE l.lane = ANY($1) ORDER BY n.id, n.lane, n.queue LIMIT $6
                 ) AS f ON true
                 LEFT JOIN meditopia.run r ON r.lane = f.lane AND r.queue = f.queue AND r.id = f.id
                 ORDER BY r.id, r.lane, r.queue"
            ),
            &[
                (&lanes, Type::INT2_ARRAY),
                (&id, Type::INT8),
                (&lane, Type::INT2),
                (&queue, Type::INT2),
                (&self.mark, Type::BYTEA),
                (&PAGE_ROWS, Type::INT8),
            ],
        )?;
        let mut read = Runs {
            runs: Vec::with_capacity(rows.len()),
            last_run: 0,
        };
        for row in &rows {
            read.last_run = column(row, 0)?;
            if let Some(run) = stored_run(row, 3)? {
                read.runs.push((column(row, 1)?, column(row, 2)?, run));
            }
        }
        Ok(read)
    }

    /// Lists the events of runs, and says the last run.
    fn list_runs(&self, read: &Runs, page: &mut Vec<Row>) -> Option<(i64, i16, i16)> {
        for (lane, _, stored) in &read.runs {
            for (place, fragment, enqueued_ms) in stored.waiting() {
                if self.takes(fragment, enqueued_ms) {
                    let id = pending_event_id(stored.id, place, fragment);
                    let doubt = self.in_doubt.get(&(*lane, id));
                    page.push(pending_row(id, fragment, enqueued_ms, doubt));
                }
            }
        }
        let last = read.runs.last();
        last.map(|(lane, queue, stored)| (stored.id, *lane, *queue))
    }

    /// Lists the events of the next parcels, and says the last parcel if there may be more.
    fn list_parcels(
        &mut self,
        look: &mut Look,
        after: i64,
        page: &mut Vec<Row>,
    ) -> Result<Option<i64>> {
        let rows = look.connection.query(
            "SELECT p.id, p.body, p.slots, p.checksum FROM meditopia.parcel p
             WHERE p.id > $1 AND ($2::bytea IS NULL OR position($2 IN p.body) > 0) ORDER BY p.id LIMIT $3",
            &[
                (&after, Type::INT8),
                (&self.mark, Type::BYTEA),
                (&PAGE_ROWS, Type::INT8),
            ],
        )?;
        let mut last = None;
        for row in &rows {
            let (id, parcel) = parcel(row, 0)?;
            last = Some(id);
            for (place, (fragment, enqueued_ms)) in (0..).zip(parcel.events()) {
                if self.takes(fragment, enqueued_ms) {
                    if self.in_parcels.len() < REMEMBERED {
                        *self
                            .in_parcels
                            .entry(hash(fragment, enqueued_ms))
                            .or_default() += 1;
                    }
                    page.push(Row {
                        reason: RowReason::Journalled,
                        message: "no relay has sorted it yet".to_owned(),
                        ..pending_row(
                            FIRST_JOURNAL_ID + id * PLACES + place,
                            fragment,
                            enqueued_ms,
                            None,
                        )
                    });
                }
            }
        }
        Ok(last.filter(|_| rows.len() as i64 == PAGE_ROWS))
    }

    /// Marks what was listed in a parcel as if it had left its run.
    fn leave_out_listed(&mut self, read: &mut Runs) {
        for (_, _, stored) in &mut read.runs {
            let mut listed = Vec::new();
            for (place, fragment, enqueued_ms) in stored.waiting() {
                if let Some(times) = self.in_parcels.get_mut(&hash(fragment, enqueued_ms))
                    && *times > 0
                {
                    *times -= 1;
                    listed.push(place);
                }
            }
            for place in listed {
                stored.mark(place);
            }
        }
    }

    fn takes(&self, fragment: &[u8], enqueued_ms: i64) -> bool {
        let user = self.escaped_user.as_deref();
        is_listed(&self.filter, user, fragment, enqueued_ms)
    }
}

fn hash(fragment: &[u8], enqueued_ms: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (fragment, enqueued_ms).hash(&mut hasher);
    hasher.finish()
}
