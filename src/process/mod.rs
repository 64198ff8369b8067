//! What the library has to know and do about the process that it runs in: notice a fork, give each
//! process values of its own, close descriptors in a child, and start threads that run no signal
//! handler.

mod close_on_fork;
mod own_descriptor;
mod owner;
mod per_process;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use self::close_on_fork::{Announcement, CloseOnFork, FileKey};
pub(crate) use self::own_descriptor::OwnDescriptor;
pub(crate) use self::owner::pid;
pub(crate) use self::per_process::PerProcess;
pub(crate) use self::thread::spawn_with_signals_blocked;
