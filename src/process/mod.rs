//! What the library has to know and do about the process that it runs in: notice a fork, give each
//! process values and random numbers of its own, close descriptors in a child, start threads that run
//! no signal handler, and see another copy of the library.

pub(crate) mod calls;
mod close_on_fork;
mod closed_in_child;
mod copies;
mod own_descriptor;
mod owner;
mod per_process;
mod random;
mod read_file;
#[cfg(test)]
pub(crate) mod tests;
mod thread;

pub(crate) use self::close_on_fork::{Announcement, CloseOnFork, FileKey};
pub(crate) use self::closed_in_child::ClosedInChild;
pub(crate) use self::copies::another_copy;
pub(crate) use self::own_descriptor::OwnDescriptor;
pub(crate) use self::owner::{Owner, pid};
pub(crate) use self::per_process::PerProcess;
pub(crate) use self::random::random_u64;
pub use self::random::random_uuid;
pub(crate) use self::read_file::read_file;
pub(crate) use self::thread::spawn_with_signals_blocked;
