//! Handles: values of the library that the application holds by pointer.
//!
//! Only a type that implements [`Handle`] can be given to C, read from a pointer or freed. The
//! [`Access`] of the type decides how it is read: [`Shared`] as `&T` on any number of threads,
//! [`Exclusive`] as `&mut T` by one thread at a time. So no caller can ask for a type that is no
//! handle, or for the wrong kind of access, and the compiler checks that the type allows its kind.
//! (rustls-ffi marks the ownership of its pointers in the same way, with `Castable`.)
//!
//! Rust cannot check that a pointer is live. That is a promise of the application, so the functions
//! that read one are unsafe.

use crate::error::Result;

use super::argument::null_argument;

/// A type of the header that the application holds by pointer and frees with `*_free`.
pub(super) trait Handle: Sized {
    /// [`Shared`] or [`Exclusive`].
    type Access: Access<Self>;
}

/// A kind of access that a handle of type `T` allows.
pub(super) trait Access<T> {}

/// Any number of threads may use the handle at the same time.
pub(super) enum Shared {}
impl<T: Send + Sync> Access<T> for Shared {}

/// One thread at a time may use the handle; it may move between threads.
pub(super) enum Exclusive {}
impl<T: Send> Access<T> for Exclusive {}

/// The value of a handle that any number of threads may use at the same time.
///
/// # Safety
/// `handle` is NULL, or came from [`give`] and is not freed during `'a`.
pub(super) unsafe fn shared<'a, T>(name: &str, handle: *const T) -> Result<&'a T>
where
    T: Handle<Access = Shared>,
{
    // SAFETY: NULL or live (contract above), and never borrowed exclusively: only `exclusive` makes
    // a `&mut`, and not of this type.
    unsafe { handle.as_ref() }.ok_or_else(|| null_argument(name))
}

/// The value of a handle that one thread uses at a time.
///
/// # Safety
/// `handle` is NULL, or came from [`give`] and is neither used elsewhere nor freed during `'a`.
pub(super) unsafe fn exclusive<'a, T>(name: &str, handle: *mut T) -> Result<&'a mut T>
where
    T: Handle<Access = Exclusive>,
{
    // SAFETY: NULL, or live and used by this call alone (contract above).
    unsafe { handle.as_mut() }.ok_or_else(|| null_argument(name))
}

/// The value of a handle that one thread uses at a time, for a call that only reads it.
///
/// # Safety
/// `handle` is NULL, or came from [`give`] and is neither changed nor freed during `'a`.
pub(super) unsafe fn read_only<'a, T>(name: &str, handle: *const T) -> Result<&'a T>
where
    T: Handle<Access = Exclusive>,
{
    // SAFETY: NULL, or live and unchanged (contract above).
    unsafe { handle.as_ref() }.ok_or_else(|| null_argument(name))
}

/// Gives `value` to C, which returns it to [`free`].
pub(super) fn give<T: Handle>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Drops the value of a handle that [`give`] made. NULL does nothing.
///
/// # Safety
/// `handle` is NULL, or came from [`give`], is not freed yet, and is used by no other call.
pub(super) unsafe fn free<T: Handle>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: it came from `Box::into_raw`, and no other call uses it (contract above).
        drop(unsafe { Box::from_raw(handle) });
    }
}
