//! A relay: takes leases of lanes and of the sorter, sorts parcels into runs, and delivers the runs of its lanes.

pub mod board;
pub mod housekeeping;
pub mod inbox;
pub mod lane;
pub mod lease;
pub mod pool;
pub mod shares;
pub mod sign_of_life;
pub mod sorter;
