//! A step of a lane: what was sent is settled and the next request is in doubt, by one commit.

use std::sync::Arc;
use std::time::Duration;

use super::{Dispatcher, Next};
use crate::clock::{self, Moment};
use crate::config::{BearerToken, CurrentToken};
use crate::error::Result;
use crate::exchange::Exchange;
use crate::store::Store;

/// A request that has come to its end.
#[derive(Debug)]
pub struct Sent {
    /// What came of it.
    pub exchange: Exchange,
    /// How many bytes its body had.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
    /// The token that it carried.
    pub token: Option<Arc<BearerToken>>,
}

/// What a step does besides settling what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It decides what the lane does next.
    Decide,
    /// Nothing: no request follows.
    Stop,
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Settles what `lane` has sent, then decides what it does next; see [`next`](Dispatcher::next).
    pub(crate) fn step(
        &mut self,
        lane: usize,
        sent: Option<&Sent>,
        tokens: &CurrentToken,
        then: Then,
        body: &mut Vec<u8>,
    ) -> Result<Next> {
        // To settle one batch and to put the next one in doubt is one commit.
        let next = self.in_one_commit(lane, |dispatcher| {
            if let Some(sent) = sent {
                dispatcher.settle_sent(lane, sent, tokens)?;
            }
            match then {
                Then::Stop => Ok(Next::Idle),
                Then::Decide => dispatcher.next(lane, clock::now(), body),
            }
        })?;
        if next == Next::Send {
            self.store.check_lock()?;
        }
        Ok(next)
    }

    fn settle_sent(&mut self, lane: usize, sent: &Sent, tokens: &CurrentToken) -> Result<()> {
        self.measure(&sent.exchange, sent.bytes, sent.took);
        self.settle(lane, &sent.exchange, sent.token.as_deref(), clock::now())?;
        // Replaced while the request was on its way: the refusal was of the old one.
        if self.is_token_refused() {
            if tokens.differs_from(self.refused_token.as_deref()) {
                self.token_replaced()?;
            } else {
                tokens.was_refused();
            }
        }
        Ok(())
    }

    /// The request in flight of `lane` has to be given a connection first, and its batch is not in doubt until
    /// then, unless it was before: what waits for a server that cannot be reached was certainly not delivered.
    /// Or it has been given one, at `connected`: its batch is in doubt in the store when this returns.
    ///
    /// `is_in_doubt`: whether the batch is, as the last call has returned it, or `true`.
    ///
    /// Error: the request must not leave.
    pub(crate) fn connect(
        &mut self,
        lane: usize,
        connected: Option<Moment>,
        is_in_doubt: bool,
    ) -> Result<bool> {
        match connected {
            // While it waited, another process may have become the one that sends, and settled it.
            Some(_) if is_in_doubt => {
                self.store.check_lock()?;
                return Ok(true);
            }
            Some(now) => self.engine.connected(lane, now),
            None if !self.engine.connecting(lane) => return Ok(true),
            None => {}
        }
        self.commit_lane(lane, &[])?;
        Ok(connected.is_some())
    }
}
