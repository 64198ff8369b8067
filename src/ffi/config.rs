//! The options of a client, before it is opened.
//!
//! The table of keys in the documentation of `meditopia_config_set` is the reference for users. It is
//! written by hand; `crate::config` checks the values, and `OPTIONS` there is the other table.

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

/// Options for `meditopia_client_open`. A configuration is plain memory: it opens nothing and
/// survives fork. One thread at a time may use it.
pub struct meditopia_config {
    pub(super) config: Config,
}

impl Handle for meditopia_config {
    type Access = Exclusive;
}

/// Makes a configuration with the default of every option. Free it with `meditopia_config_free`.
///
/// Returns NULL only after a defect in this library. Callable from any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_config_new() -> *mut meditopia_config {
    guard_or(std::ptr::null_mut(), || {
        give(meditopia_config {
            config: Config::new(),
        })
    })
}

/// Sets one option. The last call that sets an option wins, whether the value came from this
/// function, from a file or from the environment.
///
/// `key` and `value` are UTF-8 and borrowed for the call. Every value is text: numbers are decimal,
/// booleans are "true" or "false". An empty value unsets an option that has no default.
///
///   key                  type, default, range: meaning
///
///   spool                path, required, no default: a directory on a local disk that belongs to
///                        this user alone. It holds the events, and is created (0700) if it does
///                        not exist
///   endpoint             URL, https://partners.meditopia.com/default/v1/events: the full URL that
///                        events are posted to. https only; http only to loopback, for tests. If
///                        it is not set, the endpoint of an existing spool of this user counts
///   account              text, empty: tells the spools of several accounts apart
///   bearer_token         secret, none: the API's bearer token. Needed to send, not to enqueue.
///                        Never read back, never logged
///   bearer_token_file    path, none: a file that holds the bearer token. It takes precedence over
///                        bearer_token, and is read again when the API refuses the token
///   durability           "process", "power" or "memory"; process: what an acknowledged event
///                        survives. "process": the death of the process. "power": also a power cut
///                        (each enqueue waits for the disk). "memory": nothing; a private temporary
///                        spool for tests, removed at close
///   role                 "both" or "enqueue"; both: "both": enqueue, and send when elected.
///                        "enqueue": only enqueue, start no thread, and leave sending to another
///                        process; only a call of meditopia_flush sends in this one
///   flush_interval_ms    number, 10000, 10 to 86400000: longest time that an event waits for its
///                        batch to fill
///   batch_max            number, 100, 1 to 100: maximum number of events in one request
///   lanes                number, 1, 1 to 16: maximum number of requests in flight. All events of a
///                        user go through one lane
///   connect_timeout_ms   number, 10000, 10 to 3600000: time limit for the name look-up, the
///                        connection and TLS together
///   request_timeout_ms   number, 30000, 10 to 3600000: time limit from the first byte sent to the
///                        last byte received
///   proxy                URL, none: an HTTP proxy. It may contain a password, so it is never read
///                        back. Proxies that the environment names are ignored, and an http
///                        endpoint on this host is reached without one
///   ca_file              path, none: PEM certificates to trust instead of the system's. Read
///                        again when it changes
///   max_spool_bytes      number, 0 = no limit: if the spool is larger than this, enqueue returns
///                        MEDITOPIA_ERROR_SPOOL_FULL. Approximate; rejected events do not count
///   max_event_bytes      number, 65536, 256 to 1048576: maximum size of one event, as JSON
///   utc_offset           "+HH:MM" or "-HH:MM", +00:00: the time zone that received_at is converted
///                        to
///   event_ttl_s          number, 0 = never: age from which events are not sent any more; they are
///                        kept and listed as expired
///   max_requests_per_s   number, 0 = no limit, up to 10000: maximum number of requests per second
///                        from one sender
///   brake_users          number, 20, 0 = off, up to 1000000: after lone refusals of this many
///                        different users in a row, nothing more is rejected; after as many again,
///                        delivery pauses (MEDITOPIA_PAUSE_MASS_REJECTION)
///   receipts_days        number, 7, 0 = off, up to 3650: how many days receipts are kept. A
///                        receipt says when the events of which users were delivered
///                        (`meditopia_receipts_open`)
///   log_level            "error", "warn", "info", "debug" or "off"; info: the least urgent level
///                        that is logged
///   allow_network_spool  boolean, false: accept a spool on a network file system, where locks and
///                        promises may not hold
///   trust_group          boolean, false: accept a spool whose directory the group may write to, and
///                        that another user may own, if this process is in the group: what
///                        Kubernetes (fsGroup) and OpenShift set up
///
/// Does not block.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            the key is unknown (the message names the nearest known
///                                     key), or the value is out of range; nothing is changed
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
        // SAFETY: the header demands a live config that no other thread uses, and strings that
        // outlive the call.
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

/// Reads one option as text; if nothing has set it, its default. Secrets are refused.
///
/// `*out` receives a new text, to be freed with `meditopia_text_free`; after an error it is NULL.
/// Does not block.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            the key is unknown, or the option is a secret
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_get(
    config: *const meditopia_config,
    key: *const c_char,
    out: *mut *mut meditopia_text,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live config that no other thread uses, and a string that
        // outlives the call.
        let (config, key) = unsafe { (read_only("config", config)?, required("key", key)?) };
        *out = meditopia_text::give(config.config.get(key)?);
        Ok(())
    })
}

/// Sets options from environment variables: `MEDITOPIA_ENDPOINT`, `MEDITOPIA_SPOOL` and so on, one
/// for each key of `meditopia_config_set`, in capitals.
///
/// No other function of this library reads the environment. As with every reader of the
/// environment, no other thread may call setenv at the same time. An unknown key is ignored, and
/// logged when a client opens, so that applications with two versions of the library can share one
/// environment. After an error, some of the options may have been set. Does not block.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CONFIG` (the message names the
/// variable).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_load_env(
    config: *mut meditopia_config,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live config that no other thread uses.
        unsafe { exclusive("config", config) }?
            .config
            .load_process_env()
    })
}

/// Sets options from a TOML file of `key = value` lines, with the keys of `meditopia_config_set`.
///
/// `path` is UTF-8 and borrowed for the call. An unknown key is ignored, and logged when a client
/// opens. After an error, some of the options may have been set. Blocks only while it reads the
/// file.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            the file cannot be read or is not TOML, or a value is out of
///                                     range
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_load_file(
    config: *mut meditopia_config,
    path: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live config that no other thread uses, and a string that
        // outlives the call.
        let (config, path) = unsafe { (exclusive("config", config)?, required("path", path)?) };
        config.config.load_file(Path::new(path))
    })
}

/// Frees a configuration. Clients opened from it have a copy of their own. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_config_free(config: *mut meditopia_config) {
    guard_or((), || {
        // SAFETY: the header demands NULL or a config that no other call uses or has freed.
        unsafe { free(config) }
    });
}
