//! The way to the database: connecting, finding where the spool is there, and sending one statement.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use meditopia::internals::client::{Forwarding, Handover};

use super::{Forwarder, Trouble, lock};
use crate::connection::Connection;
use crate::failure::STEP_LOST;
use crate::parcel::Parcel;
use crate::place::Place;
use crate::spool::{self, Forwarded, Spool};

/// How long a statement may take. The database may commit it later all the same.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

impl Forwarder<'_> {
    /// Connects, makes sure that it is the fleet of the spool's events, and learns where the spool is.
    pub(super) fn connect(&mut self, journal: &Mutex<Forwarding>) -> Result<(), Trouble> {
        let mut connection = Connection::open(&self.options.address)?;
        connection.set_statement_timeout(STATEMENT_TIMEOUT);
        let place = Place::of(&mut connection)?;
        place.check_destination(
            &self.options.endpoint,
            &self.options.account,
            "the events of this spool are",
            "forward to another database, or change the spool with meditopia adopt",
        )?;
        self.find_position(&mut connection, journal)?;
        self.connection = Some(connection);
        self.last_used = Instant::now();
        self.is_idle = false;
        self.say_reached();
        Ok(())
    }

    fn find_position(
        &self,
        connection: &mut Connection,
        journal: &Mutex<Forwarding>,
    ) -> Result<(), Trouble> {
        let id = lock(journal).record().id.clone();
        let standing = Spool::begin(
            connection,
            &id,
            &self.options.host,
            env!("CARGO_PKG_VERSION"),
        )?;
        lock(journal).found(standing.step, &standing.offsets)?;
        Ok(())
    }

    /// Learns where the spool is in the database.
    pub(super) fn ask(&mut self, journal: &Mutex<Forwarding>) -> Result<(), Trouble> {
        let Some(mut connection) = self.connection.take() else {
            return self.connect(journal);
        };
        self.last_used = Instant::now();
        self.find_position(&mut connection, journal)?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Sends a statement, until it is known what came of it.
    pub(super) fn send(
        &mut self,
        journal: &Mutex<Forwarding>,
        handover: Handover,
    ) -> Result<(), Trouble> {
        let id = lock(journal).record().id.clone();
        let Some(mut connection) = self.connection.take() else {
            return self.connect(journal);
        };
        self.last_used = Instant::now();
        let was_idle = std::mem::take(&mut self.is_idle);
        let parcels: Vec<Parcel> = handover.parcels.into_iter().map(Parcel::from).collect();
        let forwarded = Forwarded {
            mark: &handover.mark,
            offsets: &handover.offsets,
            behind_bytes: i64::try_from(handover.behind_bytes).unwrap_or(i64::MAX),
            behind_since_ms: handover.behind_since_ms,
            closed: handover.closed,
            parcels: &parcels,
        };
        match spool::forward(&mut connection, &id, handover.step, &forwarded) {
            Ok(_) => {
                self.connection = Some(connection);
                lock(journal).confirm()?;
                self.forwarded += handover.events;
                Ok(())
            }
            // A statement of this spool has come before it: its own one, whose outcome was not known, or another's.
            Err(failure) if failure.is_refused_with(STEP_LOST) => {
                self.find_position(&mut connection, journal)?;
                self.connection = Some(connection);
                Ok(())
            }
            // A server or a pooler may end a connection that carries nothing. That is no failure: the position says
            // what came of the statement, and a new connection carries it.
            Err(_) if was_idle && connection.has_ended() => self.connect(journal),
            Err(failure) => Err(failure.into()),
        }
    }
}
