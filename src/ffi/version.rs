//! The version of the library, and whether an application compiled with another header may use it.

use std::ffi::c_char;

use super::panic::guard_or;

/// The version of this header. `MEDITOPIA_ABI_MAJOR` is also part of the library's file name
/// (libmeditopia.so.0). `MEDITOPIA_ABI_MINOR` grows whenever something is added.
#[repr(C)]
pub enum meditopia_abi {
    /// Changes when applications have to be compiled again.
    MEDITOPIA_ABI_MAJOR = 0,
    /// Grows when a function, a constant, or a field at the end of a struct is added.
    MEDITOPIA_ABI_MINOR = 2,
}

/// The ABI version of the loaded library: major << 16 | minor.
///
/// An application that loads the library at run time (dlopen, PHP, Python) may use it if its major
/// version equals the `MEDITOPIA_ABI_MAJOR` of the application's header, and its minor version is
/// at least the `MEDITOPIA_ABI_MINOR` of that header. Callable from any thread at any time; does
/// not block and cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_abi_version() -> u32 {
    guard_or(0, || {
        (meditopia_abi::MEDITOPIA_ABI_MAJOR as u32) << 16
            | meditopia_abi::MEDITOPIA_ABI_MINOR as u32
    })
}

/// The version of the loaded library, such as "0.1.0".
///
/// Returns a constant of the library, never NULL. Callable from any thread at any time; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    guard_or(std::ptr::null(), || VERSION.as_ptr().cast())
}
