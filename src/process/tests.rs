//! How a forked child is told apart from its parent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::owner::Owner;
use super::per_process::PerProcess;

/// Runs `body` in a forked child; returns whether it returned true.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only runs `body`, which takes no lock of another thread, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let result = catch_unwind(AssertUnwindSafe(body));
            // SAFETY: ends the child without running anything of the test harness.
            unsafe { libc::_exit(i32::from(!result.unwrap_or(false))) }
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for the child made above.
            unsafe { libc::waitpid(child, &mut status, 0) };
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
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
