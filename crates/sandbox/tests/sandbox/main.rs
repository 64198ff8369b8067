//! The sandbox: its API, its faults, and its page in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod faults;
mod page;
