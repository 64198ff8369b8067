//! What waits is delivered: verdicts, isolation, pauses, order, retries, and the lists of what became of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod another_token;
mod bad_users;
mod brake;
mod election;
mod end_to_end;
mod flush;
mod in_doubt;
mod isolation_figures;
mod lanes;
mod odd_answers;
mod pauses;
mod pending;
mod receipts;
mod rejected;
mod retry;
mod simulation;
mod statistics;
mod verdicts;
