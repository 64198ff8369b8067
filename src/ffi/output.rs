//! What goes out to C: places for handles and numbers, structs that may grow, and texts that must fit.
//!
//! A place is blanked before anything can fail, so that a caller never reads what was not written.
//! A struct of an older or newer caller is recognised by the `struct_size` that the caller set:
//! no byte beyond it is ever touched.

use std::ffi::c_char;
use std::marker::PhantomData;

use crate::error::Result;

use super::argument::{invalid, null};

/// A place that must be given; it holds `blank` until the caller of this function fills it.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nobody else uses it for `'a`.
pub(super) unsafe fn place<'a, T>(name: &str, to: *mut T, blank: T) -> Result<&'a mut T> {
    // SAFETY: passed on.
    unsafe { optional_place(to, blank) }.ok_or_else(|| null(name))
}

/// A place that may be NULL when the caller does not care.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nobody else uses it for `'a`.
pub(super) unsafe fn optional_place<'a, T>(to: *mut T, blank: T) -> Option<&'a mut T> {
    if to.is_null() {
        return None;
    }
    // SAFETY: not NULL, writable, ours alone (contract above), and initialised by the write.
    unsafe {
        to.write(blank);
        Some(&mut *to)
    }
}

/// A struct of the header that starts with `struct_size` and grows at its end.
///
/// # Safety
/// `repr(C)`, starts with a `u32` named `struct_size`, all its fields are numbers and raw pointers, it has
/// no padding, and `FIRST_SIZE` is not more than its size and not less than 4.
pub(super) unsafe trait Growing: Copy {
    /// Its name in the header.
    const NAME: &'static str;
    /// Its size in the first version of the header.
    const FIRST_SIZE: usize;
    /// What it says when there is nothing to say.
    const BLANK: Self;
}

/// A struct of the caller's, of which as much is written as both sides know.
pub(super) struct Grown<'a, T: Growing> {
    to: *mut T,
    writable: usize,
    lives: PhantomData<&'a mut T>,
}

impl<T: Growing> Grown<'_, T> {
    /// The struct at `to`, blanked.
    ///
    /// # Safety
    /// `to` is NULL, or starts with a `u32` that says how many bytes there may be written, and
    /// nobody else uses them while this value lives.
    pub(super) unsafe fn at(name: &str, to: *mut T) -> Result<Self> {
        if to.is_null() {
            return Err(null(name));
        }
        if !to.is_aligned() {
            return Err(invalid(format!("{name} is not aligned for its type")));
        }
        // SAFETY: not NULL, aligned, and it starts with a u32 (contract above).
        let struct_size = unsafe { to.cast::<u32>().read() } as usize;
        if struct_size < T::FIRST_SIZE {
            return Err(invalid(format!(
                "{name}.struct_size is {struct_size}; set it to sizeof({}), at least {}, before the call",
                T::NAME,
                T::FIRST_SIZE
            )));
        }
        let mut grown = Self {
            to,
            writable: struct_size.min(size_of::<T>()),
            lives: PhantomData,
        };
        grown.fill(&T::BLANK);
        Ok(grown)
    }

    /// The struct at `to`, blanked; NULL when the caller does not care.
    ///
    /// # Safety
    /// As for [`at`](Self::at).
    pub(super) unsafe fn optional(name: &str, to: *mut T) -> Result<Option<Self>> {
        if to.is_null() {
            return Ok(None);
        }
        // SAFETY: passed on.
        unsafe { Self::at(name, to) }.map(Some)
    }

    /// Writes what the caller has room for; the caller's `struct_size` stays.
    pub(super) fn fill(&mut self, value: &T) {
        const SKIPPED: usize = size_of::<u32>();
        // SAFETY: `writable` bytes are ours to write (contract of `at`) and not more than `value`
        // has; it is at least `FIRST_SIZE`, so past `struct_size`. Without padding every byte is
        // initialised. The two do not overlap: `value` is Rust's.
        unsafe {
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>().add(SKIPPED),
                self.to.cast::<u8>().add(SKIPPED),
                self.writable - SKIPPED,
            );
        }
    }
}

/// `text` as a NUL-terminated array, cut where a character ends.
pub(super) fn fitted<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(visible(&text.as_bytes()[..end])) {
        *to = from as c_char;
    }
    array
}

/// A text that C reads until its NUL.
pub(super) struct Terminated(Vec<u8>);

impl Terminated {
    /// `text` with a NUL after it; what it holds itself stays and is counted by [`len`](Self::len).
    pub(super) fn exact(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    /// `text` for readers who have no length: a NUL inside becomes a question mark.
    pub(super) fn readable(text: &str) -> Self {
        Self(visible(text.as_bytes()).chain([0]).collect())
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// In bytes, without the NUL after it.
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// A NUL inside would hide what follows it.
fn visible(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes
        .iter()
        .map(|&byte| if byte == 0 { b'?' } else { byte })
}
