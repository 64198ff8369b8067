//! What the C API promises its callers, whatever the code behind it does.
//!
//! The tests call the exports as C does. They read the functions and their arguments from the
//! committed header, so none is forgotten. No test sends: the clients only enqueue.

mod arguments;
mod erasure;
mod growth;
mod handles;
mod header;
mod layout;
mod outputs;
pub(super) mod panics;

use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

use tempfile::TempDir;

use super::client::{meditopia_client, meditopia_client_free, meditopia_client_open};
use super::config::{
    meditopia_config, meditopia_config_free, meditopia_config_new, meditopia_config_set,
};
use super::error::meditopia_error;
use super::status::{meditopia_status, meditopia_status_code};

const OK: meditopia_status = meditopia_status_code::MEDITOPIA_OK as meditopia_status;
const INVALID_ARGUMENT: meditopia_status =
    meditopia_status_code::MEDITOPIA_ERROR_INVALID_ARGUMENT as meditopia_status;
const INTERNAL: meditopia_status =
    meditopia_status_code::MEDITOPIA_ERROR_INTERNAL as meditopia_status;

/// A meditopia_error as on a stack: not initialised, with old values in every field.
fn dirty_error() -> meditopia_error {
    meditopia_error {
        status: 77,
        http_status: 77,
        retryable: 77,
        pause_reason: 77,
        event_index: 77,
        api_code: [b'x' as c_char; 32],
        message: [b'x' as c_char; 512],
        reserved: [77; 9],
    }
}

fn text_of(array: &[c_char]) -> String {
    assert!(array.contains(&0), "not terminated");
    // SAFETY: there is a NUL within the array.
    let text = unsafe { CStr::from_ptr(array.as_ptr()) };
    text.to_str().expect("UTF-8").to_owned()
}

/// A config, and a client of a new spool that never sends.
struct Opened {
    config: *mut meditopia_config,
    client: *mut meditopia_client,
    spool: TempDir,
}

impl Opened {
    fn new() -> Self {
        let spool = tempfile::tempdir().expect("a temporary directory");
        let config = meditopia_config_new();
        let path = spool.path().join("spool");
        let path = CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        let options = [
            (c"spool", path.as_c_str()),
            (c"role", c"enqueue"),
            (c"endpoint", c"http://127.0.0.1:9/v1/events"),
        ];
        let mut client = null_mut();
        let mut error = dirty_error();
        // SAFETY: live handles, NUL-terminated strings.
        unsafe {
            for (key, value) in options {
                let set = meditopia_config_set(config, key.as_ptr(), value.as_ptr(), &mut error);
                assert_eq!(set, OK, "{}", text_of(&error.message));
            }
            let opened = meditopia_client_open(config, &mut client, &mut error);
            assert_eq!(opened, OK, "{}", text_of(&error.message));
        }
        Self {
            config,
            client,
            spool,
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: both are live, and the test is over.
        unsafe {
            meditopia_client_free(self.client);
            meditopia_config_free(self.config);
        }
    }
}
