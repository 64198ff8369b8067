//! Arguments that several subcommands take, and what is read from them.

pub mod confirmation;
pub mod list;
pub mod rejected_selection;
pub mod sender_config;
pub mod source;
pub mod spool;
pub mod store;
pub mod typed;
