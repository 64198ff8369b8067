//! What operators of a fleet see and change by the same commands as of a spool.

mod changes;
mod checks;
mod lists;
mod rows;
