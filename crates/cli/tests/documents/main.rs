//! The documents: what they tell the reader to type works, and what they claim is true.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod design;
mod kubernetes;
mod messages;
mod options;
mod references;
mod shell;
mod test_names;
