//! The commands for an operator, as real processes beside an application that enqueues and a sender
//! that delivers to the sandbox.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Fixtures.
mod cli;
mod live_spool;

// Tests.
mod adopt;
mod adopt_copies;
mod advice;
mod alarms;
mod bisect;
mod damaged;
mod doctor;
mod event_lists;
mod figures;
mod first_programs;
mod fleet;
mod forget;
mod help_examples;
mod hold;
mod hostile_application;
mod hostile_owner;
mod import;
mod incidents;
mod mass_rejection;
mod recover;
mod rejected;
mod run_by_root;
mod status;
mod status_of_sender;
mod swapped_spool;
mod terminal;
mod trial;
mod unread_output;
mod wrong_usage;
