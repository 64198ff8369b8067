//! The C API: the functions and structs that `include/meditopia.h` declares.
//!
//! Every export converts its arguments, delegates to [`crate::client`] or [`crate::config`], and
//! converts the result. It decides nothing about events. The doc comments of the exports *are* the
//! header's documentation, so they are written for C programmers: cbindgen copies them, and
//! `tests/abi/headers.rs` compares the result with the committed headers. cbindgen does not expand
//! macros, so no export comes from one.
//!
//! No panic crosses into the application: every export runs under [`guard`](guard::guard) or
//! [`guard_or`](panic::guard_or), which turn a panic into `MEDITOPIA_ERROR_INTERNAL` or into an
//! empty value. There is no thread-local "last error": each call fills in the `meditopia_error`
//! that was passed to it.
//!
//! This module neither detects a fork nor synchronises threads. The client behind a handle is
//! shared by reference and does both.
//!
//! Types that the application holds by pointer are [`Handle`](handle::Handle)s. Structs that the
//! application owns are [`Growing`](growing::Growing), or frozen like `meditopia_error`.

// The types have the names of the C header, and the comments are plain text, not Markdown.
#![allow(non_camel_case_types, rustdoc::bare_urls)]

mod argument;
mod client;
mod config;
mod cursor;
mod enqueue;
mod erasure;
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
