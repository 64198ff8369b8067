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

/// A random UUID of version 4, as RFC 9562 marks them, in 32 hexadecimal digits.
pub fn random_uuid() -> String {
    let high = random_u64() & !0xf000 | 0x4000;
    let low = random_u64() & !(0b11 << 62) | 0b10 << 62;
    format!("{high:016x}{low:016x}")
}

fn seeded_by_process_and_time() -> u64 {
    let seed = clock::boot_ns().rotate_left(32) ^ u64::from(pid().cast_unsigned());
    fastrand::Rng::with_seed(seed).u64(..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_is_of_version_4_and_drawn_anew_each_time() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[12..13]), (32, "4"), "{one}");
        assert!("89ab".contains(&one[16..17]), "{one}");
    }
}
