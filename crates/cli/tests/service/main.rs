//! `meditopia run` and `meditopia flush` as a service: signals, endpoints for a monitor, units,
//! deployment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
mod deployment;
mod endpoint;
mod flush;
mod sandbox;
