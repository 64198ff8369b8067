//! A sender whose token was refused gives its seat to a process that has another one.
//!
//! Tokens are renewed in one worker first. The one that was elected long ago may never hear of it,
//! and would keep all others from sending. So while delivery is paused for the token, every process
//! that stands for election compares its own with the fingerprint of the refused one. If it differs, it
//! rings, and the sender steps aside for long enough to be followed. A token that this process has
//! seen refused does not ask again: two wrong tokens must not hand the seat back and forth for ever.

use std::time::Duration;

use super::wake::{self, Ring};
use super::{Shared, State};
use crate::error::{PauseReason, Result};
use crate::spool::Heartbeat;
use crate::store::PauseState;
use crate::store::sqlite::Reader;

/// How long a sender that has stepped aside does not stand itself.
pub(super) const STEP_ASIDE: Duration = Duration::from_secs(1);

/// Asks the sender for its seat if its token was refused and this process has another one.
pub(super) fn ask(shared: &Shared) -> Result<()> {
    let spool = &shared.spool;
    let paused = Heartbeat::read(spool)?.and_then(|beat| beat.pause_reason());
    if paused != Some(PauseReason::Auth) {
        return Ok(());
    }
    // What is wrong with the file is told by whoever sends with it.
    let _ = shared.token.follow_file();
    if !shared.token.is_untried() {
        return Ok(());
    }
    let pause = Reader::open(spool)?.map_or(Ok(None), |store| store.pause())?;
    if pause.is_some_and(|pause| may_end(shared, &pause)) {
        wake::ring(spool, Ring::AnotherToken);
    }
    Ok(())
}

/// Whether the token of this process may end `pause`.
pub(super) fn may_end(shared: &Shared, pause: &PauseState) -> bool {
    pause.reason == PauseReason::Auth
        && shared.token.is_untried()
        && shared.token.differs_from(pause.fingerprint.as_deref())
}

/// Whether this sender has nothing better than a refused token, and no request on its way.
pub(super) fn steps_aside(state: &State) -> bool {
    state.is_token_refused() && !state.is_in_flight()
}
