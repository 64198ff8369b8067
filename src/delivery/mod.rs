//! Delivery: which events go next, what an answer means, and when to wait.
//!
//! Pure decisions over (state, answer, now). Nothing in this module opens a socket, reads a clock,
//! sleeps, logs or starts a thread. Time comes in as a [`Moment`](crate::clock::Moment) and chance as
//! a `fastrand::Rng`, so that a simulator can run a year of outages in a second.
//!
//! - [`verdict`]: what one [`Exchange`](crate::exchange::Exchange) means for its events.
//! - [`belief`]: how likely a bad event is; [`cost`]: what it costs to find one; [`isolation`]: how
//!   long the next prefix is.
//! - [`queue`]: the two queues of a lane; [`lane`]: those queues, the request in flight and the batch
//!   in doubt, with `waiting` (when a queue is due), `byte_limit` (after a 413) and [`backoff`] (after
//!   a failure).
//! - [`engine`]: the spool, which is all lanes with [`pause`], `brake` and pacing; [`step`]: what the
//!   engine decides.
//!
//! Each request takes the same steps, and the caller makes the two commits:
//!
//! ```text
//! next(lane)      -> Send { queue, events }
//! sending(lane)      the batch is in doubt from here on
//!                    commit lane_state(lane), then let the bytes leave
//! judge(exchange) -> Verdict
//! answered(lane)  -> Effect
//!                    commit the effect and lane_state(lane) together
//! ```

pub mod backoff;
pub mod belief;
mod brake;
mod byte_limit;
pub mod cost;
pub mod engine;
pub mod isolation;
pub mod lane;
pub mod pause;
pub mod queue;
pub mod step;
pub mod verdict;
mod waiting;

pub use engine::{Engine, Policy, Restored};
pub use isolation::Isolation;
pub use lane::{InDoubt, LaneState};
pub use pause::{Pause, PauseChange};
pub use queue::{Head, Queue};
pub use step::{Effect, Outcome, Step};
pub use verdict::{Refusal, Verdict, judge};
