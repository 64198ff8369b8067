//! The plan of a fleet: what a seed decides before anything happens. All that is left open is drawn on the way, by
//! the same seed.

use super::tasks::Ms;

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub lanes: usize,
    pub hosts: usize,
    pub relays: usize,
    pub users: u32,
    pub unknown_users: u32,
    /// How often events are enqueued, and how many in all.
    pub events: u32,
    pub batch_max: usize,
    pub flush_interval_ms: Ms,
    /// How long a journal keeps what was forwarded.
    pub keep_ms: Ms,
    /// How long things go wrong.
    pub bad_ms: Ms,
    /// Faults in 1,000 requests, statements, and seconds.
    pub api_faults: u64,
    pub statement_faults: u64,
    pub process_faults: u64,
    /// The replica catches up after so many in 1,000 statements.
    pub replica_per_mille: u64,
    /// And if it is behind for so long.
    pub lag_ms: Ms,
    /// Failovers in 1,000 seconds lose what the replica does not have.
    pub failovers: u64,
    /// By how much a server's clock may be wrong.
    pub clock_ms: i64,
    /// All connections go through a pooler, which hides a change of the server.
    pub has_pooler: bool,
}

impl Plan {
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let users = rng.u32(1..8);
        let mut often = |values: &[u64]| values[rng.usize(0..values.len())];
        let api_faults = often(&[0, 20, 100, 300]);
        let statement_faults = often(&[0, 5, 20, 100]);
        let process_faults = often(&[0, 20, 100]);
        let failovers = often(&[0, 0, 10, 40]);
        let replica_per_mille = often(&[30, 100, 500]);
        let lag_ms = often(&[1_000, 5_000, 25_000]);
        let keep_ms = often(&[30_000, 120_000]);
        let clock_ms = often(&[0, 0, 3_000, 120_000]) as i64;
        let flush_interval_ms = often(&[1, 1, 1_000]);
        Self {
            seed,
            lanes: rng.usize(1..4),
            hosts: rng.usize(1..4),
            relays: rng.usize(1..4),
            users,
            unknown_users: rng.u32(0..users.div_ceil(2)),
            events: rng.u32(10..120),
            batch_max: rng.usize(1..12),
            flush_interval_ms,
            keep_ms,
            lag_ms,
            bad_ms: rng.u64(20_000..400_000),
            api_faults,
            statement_faults,
            process_faults,
            replica_per_mille,
            failovers,
            clock_ms,
            has_pooler: rng.bool(),
        }
    }
}
