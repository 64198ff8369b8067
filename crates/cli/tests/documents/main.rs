//! What a document tells its reader to type works as it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod design;
mod guide;
mod readme;
mod references;
mod shell;
