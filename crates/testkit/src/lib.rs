//! What the tests of this workspace share.
//!
//! | you need | module |
//! |---|---|
//! | the Partners API, with faults to order and a ledger to check | [`sandbox`]; [`sandbox::raw_http`] for requests by hand |
//! | a spool in a temporary directory and a client on it | [`spool`] |
//! | a program in C, compiled against the header and the library | [`c_program`] |
//! | such a program in a process of its own, driven line by line | [`status_client`], [`remote_client`], [`enqueuer`] |
//! | such a program on clocks that the test sets | [`test_clocks`], [`background_sender`] |
//! | the files of a store: to damage them, and who writes to them | [`store_files`] |
//! | a process: its output, its end, its descriptors | [`process`] |
//! | the test itself in a process of its own | [`child`] |
//! | a disk that is small, read-only, over FUSE or a container's | [`disks`] |
//! | another user, or what only root may do | [`privileges`] |
//! | to wait for something | [`wait`] |
//! | all subcommands of the command, with their help | [`command_tree`] |
//! | the command `meditopia run`, its log, its endpoint and its service manager | [`service`] |
//! | to stop a process at each of its system calls | [`tracer`], [`schedule`] for orders of two processes |
//! | to check order, losses and repetitions | [`ledger`]; [`crash_trials`] for many processes that were killed |
//! | to check what one answer of the API does to three events | [`answer_cases`] |
//! | the number of trials of a fault, and the table of `make soak` | [`fault_table`] |
//! | the requests that isolation takes, for the table of `docs/isolation.md` | [`isolation`] |
//! | a PostgreSQL server | [`postgres_server`]; [`pgbouncer`] in front of it |
//! | a browser | [`browser`] |
//! | Prometheus' own check of metrics | [`promtool`] |
//! | every text in the sources of the product | [`messages`] |
//!
//! The unit tests in `src/` cannot use this crate: it would link the library a second time.

// A failed expectation ends a test, which is what a kit for tests is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod answer_cases;
pub mod background_sender;
pub mod browser;
pub mod c_program;
pub mod child;
pub mod command_tree;
pub mod crash_trials;
pub mod disks;
pub mod enqueuer;
pub mod fault_table;
pub mod isolation;
pub mod ledger;
pub mod messages;
pub mod pgbouncer;
pub mod postgres_server;
pub mod privileges;
pub mod process;
pub mod promtool;
pub mod remote_client;
pub mod sandbox;
pub mod schedule;
pub mod service;
pub mod spool;
pub mod status_client;
pub mod store_files;
pub mod test_clocks;
pub mod tracer;
pub mod wait;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn repository_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file or directory of the repository, by its path from the root.
pub fn repository_path(path: &str) -> PathBuf {
    repository_root().join(path)
}

/// A library that Cargo built beside the running test, such as `libmeditopia.so`.
pub fn built_library(name: &str) -> PathBuf {
    let library = directory_of_this_test().join(name);
    assert!(library.exists(), "{} is not built", library.display());
    library
}

/// The command `meditopia`, which Cargo builds before the tests of its own crate.
pub fn meditopia_command() -> PathBuf {
    let command = directory_of_this_test().with_file_name("meditopia");
    assert!(command.exists(), "{} is not built", command.display());
    command
}

/// The command `meditopia` with an empty environment, so that no variable of the test configures it.
pub fn meditopia() -> Command {
    let mut command = Command::new(meditopia_command());
    command.env_clear();
    command
}

/// An address of this host at which no process listens.
pub fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the address of a listener")
}

/// The directory of the running test, and of the libraries that it was linked with.
fn directory_of_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().expect("a test is in a directory").to_owned()
}
