//! The commands for an operator, run on spools that are alive: real processes beside an application that enqueues and a
//! sender that delivers, against the sandbox.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adopt;
mod doctor;
mod import;
mod live;
mod misused;
mod owner;
mod places;
mod recover;
mod rejected;
mod sender;
mod settled;
mod status;
mod story;
mod terminal;
mod unheard;
mod waiting;
