//! What keeps the fleet right. Each of these can be taken away, and then some seed must break a promise.

/// What the statements and the processes do about the past and about each other.
#[derive(Debug, Clone, Copy)]
pub struct Guards {
    /// The step that puts a batch in doubt checks id and checksum of its runs.
    pub checks_doubted: bool,
    /// The step that sends or settles runs checks that it knows every run up to them.
    pub checks_heads: bool,
    /// The step that deletes or marks runs checks their checksums.
    pub checks_gone: bool,
    /// A round of the sorter checks the checksums of the parcels that it deletes.
    pub checks_parcels: bool,
    /// The compare-and-set is on (step, lease), not on the step alone.
    pub lease_in_key: bool,
    /// Who reads a lane again after an error draws another lease.
    pub lease_drawn_again: bool,
    /// That of a host is on the step and on the nonce of the statement that has made it.
    pub nonce_in_key: bool,
    /// Ids of runs, suspects' runs and rejected events follow the server's time, and are no mere counters.
    pub ids_from_time: bool,
    /// What is known of a lane goes with any error of its statements.
    pub drops_after_error: bool,
    /// Parcels are taken from the head, and not behind the last one that was taken.
    pub sorts_from_head: bool,
    /// The journal keeps what was forwarded for a while.
    pub journal_keeps: bool,
    /// What the window says of the journal is on the disk only once the record knows that step.
    pub record_before_window: bool,
    /// A host asks where the database is before it frees what was forwarded.
    pub asks_before_freeing: bool,
}

impl Guards {
    pub const ALL: Self = Self {
        checks_doubted: true,
        checks_heads: true,
        checks_gone: true,
        checks_parcels: true,
        lease_in_key: true,
        lease_drawn_again: true,
        nonce_in_key: true,
        ids_from_time: true,
        drops_after_error: true,
        sorts_from_head: true,
        journal_keeps: true,
        record_before_window: true,
        asks_before_freeing: true,
    };
}
