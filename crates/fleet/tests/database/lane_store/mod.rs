//! The store of a lane, on a real server.

mod conformance;
mod kept;
mod leases;
mod lost_answers;
mod owners;
mod plans;
mod proxy;
mod rows;
