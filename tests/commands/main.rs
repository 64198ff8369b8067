//! The operator's commands on spools that are alive: real processes beside a host that enqueues and a
//! sender that delivers, against the sandbox.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../host/mod.rs"]
mod host;
#[path = "../ledger/mod.rs"]
mod ledger;
mod live;
mod misused;
#[path = "../patience/mod.rs"]
mod patience;
mod rejected;
#[path = "../sandbox/mod.rs"]
mod sandbox;
mod sender;
#[path = "../service/mod.rs"]
mod service;
mod settled;
mod small_disk;
mod status;
mod story;
mod terminal;
mod unheard;
mod waiting;
