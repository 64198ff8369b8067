//! Reading a table around its damage.
//!
//! SQLite stops at the first page that it cannot read. A scan goes on behind it: by searching for the
//! next row that can be reached, and by asking for every row that only an index still knows.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};

use crate::error::Result;

/// Runs `sql` to its end or to the first error of SQLite; says the last thing that was wrong.
pub(super) fn each(
    old: &Connection,
    sql: &str,
    mut row: impl FnMut(&Row<'_>) -> Option<String>,
) -> Option<String> {
    let mut damage = None;
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = old.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(next) = rows.next()? {
            if let Some(what) = row(next) {
                damage = Some(what);
            }
        }
        Ok(())
    };
    let stopped = read().err().map(|e| e.to_string());
    stopped.or(damage)
}

/// A table with numbered rows, and an index that knows the numbers too.
pub(super) struct Scan<'a> {
    pub(super) old: &'a Connection,
    pub(super) columns: &'static str,
    pub(super) table: &'static str,
    pub(super) index: &'static str,
}

#[derive(Default)]
pub(super) struct Scanned {
    pub(super) lost: u64,
    pub(super) damage: Option<String>,
}

impl Scan<'_> {
    /// Reads every row that can be reached.
    pub(super) fn read<T>(
        &self,
        parse: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        mut keep: impl FnMut(T) -> Result<()>,
    ) -> Result<Scanned> {
        let mut scanned = Scanned::default();
        let (mut seen, mut bad) = (BTreeSet::new(), BTreeSet::new());
        let (mut after, mut resumed) = (i64::MIN, i64::MIN);
        loop {
            let stopped = self.from(after, |id, row| {
                after = after.max(id);
                match parse(row) {
                    Ok(parsed) if seen.insert(id) => return keep(parsed),
                    // A page that two others lead to.
                    Ok(_) => {}
                    Err(e) => {
                        bad.insert(id);
                        scanned.damage = Some(e.to_string());
                    }
                }
                Ok(())
            })?;
            let Some(stopped) = stopped else { break };
            scanned.damage = Some(stopped);
            match self.next_reachable(after) {
                // Numbers on a damaged page may stand in any order: only forward, or this has no end.
                Some(next) if next > after && next - 1 > resumed => {
                    // Its predecessor, because the scan begins behind.
                    after = next - 1;
                    resumed = after;
                }
                _ => break,
            }
        }
        let mut indexed = BTreeSet::new();
        each(self.old, self.index, |row| {
            indexed.extend(row.get::<_, i64>(0));
            None
        });
        for &id in indexed.difference(&seen) {
            if bad.contains(&id) {
                continue;
            }
            let sql = format!("SELECT {} FROM {} WHERE id = ?", self.columns, self.table);
            match self.old.query_row(&sql, [id], |row| parse(row)) {
                Ok(parsed) => keep(parsed)?,
                Err(e) => {
                    bad.insert(id);
                    scanned.damage = Some(e.to_string());
                }
            }
        }
        scanned.lost = bad.len() as u64;
        Ok(scanned)
    }

    /// Reads rows behind `after`; says where SQLite stopped.
    fn from(
        &self,
        after: i64,
        mut row: impl FnMut(i64, &Row<'_>) -> Result<()>,
    ) -> Result<Option<String>> {
        let sql = format!(
            "SELECT {} FROM {} WHERE id > ? ORDER BY id",
            self.columns, self.table
        );
        let mut kept = Ok(());
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.old.prepare(&sql)?;
            let mut rows = statement.query([after])?;
            while let Some(next) = rows.next()? {
                kept = row(next.get(0)?, next);
                if kept.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let stopped = read().err().map(|e| e.to_string());
        kept.map(|()| stopped)
    }

    /// The first row behind `after` that a search reaches, beyond a page that it cannot pass.
    fn next_reachable(&self, after: i64) -> Option<i64> {
        let sql = format!(
            "SELECT id, {} FROM {} WHERE id >= ? ORDER BY id LIMIT 1",
            self.columns, self.table
        );
        let from = |id: i64| {
            self.old
                .query_row(&sql, [id], |row| row.get::<_, i64>(0))
                .ok()
        };
        let after = after.max(0);
        let mut step = 1_i64;
        let (mut fails, mut works) = (after, None);
        while works.is_none() {
            let id = after.checked_add(step)?;
            works = from(id);
            if works.is_none() {
                fails = id;
                step = step.checked_mul(2)?;
            }
        }
        let mut reached = works?;
        let mut low = fails;
        let mut high = after + step;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match from(middle) {
                Some(id) => (high, reached) = (middle, id),
                None => low = middle,
            }
        }
        Some(reached)
    }
}
