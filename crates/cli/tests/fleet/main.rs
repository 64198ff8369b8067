//! The commands of a fleet, as real processes beside a real PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Fixtures.
mod cut;
mod host;

// Tests.
mod copies;
mod forward;
mod kills;
mod operators;
mod outcomes;
mod reporting;
mod store_away;
