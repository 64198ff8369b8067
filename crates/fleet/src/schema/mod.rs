//! The schema `meditopia`: made once by a script, and grown by numbered steps.
//!
//! A script is one transaction that says so itself, and what `meditopia fleet sql` prints is what
//! `meditopia fleet init` runs. All steps run as the role `meditopia_owner`, which cannot log in and owns
//! everything, under a lock that only they take. A step only adds; what a step makes useless is removed a
//! version later, so that processes of two neighbouring versions work side by side.

use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};

/// The version that this program makes.
pub const VERSION: i32 = STEPS.len() as i32;
/// The oldest version that it works with.
pub const OLDEST_VERSION: i32 = if VERSION > 1 { VERSION - 1 } else { 1 };

const STEPS: [Step; 1] = [Step(&[include_str!("1.sql"), include_str!("enqueue.sql")])];
const ROLES: &str = include_str!("roles.sql");
const RIGHTS: &str = include_str!("rights.sql");

/// The oldest server that it works with, as `server_version_num` has it.
const OLDEST_SERVER: i32 = 130_000;

/// What makes a version out of the one before it.
#[derive(Debug, Clone, Copy)]
struct Step(&'static [&'static str]);

/// What a fleet is set up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Over how many lanes users are spread, 1 to 256: so many requests may be in flight.
    pub lanes: u16,
    /// The URL that events are posted to.
    pub endpoint: String,
    /// The account that the events are of.
    pub account: String,
    /// Minutes east of UTC that the times of events which SQL enqueues are converted to.
    pub utc_offset_minutes: i32,
    /// The largest event that SQL enqueues, in bytes.
    pub max_event_bytes: u32,
}

/// The script that sets a fleet up. Whoever runs it may create roles, and schemas in this database.
pub fn install_script(plan: &Plan) -> String {
    let mut script = begin();
    script.push_str(&checks());
    script.push_str(ROLES);
    script.push_str("\nCREATE SCHEMA meditopia AUTHORIZATION meditopia_owner;\n");
    script.push_str("SET LOCAL ROLE meditopia_owner;\n");
    for Step(parts) in STEPS {
        for part in parts {
            script.push('\n');
            script.push_str(part);
        }
    }
    script.push('\n');
    script.push_str(RIGHTS);
    script.push_str(&first_rows(plan));
    script.push_str("\nRESET ROLE;\nCOMMIT;\n");
    script
}

fn begin() -> String {
    "BEGIN;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('meditopia.schema'));\n"
        .to_owned()
}

fn checks() -> String {
    format!(
        "DO $$
BEGIN
  IF pg_catalog.current_setting('server_version_num')::int < {OLDEST_SERVER} THEN
    RAISE EXCEPTION 'this server is PostgreSQL %, and the fleet needs 13 or later', pg_catalog.current_setting('server_version')
      USING ERRCODE = 'MD005';
  END IF;
  IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'this database is in %, and events need UTF8; create another database with ENCODING ''UTF8'' TEMPLATE template0',
      pg_catalog.current_setting('server_encoding') USING ERRCODE = 'MD005';
  END IF;
  IF pg_catalog.to_regnamespace('meditopia') IS NOT NULL THEN
    RAISE EXCEPTION 'this database has a schema meditopia already; see it with: meditopia fleet hosts' USING ERRCODE = 'MD005';
  END IF;
END
$$;
"
    )
}

fn first_rows(plan: &Plan) -> String {
    let Plan {
        lanes,
        endpoint,
        account,
        utc_offset_minutes,
        max_event_bytes,
    } = plan;
    let (endpoint, account) = (literal(endpoint), literal(account));
    format!(
        "
INSERT INTO meditopia.meta (version, lanes, endpoint, account, utc_offset_minutes, max_event_bytes, system_identifier, database)
SELECT {VERSION}, {lanes}, {endpoint}, {account}, {utc_offset_minutes}, {max_event_bytes}, system_identifier, pg_catalog.current_database()
FROM pg_catalog.pg_control_system();
INSERT INTO meditopia.lane (lane, step, lease_until, first_run, first_suspect_run, last_suspect_run, last_rejected,
  state, totals, delivered, rejected, expired, left_events)
SELECT lane, 0, '-infinity', 0, 0, 0, 0, '', '', 0, 0, 0, 0 FROM pg_catalog.generate_series(0, {lanes} - 1) AS lane;
INSERT INTO meditopia.sorter (one, step, lease_until, last_run, appended)
VALUES (1, 0, '-infinity', 0, pg_catalog.array_fill(0::bigint, ARRAY[{lanes}]));
SELECT meditopia.keep_receipts(7);
"
    )
}

/// A text between quotes, as a server with standard_conforming_strings reads it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Sets a fleet up, in a database that has none.
///
/// # Errors
/// [`Outcome::Refused`]: the server says why, and nothing was changed.
pub fn install(connection: &mut Connection, plan: &Plan) -> Result<()> {
    connection.run_script(&install_script(plan))
}

/// Brings an older schema to [`VERSION`]; the version that it had.
///
/// # Errors
/// [`Outcome::Unusable`]: a newer program has made it. [`Outcome::Refused`]: nothing was changed.
pub fn upgrade(connection: &mut Connection) -> Result<i32> {
    upgrade_by(connection, &STEPS)
}

fn upgrade_by(connection: &mut Connection, steps: &[Step]) -> Result<i32> {
    let row = connection.query_one("SELECT version FROM meditopia.fleet()", &[])?;
    let version: i32 = column(&row, 0)?;
    let newest = steps.len() as i32;
    if version > newest || version < 1 {
        let message = format!(
            "the database has version {version} of the schema, and this program knows up to {newest}; use a newer one"
        );
        return Err(Failure::new(Outcome::Unusable, message));
    }
    if version < newest {
        connection.run_script(&upgrade_script(version, steps))?;
    }
    Ok(version)
}

/// The script that makes the newest version of version `from`.
fn upgrade_script(from: i32, steps: &[Step]) -> String {
    let mut script = begin();
    script.push_str("SET LOCAL ROLE meditopia_owner;\n");
    // Two upgrades at once: the second waited for the lock.
    script.push_str(&format!(
        "DO $$
BEGIN
  IF (SELECT version FROM meditopia.meta) <> {from} THEN
    RAISE EXCEPTION 'another process has upgraded this database meanwhile; run the command again' USING ERRCODE = 'MD005';
  END IF;
END
$$;
"
    ));
    for Step(parts) in &steps[from as usize..] {
        for part in *parts {
            script.push_str(part);
            script.push('\n');
        }
    }
    script.push_str(RIGHTS);
    let newest = steps.len();
    script.push_str(&format!(
        "UPDATE meditopia.meta SET version = {newest};\nRESET ROLE;\nCOMMIT;\n"
    ));
    script
}

#[cfg(test)]
mod tests;
