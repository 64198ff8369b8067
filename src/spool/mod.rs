//! The spool directory: everything that outlives a process, and whose it is.
//!
//! ```text
//! <spool>/identity.json   the user, endpoint and account that the spool belongs to; the boots it has seen
//!         journal/        segments of events, one for each process that writes
//!         ledger/         what the sender did: the state of the store
//!         queues/         events that the sender has taken over and not yet seen accepted
//!         rejected/       events that are not sent again
//!         receipts/       finished ledgers, for the receipts in them
//!         sender.json     the heartbeat of the sender
//!         sender.lock     whoever has locked this file is the sender; a new one may be made at any time
//!         identity.lock   locked while identity.json is written
//!         forward.json    marks a spool whose events a forwarder hands to a database, and what it knows of that
//!         commands/       what operators ask the sender to do
//!         import/         imports in progress, and what was imported lately
//!         damaged/        bytes that could not be read, and files of the store that `recover` has replaced
//!         wake            socket of the sender
//!         reserve         blocks that delivery needs on a full disk; while it is full, the name is `full`
//! ```
//!
//! A spool belongs to one user, endpoint and account, because events of different ones must not
//! mix. It also remembers its directory (`place`): two copies of one spool would send every event twice, so a
//! copy is refused until an operator adopts it.
//!
//! Everything below the directory is reached through its descriptor (`held`), by names in open directories
//! (`dir`). Its own path is resolved once (`walk`).
//!
//! The files of this module depend on each other from the bottom up: `files`, `file_limit`, `mode`, `rights` with `dir`,
//! `walk`, `directory`, `held`, `lock_file`, `layers`, `place`,
//! `identity` with `lost_identity`, and `reserve`, `open`, then `disk_space` and
//! `heartbeat`; `young` keeps programs that clean up away.

mod dir;
mod directory;
mod disk_space;
mod file_limit;
mod files;
mod forwarded;
mod heartbeat;
mod held;
mod identity;
mod layers;
mod lock_file;
mod lost_identity;
mod mode;
mod open;
mod place;
mod reserve;
mod rights;
#[cfg(test)]
pub(crate) mod tests;
mod walk;
mod young;

pub(crate) use self::dir::{Dir, Safety};
#[cfg(feature = "internals")]
pub use self::directory::check_writable;
pub(crate) use self::directory::temporary_dir;
pub use self::directory::{DirectoryId, check_directory, owner_of};
pub use self::disk_space::{DiskSpace, disk_space};
pub(crate) use self::file_limit::{LimitedFile, check_file_limit, file_limit};
pub(crate) use self::files::{data_from, try_lock, try_lock_to_look};
#[cfg(feature = "internals")]
pub(crate) use self::forwarded::FORWARDING;
pub use self::heartbeat::FailedRequest;
pub(crate) use self::heartbeat::Heartbeat;
pub(crate) use self::held::{Held, Subdirectory};
pub(crate) use self::identity::last_boot_count;
pub use self::identity::{
    Description, Destination, adopt, check_no_sender, describe, has_lost_identity,
};
#[cfg(feature = "internals")]
pub(crate) use self::lock_file::holder_of;
pub(crate) use self::lock_file::{LockFile, SENDER_LOCK, holder_in};
pub use self::open::{NetworkFileSystem, Spool};
pub(crate) use self::reserve::FULL_SEEN_WITHIN;
pub use self::rights::GroupTrust;
#[cfg(feature = "internals")]
pub use self::walk::path_components;
