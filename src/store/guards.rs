//! What keeps events safe, by name: the tests turn one guard off at a time, to see that something notices.
//!
//! In a library that is built for use, every guard is up and every limit is as it stands.

/// One guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// A ledger's name is durable before a record follows its snapshot.
    NameIsSynced,
    /// After a boot, a gap is no damage if what is missing was not durable.
    GapIsJudged,
    /// After a boot, a gap in what was durable is damage.
    GapIsDamage,
    /// After a boot, records are believed only as far as their data is there.
    Verification,
    /// A checksum is bound to its file.
    Nonce,
    /// The ledger is locked before it is read.
    LockFirst,
    /// The lock is that of the description through which the ledger is written.
    LedgerLock,
}

pub(super) use self::state::{is_up, limit};
#[cfg(test)]
pub(super) use self::state::{shrink, take_down};

#[cfg(not(test))]
mod state {
    use super::Guard;

    /// Whether the guard is up.
    pub(in super::super) const fn is_up(_: Guard) -> bool {
        true
    }

    /// A size at which something happens.
    pub(in super::super) const fn limit(bytes: u64) -> u64 {
        bytes
    }
}

#[cfg(test)]
mod state {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static DOWN: Cell<Option<Guard>> = const { Cell::new(None) };
        static SHRUNK: Cell<u32> = const { Cell::new(0) };
    }

    pub(in super::super) fn is_up(guard: Guard) -> bool {
        DOWN.get() != Some(guard)
    }

    pub(in super::super) fn limit(bytes: u64) -> u64 {
        bytes >> SHRUNK.get()
    }

    /// Turns a guard off in this thread.
    pub(in super::super) fn take_down(guard: Option<Guard>) {
        DOWN.set(guard);
    }

    /// Makes every limit of this thread that many times half as large.
    pub(in super::super) fn shrink(times: u32) {
        SHRUNK.set(times);
    }
}
