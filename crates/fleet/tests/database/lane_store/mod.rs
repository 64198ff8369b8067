//! The store of a lane, on a real server.

mod conformance;
mod kept;
