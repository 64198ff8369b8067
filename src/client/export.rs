//! Rejected events as NDJSON, one JSON object in each line, for tools that correct or count them.

use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::cursor::Cursor;
use super::row::{Row, RowReason};
use crate::error::{Error, ErrorKind, Result};

#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    reason: &'static str,
    may_be_delivered: bool,
    api_code: &'a str,
    message: &'a str,
    http_status: Option<u16>,
    attempts: u32,
    first_ms: i64,
    last_ms: i64,
    event: &'a RawValue,
}

/// Writes the rest of the list, and returns the number of lines.
pub(super) fn write_all(mut rows: Cursor, out: &mut dyn Write) -> Result<usize> {
    let mut lines = 0;
    while let Some(row) = rows.next_row()? {
        let line = row.to_json()? + "\n";
        out.write_all(line.as_bytes())
            .map_err(|e| Error::io("export", e))?;
        lines += 1;
    }
    out.flush().map_err(|e| Error::io("export", e))?;
    Ok(lines)
}

impl Row {
    /// The row as one JSON object on one line, as
    /// [`export_rejected`](super::Client::export_rejected) writes it.
    ///
    /// Errors: [`ErrorKind::Internal`] if the event is not JSON.
    pub fn to_json(&self) -> Result<String> {
        let line = serde_json::to_string(&describe(self)?)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("export: {e}")))?;
        // An `event_value` keeps its white space. JSON strings hold no raw line break, so each one
        // here stands between two tokens.
        Ok(line.replace(['\n', '\r'], " "))
    }
}

fn describe(row: &Row) -> Result<Line<'_>> {
    let reason = match row.reason {
        RowReason::Refused { .. } => "refused",
        RowReason::Expired { .. } => "expired",
        RowReason::SetAside => "set_aside",
        RowReason::InDoubt => "in_doubt",
        RowReason::Pending => "pending",
        RowReason::Journalled => "journalled",
    };
    Ok(Line {
        id: row.id,
        reason,
        may_be_delivered: row.reason.may_be_delivered(),
        api_code: &row.api_code,
        message: &row.message,
        http_status: row.http_status,
        attempts: row.attempts,
        first_ms: row.first_ms,
        last_ms: row.last_ms,
        event: serde_json::from_str(&row.event_json).map_err(|e| {
            let id = row.id;
            Error::new(ErrorKind::Internal, format!("rejected event {id}: {e}"))
        })?,
    })
}
