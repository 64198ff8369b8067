//! What the tests of this workspace share: a local API, applications in C, tracers, and the ledgers
//! that outcomes are held against.

// A failed expectation ends a test, which is what a kit for tests is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod browser;
pub mod c_host;
pub mod host;
pub mod isolation;
pub mod judged;
pub mod ledger;
pub mod patience;
pub mod promtool;
pub mod sandbox;
pub mod schedule;
pub mod service;
pub mod settlement;
pub mod steered;
pub mod stepped;
pub mod stepped_clocks;
pub mod told;
pub mod tracer;
pub mod trials;
pub mod workers;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A library that Cargo built beside the running test, such as `libmeditopia.so`.
pub fn built(name: &str) -> PathBuf {
    let library = beside_the_test().join(name);
    assert!(library.exists(), "{} is not built", library.display());
    library
}

/// The command `meditopia`, which Cargo builds before the tests of its own crate.
pub fn command() -> PathBuf {
    let command = beside_the_test().with_file_name("meditopia");
    assert!(command.exists(), "{} is not built", command.display());
    command
}

/// The directory of the running test, and of the libraries that it was linked with.
fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().expect("a test is in a directory").to_owned()
}
