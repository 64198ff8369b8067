//! How rows of the SQLite store read and write; shared by the sender's connection, readers and recover.
//!
//! Every row carries a checksum, verified whenever it is read.

mod kept;
mod queues;
mod receipts;

pub(super) use self::kept::*;
pub(super) use self::queues::*;
pub(super) use self::receipts::*;
