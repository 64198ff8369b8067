//! What an owner reads of its lane when it has just taken the lease, or after an error.

use std::collections::{BTreeSet, HashMap};

use meditopia::internals::store::{SavedLane, Suspect};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::known::KnownRuns;
use super::runs::{SORTER, no_sorter};
use super::state::{ServerTime, State};
use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};
use crate::relay::lease::FIRST_COLUMNS;

/// Reads the lane whose row the statement has returned that took its lease or read it again. What belongs to the
/// lane changes by its owner alone, so it need not be the same snapshot.
pub(super) fn read(connection: &mut Connection, lane: i16, row: &Row) -> Result<State> {
    // The time that the row says is older than that of the next answer, and the next one has none.
    let time = ServerTime::said(column(row, 1)?);
    let number = |at: usize| column::<i64>(row, FIRST_COLUMNS + at);
    let (state, totals): (&[u8], &[u8]) = (
        column(row, FIRST_COLUMNS + 4)?,
        column(row, FIRST_COLUMNS + 5)?,
    );
    let saved = SavedLane::decode(state, totals).ok_or_else(|| {
        let message = format!(
            "store: lane {lane}: its state in meditopia.lane is damaged, or a newer program wrote it; use that one, or restore the row from a backup"
        );
        Failure::new(Outcome::Unusable, message)
    })?;
    let last_suspect_run = number(2)?;
    let beside = beside(connection, lane)?;
    Ok(State {
        lane,
        saved,
        known: [KnownRuns::default(), KnownRuns::default()],
        first_runs: [number(0)?, number(1)?],
        last_suspect_run,
        stored_suspect_run: last_suspect_run,
        last_run: beside.last_run,
        appended_events: beside.appended_events,
        left_events: number(9)?,
        last_rejected: number(3)?,
        last_receipt: 0,
        suspects: beside.suspects,
        refused_in_a_row: beside.refused_in_a_row,
        time,
    })
}

struct Beside {
    last_run: i64,
    appended_events: i64,
    suspects: HashMap<Vec<u8>, Suspect>,
    refused_in_a_row: BTreeSet<String>,
}

/// What stands in other rows.
fn beside(connection: &mut Connection, lane: i16) -> Result<Beside> {
    let suspects = |what: &str| {
        format!("ARRAY(SELECT {what} FROM meditopia.suspect WHERE lane = $1 ORDER BY \"user\")")
    };
    let row = connection.query_one(
        &format!(
            "SELECT s.last_run, s.appended[$1 + 1], {}, {}, {}, ARRAY(SELECT \"user\" FROM meditopia.refused_in_a_row) FROM {SORTER} AS s",
            suspects("\"user\""),
            suspects("waiting"),
            suspects("accepted")
        ),
        &[(&lane, Type::INT2)],
    )?;
    let users: Vec<Vec<u8>> = column(&row, 2)?;
    let waiting: Vec<i64> = column(&row, 3)?;
    let accepted: Vec<bool> = column(&row, 4)?;
    let suspects = users.into_iter().zip(waiting.into_iter().zip(accepted));
    let suspects = suspects.map(|(user, (waiting, accepted))| {
        let suspect = Suspect {
            user: user.clone(),
            lane: 0,
            waiting: waiting.unsigned_abs(),
            accepted,
        };
        (user, suspect)
    });
    let refused: Vec<String> = column(&row, 5)?;
    Ok(Beside {
        last_run: column(&row, 0)?,
        appended_events: column::<Option<i64>>(&row, 1)?.ok_or_else(no_sorter)?,
        suspects: suspects.collect(),
        refused_in_a_row: refused.into_iter().collect(),
    })
}
