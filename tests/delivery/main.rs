//! Delivery: pending events arrive in order, whatever the API and the network do, and lists say
//! what became of each event.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bearer_token;
mod brake;
mod damaged_store;
mod election;
mod end_to_end;
mod fixtures;
mod in_doubt;
mod isolation;
mod isolation_cost;
mod lanes;
mod log;
mod odd_answers;
mod pauses;
mod pending;
mod receipts;
mod rejected;
mod retry;
mod simulation;
mod statistics;
mod verdicts;
