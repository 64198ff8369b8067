//! The commands of a fleet, as real processes beside a real PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Fixtures.
mod cut;
mod host;
mod relays;

// Tests.
mod copies;
mod forward;
mod kills;
mod operators;
mod outcomes;
mod relay;
mod relay_deaths;
mod relay_pauses;
mod reporting;
mod store_away;
