//! What engines have in common that send for different lanes of one place, such as the lanes of a relay.
//!
//! Each has the pause of all of them as if it were its own, so that it judges answers as an engine with many lanes
//! does: the answer to a request that is not the probe proves nothing. Only the engine that may probe does so.

use super::{Engine, Lane};
use crate::clock::Moment;
use crate::delivery::pause::Pause;
use crate::error::PauseReason;

/// In the place of the lane that probes: it is a lane of another engine.
const ELSEWHERE: usize = usize::MAX;

impl Engine {
    /// Has this engine stop for `pause`, which is that of several engines, and probe it if it `may_probe`. `None`:
    /// they have none, and what this engine knows of an earlier one ends.
    ///
    /// A pause because of server errors is the lane's own and stays what it is, unless this engine is to probe the
    /// shared one.
    pub fn share_pause(&mut self, pause: Option<&Pause>, may_probe: bool) {
        let has_own = self.is_paused_for(PauseReason::ServerError);
        match pause {
            Some(pause) if may_probe || !has_own => self.pause = Some(pause.clone()),
            Some(_) => {}
            None if has_own => {}
            None => {
                if let Some(ended) = self.pause.take() {
                    self.lanes.iter_mut().for_each(Lane::forget_server_errors);
                    if ended.reason == PauseReason::Auth {
                        // The failures were because of the token.
                        self.lanes.iter_mut().for_each(Lane::end_backoff);
                    }
                }
            }
        }
        if pause.is_some() && !may_probe {
            self.probing = Some(ELSEWHERE);
        } else {
            self.probing.take_if(|probing| *probing == ELSEWHERE);
        }
    }

    /// No request leaves before `slot`: another engine has taken the time until then.
    pub fn not_before(&mut self, slot: Option<Moment>) {
        self.next_slot = slot;
    }
}
