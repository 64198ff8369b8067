//! Structs that start with `struct_size` and may grow at their end.
//!
//! The caller sets `struct_size` to the size of the struct in the header that the application was
//! compiled with. An older or a newer header is recognised by it, and no byte beyond it is touched.

use std::marker::PhantomData;

use crate::error::Result;

use super::argument::{invalid_argument, null_argument};

/// No version of a struct is larger: a greater `struct_size` was not set.
const LARGEST: usize = 4096;

/// A struct of the header that starts with `struct_size` and may grow at its end.
///
/// # Safety
/// `repr(C)`; starts with a `u32` named `struct_size`; all fields are numbers and raw pointers; no
/// padding; `FIRST_SIZE` is at least 4 and at most the size of the struct.
pub(super) unsafe trait Growing: Copy {
    /// Its name in the header.
    const NAME: &'static str;
    /// Its size in the first version of the header.
    const FIRST_SIZE: usize;
    /// The value of each field before anything is known.
    const BLANK: Self;
}

/// Reads a struct that the caller filled in. Fields that this version does not know must be zero:
/// to ignore a condition of a filter would select too many events.
///
/// # Safety
/// `from` is NULL, or starts with a `u32` that says how many bytes may be read there.
pub(super) unsafe fn read_growing<T: Growing>(name: &str, from: *const T) -> Result<T> {
    // SAFETY: passed on.
    let struct_size = unsafe { struct_size(name, from) }?;
    // SAFETY: `struct_size` bytes may be read (contract above).
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), struct_size) };
    let (known, unknown) = bytes.split_at(struct_size.min(size_of::<T>()));
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(invalid_argument(format!(
            "{name} sets a field that this version of the library does not know; leave it 0 or update the library"
        )));
    }
    let mut value = T::BLANK;
    // SAFETY: `known` is not longer than a `T` and does not overlap `value`. The fields of a `T`
    // are numbers and pointers, so any bytes make valid ones.
    unsafe {
        std::ptr::copy_nonoverlapping(known.as_ptr(), (&raw mut value).cast::<u8>(), known.len());
    }
    Ok(value)
}

/// A struct of the caller that the library writes, as far as both sides know its fields.
pub(super) struct GrowingOutput<'a, T: Growing> {
    to: *mut T,
    writable: usize,
    lives: PhantomData<&'a mut T>,
}

impl<T: Growing> GrowingOutput<'_, T> {
    /// The struct at `to`, blank.
    ///
    /// # Safety
    /// `to` is NULL, or starts with a `u32` that says how many bytes may be written there, and no
    /// other call uses them while this value lives.
    pub(super) unsafe fn new(name: &str, to: *mut T) -> Result<Self> {
        // SAFETY: passed on.
        let struct_size = unsafe { struct_size(name, to) }?;
        let mut output = Self {
            to,
            writable: struct_size.min(size_of::<T>()),
            lives: PhantomData,
        };
        output.fill(&T::BLANK);
        Ok(output)
    }

    /// The struct at `to`, blank; `None` for NULL.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub(super) unsafe fn optional(name: &str, to: *mut T) -> Result<Option<Self>> {
        if to.is_null() {
            return Ok(None);
        }
        // SAFETY: passed on.
        unsafe { Self::new(name, to) }.map(Some)
    }

    /// Writes the fields that the caller has room for; the caller's `struct_size` stays.
    pub(super) fn fill(&mut self, value: &T) {
        const SKIPPED: usize = size_of::<u32>();
        // SAFETY: `writable` bytes may be written (contract of `new`). They are at most a `T` and
        // at least its `FIRST_SIZE`, so more than `SKIPPED`. Every byte of `value` is initialised,
        // since it has no padding, and a value of Rust does not overlap the caller's struct.
        unsafe {
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>().add(SKIPPED),
                self.to.cast::<u8>().add(SKIPPED),
                self.writable - SKIPPED,
            );
        }
    }
}

/// The `struct_size` that the caller has set.
///
/// # Safety
/// `at` is NULL or starts with a readable `u32`.
unsafe fn struct_size<T: Growing>(name: &str, at: *const T) -> Result<usize> {
    if at.is_null() {
        return Err(null_argument(name));
    }
    if !at.is_aligned() {
        return Err(invalid_argument(format!(
            "{name} is not aligned for its type"
        )));
    }
    // SAFETY: not NULL, aligned, and it starts with a `u32` (contract above).
    let struct_size = unsafe { at.cast::<u32>().read() } as usize;
    if !(T::FIRST_SIZE..=LARGEST).contains(&struct_size) {
        return Err(invalid_argument(format!(
            "{name}.struct_size is {struct_size}; set it to sizeof({}), at least {}, before the call",
            T::NAME,
            T::FIRST_SIZE
        )));
    }
    Ok(struct_size)
}
