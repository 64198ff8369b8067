//! The fleet: hosts that hand their events to PostgreSQL, and relays that deliver them from there.
//!
//! This crate holds what both share: how to reach the database ([`address`], [`connection`]), its schema and
//! how that grows ([`schema`]), which database it is ([`place`]), and what a host does ([`forward`]). `docs/fleet.md` tells the whole story.
//!
//! Only the command uses it. The library has no part of it: an application's `.so` brings no PostgreSQL client.

pub mod address;
pub mod command;
pub mod connection;
mod environment;
pub mod failure;
pub mod forward;
pub mod hold;
pub mod lane_store;
pub mod look;
pub mod members;
pub mod parcel;
mod passfile;
pub mod place;
pub mod rejected;
pub mod relay;
pub mod schema;
pub mod settings;
#[cfg(test)]
mod simulation;
mod sources;
pub mod spool;
mod tls;
mod url;
