//! The spool directory: where everything lives that outlasts a process, and whose it is.
//!
//! ```text
//! <spool>/identity.json   to which user, endpoint and account it belongs; boots seen
//!         journal/        segments of events, one per writing process
//!         store.db        what the sender has taken over (SQLite)
//!         sender.json     who sends, its heartbeat, how far it has taken over
//!         commands/       operators' wishes, for the sender to carry out
//!         import/         imports under way, and what was imported lately
//!         damaged/        bytes of segments that could not be read
//!         store.db.damaged-<time>   a store that was replaced by `recover`
//!         wake            socket of the sender
//!         reserve         blocks for the day when the disk is full; `full` on that day
//! ```
//!
//! A spool belongs to one user, one endpoint and one account for ever, because events of different
//! ones must not mix. It also remembers its inode: two copies of one spool would send everything
//! twice, so a copy is refused until an operator adopts it.

mod condition;
mod directory;
mod files;
mod heartbeat;
mod identity;
mod open;
mod reserve;
#[cfg(test)]
mod tests;

pub use self::condition::{Condition, condition};
pub(crate) use self::directory::temporary_dir;
pub use self::directory::{DirectoryId, check_directory};
pub(crate) use self::files::{
    open_dir, private_file, remove_file, replace_file, sync_dir, sync_parent, try_lock,
};
pub(crate) use self::heartbeat::Heartbeat;
pub use self::identity::{Belonging, Description, adopt, describe};
pub use self::open::{NetworkFileSystem, Spool};
pub(crate) use self::reserve::FULL_SEEN_WITHIN;
