//! What the library must know of the process that it lives in: was it forked, and how to start a
//! thread that no signal of the host ever reaches.

mod fork_closed;
mod owner;
mod per_process;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use self::fork_closed::{Announced, ForkClosed, Known};
pub(crate) use self::owner::pid;
pub(crate) use self::per_process::PerProcess;
pub(crate) use self::thread::spawn_quiet;
