//! Which database this is, and whether the fleet may be used in it.
//!
//! A clone of the database would deliver everything a second time. So the fleet remembers the server's system
//! identifier and the database's name, and every process refuses another one until an operator adopts it. A
//! copy of a server's files has the same identifier: against that, only its operator can take care.

use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result, WRONG_PLACE};
use crate::schema::{OLDEST_VERSION, VERSION};

/// What the database says of its fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The version of its schema.
    pub version: i32,
    /// Over how many lanes users are spread.
    pub lanes: u16,
    /// The URL that events are posted to.
    pub endpoint: String,
    /// The account that the events are of.
    pub account: String,
    /// Whether it is the database that the fleet was set up in, or adopted since.
    pub is_at_home: bool,
}

const NO_SCHEMA: &str = "3F000";
const NO_FUNCTION: &str = "42883";
const NO_RIGHT: &str = "42501";

impl Place {
    /// Asks the database, whichever it is.
    ///
    /// # Errors
    /// Those of [`Connection::query`]; they say what to do where there is no fleet or no right.
    pub fn read(connection: &mut Connection) -> Result<Self> {
        let asked = connection.query_one(
            "SELECT version, lanes, endpoint, account, is_at_home FROM meditopia.fleet()",
            &[],
        );
        let row = asked.map_err(explain)?;
        let lanes: i16 = column(&row, 1)?;
        Ok(Self {
            version: column(&row, 0)?,
            lanes: lanes.unsigned_abs(),
            endpoint: column(&row, 2)?,
            account: column(&row, 3)?,
            is_at_home: column(&row, 4)?,
        })
    }

    /// Refuses a schema that this program does not know.
    ///
    /// # Errors
    /// [`Outcome::Unusable`]: what to do about it.
    pub fn check_version(&self) -> Result<()> {
        let version = self.version;
        if version > VERSION {
            return Err(unusable(format!(
                "the database has version {version} of the schema, and this program knows up to {VERSION}; use a newer one"
            )));
        }
        if version < OLDEST_VERSION {
            return Err(unusable(format!(
                "the database has version {version} of the schema, and this program needs {OLDEST_VERSION}; run: meditopia fleet upgrade"
            )));
        }
        Ok(())
    }

    /// Asks the database, and refuses one that this program must not work in.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Outcome::Unusable`] for another version; [`WRONG_PLACE`] for a clone.
    pub fn of(connection: &mut Connection) -> Result<Self> {
        let place = Self::read(connection)?;
        place.check_version()?;
        match place.is_at_home {
            true => Ok(place),
            false => Err(wrong_place(
                "this database is a copy, or was moved: two copies would deliver every event twice. If no other one will ever be used, run: meditopia fleet adopt".to_owned(),
            )),
        }
    }

    /// Refuses a fleet that sends elsewhere than `what` is for; `advice` says what to do.
    ///
    /// # Errors
    /// [`WRONG_PLACE`].
    pub fn check_destination(
        &self,
        endpoint: &str,
        account: &str,
        what: &str,
        advice: &str,
    ) -> Result<()> {
        if (self.endpoint.as_str(), self.account.as_str()) == (endpoint, account) {
            return Ok(());
        }
        let shown = |endpoint: &str, account: &str| match account {
            "" => endpoint.to_owned(),
            account => format!("{endpoint} (account {account})"),
        };
        Err(wrong_place(format!(
            "the fleet of this database sends to {}, and {what} for {}; {advice}",
            shown(&self.endpoint, &self.account),
            shown(endpoint, account)
        )))
    }
}

fn unusable(message: String) -> Failure {
    Failure::new(Outcome::Unusable, message)
}

fn wrong_place(message: String) -> Failure {
    let sqlstate = WRONG_PLACE.to_owned();
    Failure::new(Outcome::Refused { sqlstate }, message)
}

/// Says what to do where the question itself fails.
fn explain(failure: Failure) -> Failure {
    let advice = if failure.is_refused_with(NO_SCHEMA) || failure.is_refused_with(NO_FUNCTION) {
        "there is no fleet in this database; set one up with: meditopia fleet init"
    } else if failure.is_refused_with(NO_RIGHT) {
        "this user has none of the fleet's roles; GRANT it meditopia_forward, meditopia_relay or meditopia_read"
    } else {
        return failure;
    };
    Failure::new(failure.outcome().clone(), format!("store: {advice}"))
}

/// Makes the database that is connected the fleet's home, and changes its endpoint and account if they are given.
///
/// # Errors
/// Those of [`Connection::query`]; this needs the rights of meditopia_owner.
pub fn adopt(
    connection: &mut Connection,
    endpoint: Option<&str>,
    account: Option<&str>,
) -> Result<()> {
    let rows = connection.query(
        "UPDATE meditopia.meta SET database = current_database(),
          system_identifier = (SELECT system_identifier FROM pg_control_system()),
          endpoint = coalesce($1, endpoint), account = coalesce($2, account) RETURNING 1",
        &[(&endpoint, Type::TEXT), (&account, Type::TEXT)],
    )?;
    match rows.len() {
        1 => Ok(()),
        _ => Err(unusable("store: meditopia.meta has no row".to_owned())),
    }
}
