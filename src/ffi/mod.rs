//! The C door: what `include/meditopia.h` declares.
//!
//! Every function here converts its arguments, delegates to [`crate::client`] or
//! [`crate::config`], and converts what comes back; a decision about events belongs to them. The
//! doc comments of the exports *are* the header's documentation, so they speak C and not Rust:
//! cbindgen copies them, and `tests/headers.rs` compares the result with the committed headers.
//! cbindgen does not see what a macro makes, so no export comes from one.
//!
//! A panic must not cross into the host: every export runs under [`guard`](guard::guard) or
//! [`guard_or`](panic::guard_or), which
//! turn it into `MEDITOPIA_ERROR_INTERNAL` or into an empty value. There is no thread-local "last
//! error" to read after a call; each call writes into the `meditopia_error` that it was given.
//!
//! This module is not the place where forks are noticed or threads are kept apart: the client
//! behind a handle is shared by reference and does both.

// The types carry the names that a C programmer reads, and the comments are C's, not Markdown.
#![allow(non_camel_case_types, rustdoc::bare_urls)]

mod argument;
mod client;
mod config;
mod cursor;
mod enqueue;
mod error;
mod growing;
mod guard;
mod handle;
mod log;
mod output;
mod panic;
mod receipts;
mod rejected;
mod report;
mod stats;
mod status;
mod text;
mod version;

#[cfg(test)]
mod tests;
