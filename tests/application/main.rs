//! Promise 6, the application does not notice the library, whatever the application does around it:
//! fork, threads, unloading, exits, changed clocks, namespaces, other users.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clocks;
mod containers;
mod copies;
mod dropped_rights;
mod endpoint_of_spool;
mod footprint;
mod fork;
mod image;
mod interrupted;
mod namespaces;
mod orchestrators;
mod permissions;
mod prefork;
mod threads;
mod unload;
