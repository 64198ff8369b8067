//! The commands that run unattended: `meditopia run` and `meditopia flush` with their units and
//! alerts, and `meditopia sandbox`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixtures;

mod deployment;
mod ending;
mod endpoint;
mod flush;
mod foreign_texts;
mod health;
mod last_failure;
mod log;
mod metrics;
mod reload;
mod replaced;
mod sandbox;
mod start;
mod under_systemd;
