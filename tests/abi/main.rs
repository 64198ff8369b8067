//! The C API is what its headers say: what the library exports, and the headers that declare it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exports;
mod headers;
