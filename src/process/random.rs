//! Random numbers that no other process draws, whether it was forked or not.
//!
//! A generator in memory is copied by a fork, and then parent and child draw the same numbers. So
//! every number comes from the kernel; one costs a system call, and few are drawn.

use ring::rand::{SecureRandom, SystemRandom};

use super::owner::pid;
use crate::clock;

/// A random number.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // A sandbox may forbid the call. Then the number is at least seldom the same twice.
        Err(_) => seeded_by_process_and_time(),
    }
}

fn seeded_by_process_and_time() -> u64 {
    let seed = clock::boot_ns().rotate_left(32) ^ u64::from(pid().cast_unsigned());
    fastrand::Rng::with_seed(seed).u64(..)
}
