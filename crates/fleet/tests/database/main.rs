//! The fleet on a real PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod command;
mod connection;
mod fleet;
mod forward;
mod lane_loop;
mod lane_store;
mod lease;
mod library;
mod look;
mod outbox;
mod outbox_examples;
mod pool;
mod pooler;
mod relay_rows;
mod relay_statements;
mod roles;
mod schema;
mod sorted;
mod sorter;
mod tls;
