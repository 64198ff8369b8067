//! The documents: what they tell the reader to type works, and what they claim is true.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod design;
mod guide;
mod kubernetes;
mod readme;
mod references;
mod shell;
