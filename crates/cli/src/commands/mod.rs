//! The subcommands, one module each: its arguments, and a function that carries it out.

pub mod adopt;
pub mod completions;
pub mod damaged;
pub mod doctor;
pub mod find;
pub mod fleet;
pub mod flush;
pub mod forget;
pub mod forward;
pub mod hold;
pub mod import;
pub mod in_doubt;
pub mod man;
pub mod pending;
pub mod receipts;
pub mod recover;
pub mod rejected;
pub mod run;
pub mod sandbox;
pub mod status;
pub mod trial;
