//! The sandbox: its rules, its ledger, its faults, its control API, and its page in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod clients;
mod control;
mod faults;
mod ledger;
mod page;
