//! Rows of the receipts.

use rusqlite::{Connection, Result, Row, params};

use crate::store::checksum::Checksum;
use crate::store::receipts::{Receipt, ReceiptFilter, Shares, first_id_of};

pub(in crate::store) const RECEIPT_COLUMNS: &str =
    "id, time_ms, http_status, attempts, events, shares, crc";
/// A receipt from so far in the future was written while the clock was wrong, and may go.
const FUTURE_MS: i64 = 24 * 3_600_000;

pub(in crate::store) fn write_receipt(
    connection: &Connection,
    id: Option<i64>,
    receipt: &Receipt,
) -> Result<()> {
    // Grows also where the clock was set back.
    connection
        .prepare_cached(
            "INSERT INTO receipts VALUES
             (coalesce(?1, max(?2, (SELECT coalesce(max(id) + 1, 0) FROM receipts))), ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            id,
            first_id_of(receipt.time_ms),
            receipt.time_ms,
            receipt.http_status,
            receipt.attempts,
            receipt.events,
            receipt.shares.as_bytes(),
            receipt_checksum(receipt).column(),
        ])
        .map(drop)
}

fn receipt_checksum(receipt: &Receipt) -> Checksum {
    Checksum::default()
        .numbers([
            receipt.time_ms,
            receipt.http_status.into(),
            receipt.attempts.into(),
            receipt.events.into(),
        ])
        .bytes(receipt.shares.as_bytes())
}

/// A row of `RECEIPT_COLUMNS`.
pub(in crate::store) fn receipt(row: &Row<'_>) -> Result<(i64, Receipt)> {
    let id = row.get(0)?;
    let receipt = Receipt {
        time_ms: row.get(1)?,
        http_status: row.get(2)?,
        attempts: row.get(3)?,
        events: row.get(4)?,
        shares: Shares::from_bytes(row.get(5)?),
    };
    receipt_checksum(&receipt).verify(row.get(6)?, format_args!("receipt {id}"))?;
    Ok((id, receipt))
}

/// The next `limit` receipts of the time that `filter` names, whoever is in them.
pub(in crate::store) fn read_receipts(
    connection: &Connection,
    filter: &ReceiptFilter,
    limit: usize,
) -> Result<Vec<(i64, Receipt)>> {
    let from_ms = filter.from_ms.unwrap_or(i64::MIN);
    let after = first_id_of(from_ms).saturating_sub(1).max(filter.after_id);
    connection
        .prepare_cached(&format!(
            "SELECT {RECEIPT_COLUMNS} FROM receipts
             WHERE id > ? AND time_ms >= ? AND time_ms < ? ORDER BY id LIMIT ?"
        ))?
        .query_map(
            params![
                after,
                from_ms,
                filter.until_ms.unwrap_or(i64::MAX),
                limit as i64
            ],
            receipt,
        )?
        .collect()
}

/// Forgets which of the first `limit` receipts are older than `before_ms`; says how many.
pub(in crate::store) fn forget_receipts(
    connection: &Connection,
    before_ms: i64,
    now_ms: i64,
    limit: usize,
) -> Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM receipts WHERE id IN (
               SELECT id FROM (SELECT id, time_ms FROM receipts ORDER BY id LIMIT ?)
               WHERE time_ms < ? OR time_ms > ?)",
        )?
        .execute(params![
            limit as i64,
            before_ms,
            now_ms.saturating_add(FUTURE_MS)
        ])
}

/// Whether the first receipt may go.
pub(in crate::store) fn has_old_receipts(
    connection: &Connection,
    before_ms: i64,
    now_ms: i64,
) -> Result<bool> {
    connection
        .prepare_cached(
            "SELECT coalesce(max(time_ms < ? OR time_ms > ?), 0)
             FROM (SELECT time_ms FROM receipts ORDER BY id LIMIT 1)",
        )?
        .query_row(
            params![before_ms, now_ms.saturating_add(FUTURE_MS)],
            |row| row.get(0),
        )
}
