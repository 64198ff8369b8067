//! What an application may do around the library: fork, threads, unloading, signals, clocks, other users.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clocks;
mod containers;
mod fork;
mod guest;
mod namespaces;
mod prefork;
mod rights;
mod threads;
mod unload;
