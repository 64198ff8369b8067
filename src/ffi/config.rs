//! Options on their way to a client.
//!
//! The table of keys below is the reference that users read; `crate::config` decides.

use std::ffi::c_char;
use std::path::Path;

use crate::config::Config;

use super::argument::required;
use super::error::meditopia_error;
use super::guard::guard;
use super::handle::{Exclusive, Handle, exclusive, free, give, read_only};
use super::output::out_param;
use super::panic::guard_or;
use super::status::meditopia_status;
use super::text::meditopia_text;

/// Options for `meditopia_client_open`. Plain memory: it opens nothing, and survives fork. One
/// thread at a time.
pub struct meditopia_config {
    pub(super) config: Config,
}

impl Handle for meditopia_config {
    type Access = Exclusive;
}

/// A configuration with every default. Free it with `meditopia_config_free`.
///
/// NULL only after a defect of this library. Callable from any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_config_new() -> *mut meditopia_config {
    guard_or(std::ptr::null_mut(), || {
        give(meditopia_config {
            config: Config::new(),
        })
    })
}

/// Sets one option. Later calls win, also over what a file or the environment said.
///
/// `key` and `value` are UTF-8 and borrowed for the call. Every value is text: numbers in decimal,
/// booleans as "true" or "false", and an empty value unsets what has no default.
///
///   key                  type, default, range: meaning
///
///   spool                path, required, no default: a directory of this user's alone, on a local
///                        disk; made (0700) if it is not there. The events live here
///   endpoint             URL, https://partners.meditopia.com/default/v1/events: the full URL.
///                        https only; http to loopback, for tests
///   account              text, empty: sets spools of several accounts apart
///   bearer_token         secret, none: what the API calls Bearer Token. Needed to send, not to
///                        enqueue. Never read back, never logged
///   bearer_token_file    path, none: a file that holds the bearer token, read again when the API
///                        refuses the token
///   durability           "process", "power" or "memory"; process: survive the death of the
///                        process; a power cut too (each enqueue waits for the disk); or nothing:
///                        a private temporary spool for tests, removed at close
///   role                 "both" or "enqueue"; both: enqueue and send, or only enqueue and leave
///                        sending to another process. No thread starts with "enqueue"
///   flush_interval_ms    number, 10000: how long an event waits at most for its batch to fill
///   batch_max            number, 100, 1 to 100: events in one request
///   lanes                number, 1, 1 to 16: requests in flight; a user's events share one lane
///   connect_timeout_ms   number, 10000: to look the name up, connect and agree on TLS
///   request_timeout_ms   number, 30000: from the first byte sent to the last byte received
///   proxy                URL, none: an HTTP proxy. The environment's is not looked at
///   ca_file              path, none: PEM certificates to trust instead of the system's
///   max_spool_bytes      number, 0 = no limit: when the spool is larger, enqueue returns
///                        MEDITOPIA_ERROR_SPOOL_FULL. Approximate; rejected events not counted
///   max_event_bytes      number, 65536: the longest event, as JSON
///   utc_offset           "+HH:MM" or "-HH:MM", +00:00: the zone that received_at is converted to
///   event_ttl_s          number, 0 = never: older events are not sent; they are kept and listed
///                        as expired
///   max_requests_per_s   number, 0 = no limit: for one sender
///   brake_users          number, 20, 0 = off: after lone refusals of so many different users
///                        in a row nothing more is rejected; after as many more delivery pauses
///                        (MEDITOPIA_PAUSE_MASS_REJECTION)
///   receipts_days        number, 7, 0 = off: for how long it can be asked whose events were delivered
///                        when (`meditopia_receipts_open`)
///   log_level            "error", "warn", "info" or "debug"; info: the least level that is logged
///   allow_network_spool  boolean, false: accept a spool on a network file system, where locks and
///                        promises may not hold
///
/// Does not block.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            an unknown key (the message names the nearest known one) or
///                                     a value out of range; nothing is changed
///
/// Example:
///
///   meditopia_config *config = meditopia_config_new();
///   status = meditopia_config_set(config, "spool", "/var/spool/myapp/meditopia", &error);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_set(
    config: *mut meditopia_config,
    key: *const c_char,
    value: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live config that no other thread uses, and for strings
        // that outlive the call.
        let (config, key, value) = unsafe {
            (
                exclusive("config", config)?,
                required("key", key)?,
                required("value", value)?,
            )
        };
        config.config.set(key, value)
    })
}

/// Reads one option back, as text; a default where nothing was set. Secrets are refused.
///
/// `*out` gets a new text for `meditopia_text_free`; NULL after an error. Does not block.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            an unknown key, or a secret
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_get(
    config: *const meditopia_config,
    key: *const c_char,
    out: *mut *mut meditopia_text,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live config and for a string that outlives the call.
        let (config, key) = unsafe { (read_only("config", config)?, required("key", key)?) };
        *out = meditopia_text::give(config.config.get(key)?);
        Ok(())
    })
}

/// Sets options from the environment: `MEDITOPIA_ENDPOINT`, `MEDITOPIA_SPOOL` and so on, each key
/// of `meditopia_config_set` in capitals.
///
/// The only function of this library that reads the environment. As for every reader, no other
/// thread may call setenv meanwhile. An unknown key is logged when a client opens, and ignored, so
/// that hosts of two versions can share one environment. After an error any part of it may be set.
/// Does not block.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CONFIG` (the message names the
/// variable).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_load_env(
    config: *mut meditopia_config,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live config that no other thread uses.
        unsafe { exclusive("config", config) }?
            .config
            .load_process_env()
    })
}

/// Sets options from a TOML file of `key = value` lines with the keys of `meditopia_config_set`.
///
/// `path` is UTF-8 and borrowed for the call. An unknown key is logged when a client opens, and
/// ignored. After an error any part of the file may be set. Reads the file, and blocks no longer
/// than that.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            it cannot be read, is not TOML, or a value is out of range
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_load_file(
    config: *mut meditopia_config,
    path: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live config that no other thread uses, and for a string
        // that outlives the call.
        let (config, path) = unsafe { (exclusive("config", config)?, required("path", path)?) };
        config.config.load_file(Path::new(path))
    })
}

/// Frees a configuration; NULL does nothing. Clients opened from it have their own copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_free(config: *mut meditopia_config) {
    guard_or((), || {
        // SAFETY: NULL or a config of the library that nobody uses any more, says the header.
        unsafe { free(config) }
    });
}
