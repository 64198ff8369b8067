//! The version of the library, and whether an application compiled with another header may use it.

use std::ffi::c_char;

use super::panic::guard_or;

/// The version of this header, for `#if`. Changes when applications have to be compiled again. It
/// is also part of the library's file name (libmeditopia.so.0).
pub const MEDITOPIA_ABI_MAJOR: u32 = 0;

/// Grows when a function, a constant, or a field at the end of a struct is added.
pub const MEDITOPIA_ABI_MINOR: u32 = 3;

/// The same for meditopia_ffi.h, whose readers know no `#define`.
#[repr(C)]
pub enum meditopia_abi {
    MEDITOPIA_ABI_MAJOR = 0,
    MEDITOPIA_ABI_MINOR = 3,
}

const _: () = assert!(
    MEDITOPIA_ABI_MAJOR == meditopia_abi::MEDITOPIA_ABI_MAJOR as u32
        && MEDITOPIA_ABI_MINOR == meditopia_abi::MEDITOPIA_ABI_MINOR as u32
);

/// The ABI version of the loaded library: major << 16 | minor.
///
/// An application that loads the library at run time (dlopen, PHP, Python) may use it if its major
/// version equals the `MEDITOPIA_ABI_MAJOR` of the application's header, and its minor version is
/// at least the `MEDITOPIA_ABI_MINOR` of that header. Callable from any thread at any time; does
/// not block and cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_abi_version() -> u32 {
    guard_or(0, || MEDITOPIA_ABI_MAJOR << 16 | MEDITOPIA_ABI_MINOR)
}

/// The version of the loaded library, such as "0.2.0".
///
/// Returns a constant of the library, never NULL. Callable from any thread at any time; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    guard_or(std::ptr::null(), || VERSION.as_ptr().cast())
}
