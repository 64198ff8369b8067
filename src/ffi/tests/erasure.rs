//! A user is erased through the C API.

use std::ptr::{null, null_mut};

use super::super::enqueue::meditopia_enqueue;
use super::super::erasure::{meditopia_erasure, meditopia_forget_user};
use super::super::growing::Growing;
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, text_of};

#[test]
fn an_erasure_says_how_much_is_gone_and_what_is_left() {
    let opened = Opened::new();
    let mut error = dirty_error();
    for user in [c"gone", c"stays", c"gone"] {
        // SAFETY: live handles, NUL-terminated strings.
        let status = unsafe {
            meditopia_enqueue(
                opened.client,
                c"t".as_ptr(),
                user.as_ptr(),
                c"video".as_ptr(),
                null(),
                null(),
                &mut error,
            )
        };
        assert_eq!(status, OK, "{}", text_of(&error.message));
    }
    let mut erasure = meditopia_erasure {
        struct_size: size_of::<meditopia_erasure>() as u32,
        in_flight: 77,
        ..meditopia_erasure::BLANK
    };
    let mut forget = |user: &std::ffi::CStr, erasure: *mut meditopia_erasure| {
        // SAFETY: live handles, a NUL-terminated string, and a struct that says its size or none.
        unsafe { meditopia_forget_user(opened.client, user.as_ptr(), 30_000, erasure, &mut error) }
    };
    assert_eq!(forget(c"gone", &mut erasure), OK);
    assert_eq!(
        (erasure.pending, erasure.rejected, erasure.receipts),
        (2, 0, 0)
    );
    assert_eq!(
        (erasure.in_flight, erasure.files_left, erasure.is_complete),
        (0, 0, 1)
    );
    assert_eq!(forget(c"stays", null_mut()), OK);
    assert_eq!(forget(c"stays", &mut erasure), OK);
    assert_eq!((erasure.pending, erasure.is_complete), (0, 1));
    assert_eq!(forget(c"", &mut erasure), INVALID_ARGUMENT);
    assert_eq!(erasure.is_complete, 0, "blank after an error");
    assert!(text_of(&error.message).contains("partner_user_id"));
    drop(opened);
}
