//! How a forked child is told apart from its parent.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::owner::Owner;
use super::per_process::PerProcess;
use super::random::random_u64;

/// Runs `body` in a forked child; returns whether it returned true, within 30 s.
pub(crate) fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only runs `body`, which takes no lock of another thread, and ends.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: ends the child if it waits for ever.
            unsafe { libc::alarm(30) };
            let result = catch_unwind(AssertUnwindSafe(body));
            // SAFETY: ends the child without running anything of the test harness.
            unsafe { libc::_exit(i32::from(!result.unwrap_or(false))) }
        }
        child => exit_status(child) == Some(0),
    }
}

/// Waits for a child of this process; `None`: a signal has ended it.
pub(crate) fn exit_status(child: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: waits for a child that this test has forked.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

#[test]
fn a_child_knows_that_it_is_not_its_parent_and_so_does_a_grandchild() {
    let parent = Owner::current();
    assert!(parent.is_current());
    assert!(in_child(|| {
        let child = Owner::current();
        !parent.is_current()
            && child.is_current()
            && in_child(|| !parent.is_current() && !child.is_current())
    }));
    assert!(parent.is_current());
}

#[test]
fn a_child_gets_a_value_of_its_own_while_its_parent_holds_the_lock() {
    let value = PerProcess::new(Mutex::new(1));
    let held = value.get(|_| Mutex::new(0)).lock().unwrap();
    assert!(in_child(|| {
        let own = value.get(|_| Mutex::new(2));
        own.try_lock().is_ok_and(|own| *own == 2) && std::ptr::eq(own, value.get(|_| Mutex::new(3)))
    }));
    assert_eq!(*held, 1);
}

#[test]
fn a_child_draws_other_numbers_than_its_parent() {
    // From here on a generator in memory would have its seed.
    random_u64();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    assert!(in_child(|| {
        let drawn = random_u64().to_le_bytes();
        writer.write_all(&drawn).is_ok()
    }));
    let mut of_child = [0; 8];
    reader.read_exact(&mut of_child).unwrap();
    assert_ne!(random_u64().to_le_bytes(), of_child);
}

#[test]
fn a_child_never_drops_what_its_parent_holds_and_drops_what_is_its_own() {
    struct Dropped<'a>(&'a AtomicUsize);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = AtomicUsize::new(0);
    let value = PerProcess::new(Dropped(&drops));
    assert!(in_child(|| {
        // SAFETY: a copy of this process, which its parent's copy does not notice.
        let inherited = unsafe { std::ptr::read(&value) };
        inherited.get(|_| Dropped(&drops));
        drop(inherited);
        drops.load(Ordering::SeqCst) == 1
    }));
    drop(value);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}
