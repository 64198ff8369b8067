//! Forwarding a spool to a database, and what others see of it.

use std::sync::Arc;

use super::spool_client::Client;
use crate::clock::BootTime;
use crate::error::Result;
use crate::sender::forward::{self, Forwarding, Record};
use crate::spool::{self, Heartbeat, Spool};

/// What of a spool's forwarding can be seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// What its forwarder has noted.
    pub record: Record,
    /// Everything enqueued before this is forwarded.
    pub upto: BootTime,
}

/// Wakes the forwarder of a spool.
#[derive(Clone)]
pub struct Waker(Arc<Spool>);

impl Waker {
    /// Has it look at once. Nobody may hear it.
    pub fn wake(&self) {
        forward::wake_up(&self.0);
    }
}

impl Client {
    /// Takes the spool for forwarding to the database that `store` names, which must hold no password; `None`:
    /// another process sends from it or forwards it. It is this client's log that says what is found.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`](crate::ErrorKind::SpoolMismatch) if a sender has taken events over
    /// that it has not settled; [`ErrorKind::Store`](crate::ErrorKind::Store), [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn forwarding(&self, store: &str) -> Result<Option<Forwarding>> {
        let core = self.core()?;
        Forwarding::begin(core.spool.clone(), core.log.clone(), store)
    }

    /// What is seen of the spool's forwarding; `None`: it is not forwarded. Errors: as
    /// [`stats`](Self::stats).
    pub fn forwarded(&self) -> Result<Option<Forwarded>> {
        let spool = &self.core()?.spool;
        let Some(record) = Record::read(spool)? else {
            return Ok(None);
        };
        let heartbeat = Heartbeat::read(spool)?.unwrap_or_default();
        Ok(Some(Forwarded {
            record,
            upto: heartbeat.taken_upto(),
        }))
    }

    /// Now, as a time that [`Forwarded::upto`] is compared with. Errors: the client is closed.
    pub fn spool_time(&self) -> Result<BootTime> {
        Ok(self.core()?.spool.boot_time())
    }

    /// How messages name the spool. Errors: the client is closed.
    pub fn spool_name(&self) -> Result<String> {
        Ok(self.core()?.spool.name())
    }

    /// The endpoint and account that the spool belongs to. Errors: those of
    /// [`describe`](crate::spool::describe).
    pub fn destination(&self) -> Result<(String, String)> {
        let known = spool::describe(self.core()?.spool.dir())?;
        Ok((known.endpoint, known.account))
    }

    /// The disk is full: has applications stop, and what is forwarded be noted in the room that is left. Errors:
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn release_reserve(&self) -> Result<()> {
        self.core()?.spool.reserve().release()
    }

    /// What wakes the spool's forwarder. Errors: the client is closed.
    pub fn forwarder_waker(&self) -> Result<Waker> {
        Ok(Waker(self.core()?.spool.clone()))
    }

    /// Asks the forwarder to close the spool once everything is forwarded. Errors: [`ErrorKind::Io`](crate::error::ErrorKind::Io).
    pub fn ask_to_close(&self) -> Result<()> {
        forward::ask_to_close(&self.core()?.spool)
    }

    /// Whether the forwarder has yet to do so.
    pub fn is_asked_to_close(&self) -> Result<bool> {
        forward::is_asked_to_close(&self.core()?.spool)
    }

    /// Takes that back.
    pub fn take_back_close(&self) -> Result<()> {
        forward::take_back_close(&self.core()?.spool)
    }
}
