//! Ends the program where a target holds more memory than the length of its input justifies.
//!
//! libFuzzer's own limits are two gigabytes for everything and, without a sanitizer, none for an allocation.
//! A reader that believes a length of 100 MB would pass them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a run may hold whatever its input is: buffers that are read ahead, and the state of every lane.
const LEAST: usize = 16 * 1024 * 1024;
/// Bytes for each byte of input.
const FACTOR: usize = 256;

thread_local! {
    /// Bytes that this thread may still allocate; `None`: no limit.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Bounds what this thread holds, beyond what it holds now.
pub fn bound_to(input: usize) {
    LEFT.set(Some(LEAST + FACTOR * input));
}

/// Ends the bound.
pub fn unbound() {
    LEFT.set(None);
}

/// The system's allocator, with a bound.
pub struct Bounded;

fn take(bytes: usize) {
    if let Some(left) = LEFT.get() {
        let Some(left) = left.checked_sub(bytes) else {
            LEFT.set(None);
            if std::thread::panicking() {
                // The trace of a panic takes what it takes.
                return;
            }
            eprintln!("an allocation of {bytes} bytes is more than the input justifies");
            // libFuzzer catches this and keeps the input.
            std::process::abort();
        };
        LEFT.set(Some(left));
    }
}

fn give_back(bytes: usize) {
    if let Some(left) = LEFT.get() {
        LEFT.set(Some(left.saturating_add(bytes)));
    }
}

// SAFETY: every call is the system allocator's; what is counted beside it allocates nothing.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller has promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        give_back(layout.size());
        // SAFETY: as the caller has promised.
        unsafe { System.realloc(memory, layout, size) }
    }
}
