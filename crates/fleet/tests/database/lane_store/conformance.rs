//! The store of a lane does what every store has to do.

use meditopia::internals::store::conformance as suite;
use meditopia::{hold, hold_store};

use super::kept::InDatabase;

hold_store!(InDatabase::new());
hold! { InDatabase::new(); in_step: does_in_step_what_the_model_does; }
