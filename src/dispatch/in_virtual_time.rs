//! One lane in the time of a simulation: the same steps, with the clock and the chance of the caller.

use std::sync::Arc;
use std::time::Duration;

use super::{Dispatcher, Next, Options};
use crate::clock::Moment;
use crate::delivery::Policy;
use crate::error::Result;
use crate::exchange::Exchange;
use crate::log::Log;
use crate::store::{Place, Store};

/// The lane of a store that has one.
pub struct LaneInVirtualTime(Dispatcher<dyn Store>);

impl LaneInVirtualTime {
    /// Reads what the last owner left. Errors: those of [`Store::commit`].
    pub fn open(store: Box<dyn Store>, policy: Policy, now: Moment, seed: u64) -> Result<Self> {
        let options = Options {
            policy: Policy { lanes: 1, ..policy },
            event_ttl: None,
            receipts_kept: Some(Duration::from_secs(3_600)),
        };
        let rng = fastrand::Rng::with_seed(seed);
        Dispatcher::open_at(store, options, Arc::new(Log::new(None)), now, rng).map(Self)
    }

    /// Settles what was sent, then decides what the lane does next, in one commit. Errors: those of
    /// [`Store::commit`].
    pub fn step(
        &mut self,
        sent: Option<&Exchange>,
        now: Moment,
        body: &mut Vec<u8>,
    ) -> Result<Next> {
        let next = self.0.in_one_commit(0, |lanes| {
            if let Some(exchange) = sent {
                lanes.settle(0, exchange, None, now)?;
            }
            lanes.next(0, now, body)
        })?;
        if next == Next::Send {
            self.0.store.check_lock()?;
        }
        Ok(next)
    }

    /// The sorter may have appended runs.
    pub fn wake(&mut self) {
        self.0.appended(Place { lane: 0, queue: 0 });
    }
}
