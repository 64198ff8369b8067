//! What operators see of a fleet, in short statements that only read: one for each page of a list, and none stays
//! open between two. So nothing here holds back a vacuum, a relay or a host, and the role `meditopia_read` is enough.
//!
//! The tables hold what relays and hosts work with, so a list is as of the moments in which its pages were read.

pub mod figures;
pub mod in_doubt;
pub mod lane_now;
pub mod pending;
pub mod receipts;
pub mod rejected;
pub mod restored;
mod runs;
pub mod server;

use meditopia::internals::dispatch::lane_of;
use meditopia::internals::event;

use crate::address::Address;
use crate::connection::Connection;
use crate::failure::Result;
use crate::place::Place;

/// A fleet, as an operator has it open.
#[derive(Debug)]
pub struct Look {
    /// Its database.
    pub connection: Connection,
    /// What the database says of it.
    pub place: Place,
}

impl Look {
    /// Connects to look, also at a copy.
    ///
    /// # Errors
    /// Those of [`Connection::open`] and [`Place::read`]; the schema has a version that this program does not know.
    pub fn open(address: &Address) -> Result<Self> {
        let mut connection = Connection::open(address)?;
        let place = Place::read(&mut connection)?;
        place.check_version()?;
        Ok(Self { connection, place })
    }

    /// Connects to change something, which needs the role `meditopia_relay`.
    ///
    /// # Errors
    /// Those of [`Connection::open`] and [`Place::of`].
    pub fn open_to_change(address: &Address) -> Result<Self> {
        let mut connection = Connection::open(address)?;
        let place = Place::of(&mut connection)?;
        Ok(Self { connection, place })
    }

    /// The lane of a `partner_user_id`: all of a user's events that are sorted stand there.
    pub fn lane_of(&self, user: &str) -> i16 {
        // At most 256.
        lane_of(&event::escaped_user(user), self.place.lanes.into()) as i16
    }

    /// The lanes in which events of `user` stand, or all lanes.
    pub(crate) fn lanes_of(&self, user: Option<&str>) -> Vec<i16> {
        match user {
            Some(user) => vec![self.lane_of(user)],
            None => (0..self.place.lanes.cast_signed()).collect(),
        }
    }
}
