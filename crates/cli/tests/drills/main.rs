//! Drills: one fault each on a spool that delivers, and what an operator, a monitoring system and
//! Prometheus are told of it.
//!
//! Each drill holds what `status`, `status --check`, `doctor`, `/readyz`, the alerts and the log say,
//! types the advice as it is printed, and counts every event at the end. `tests/DRILLS.md` has a row for
//! each; `UPDATE_DRILLS=1 cargo test -p meditopia-cli --test drills` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod drill;
mod table;
mod tls_front;

mod api;
mod certificate;
mod clock;
mod disk;
mod sender;
mod spool;
mod token;
