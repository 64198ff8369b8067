//! The life of a client: open, flush, close and free, and what an operator may change meanwhile.

use std::ffi::c_char;
use std::time::Duration;

use crate::client::{Client, Report};
use crate::error::Result;

use super::argument::required;
use super::config::meditopia_config;
use super::error::meditopia_error;
use super::growing::GrowingOutput;
use super::guard::guard;
use super::handle::{Handle, Shared, free, give, read_only, shared};
use super::output::out_param;
use super::panic::guard_or;
use super::report::meditopia_report;
use super::status::meditopia_status;

/// A client of one spool. Any number of threads may call its functions at the same time, and a
/// process forked from the one that opened it may go on using it. Clients of one process that name
/// the same spool share one writer, one sender and one log.
pub struct meditopia_client {
    pub(super) client: Client,
}

impl Handle for meditopia_client {
    type Access = Shared;
}

/// Opens a client of the spool that `config` names, and creates the spool if it does not exist.
///
/// The configuration is copied, so you may free it at once. `*out` receives the client, to be freed
/// with `meditopia_client_free`; after an error it is NULL. `error` may be NULL.
///
/// Reads a few small files. Does no network I/O and starts no thread: with `role` "both" a thread
/// starts at the first enqueue. Callable from any thread. The master of a prefork server may open
/// the client, and its workers use the handle that they inherit.
///
/// Open it after dropping rights (`setuid`): the spool belongs to the user who opens it. A process
/// that changes its user later gets `MEDITOPIA_ERROR_SPOOL_MISMATCH` from calls on the client. One
/// that changes its root directory (`chroot`) goes on with the spool that it has open.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL
///   MEDITOPIA_ERROR_CONFIG            no spool is named, options contradict each other, or there is
///                                     no /proc/sys/kernel/random/boot_id, as in a chroot without it
///   MEDITOPIA_ERROR_CONFLICT          this process has the spool open with another value of the
///                                     key that the message names
///   MEDITOPIA_ERROR_SPOOL_MISMATCH    the spool belongs to another user, endpoint or account, or
///                                     was copied or moved
///   MEDITOPIA_ERROR_SPOOL_FULL        there is no room to create the spool
///   MEDITOPIA_ERROR_IO
///   MEDITOPIA_ERROR_STORE             a newer version of the library wrote the spool
///
/// Example:
///
///   meditopia_client *client = NULL;
///   if (meditopia_client_open(config, &client, &error) < 0) {
///       fprintf(stderr, "meditopia: %s\n", error.message);
///       return 1;
///   }
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_client_open(
    config: *const meditopia_config,
    out: *mut *mut meditopia_client,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live config that no other thread uses.
        let config = unsafe { read_only("config", config) }?;
        *out = give(meditopia_client {
            client: Client::open(&config.config)?,
        });
        Ok(())
    })
}

/// Waits until every event that any process enqueued on this spool before the call is delivered or
/// rejected. If no other process sends, this call sends, even with `role` "enqueue".
///
/// If delivery is paused, the call tries again first: one probe request is sent at once, unless the last
/// one was less than 30 s ago or an operator holds delivery. The call ends with the probe's answer.
///
/// `timeout_ms` is the longest time that it waits, 0 to 4294967295 milliseconds, name look-up
/// included. `report` may be NULL; otherwise set its `struct_size`. It is written whatever the
/// status is. Even with `MEDITOPIA_OK` its `rejected` may be above 0.
///
/// Callable from any thread.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  `client` is NULL, or `struct_size` is not set
///   MEDITOPIA_ERROR_TIMEOUT           events are still waiting; they are kept
///   MEDITOPIA_ERROR_PAUSED            `pause_reason` says why (a missing bearer token is one
///                                     reason); every event is kept
///   MEDITOPIA_ERROR_CONFIG            `ca_file` cannot be used
///   MEDITOPIA_ERROR_SPOOL_FULL, MEDITOPIA_ERROR_IO, MEDITOPIA_ERROR_STORE
///   MEDITOPIA_ERROR_CLOSED
///
/// Example:
///
///   meditopia_report report = { .struct_size = sizeof report };
///   status = meditopia_flush(client, 30000, &report, &error);
///   printf("%llu delivered\n", (unsigned long long)report.delivered);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_flush(
    client: *mut meditopia_client,
    timeout_ms: u32,
    report: *mut meditopia_report,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client, and NULL or a report that says its size.
        unsafe {
            reported(client, report, |client| {
                client.flush(milliseconds(timeout_ms))
            })
        }
    })
}

/// Closes a client. With `role` "both", closing the last client of this process on the spool first
/// flushes, if the process has enqueued or flushed anything, and then stops the sender of this
/// process. With "enqueue" nothing is sent. Events that are not delivered by then wait in the spool
/// for the next sender.
///
/// `timeout_ms` is the longest time that it waits, 0 to 4294967295 milliseconds. 0 is allowed and
/// loses nothing. `report` may be NULL; otherwise set its `struct_size`. It is written whatever the
/// status is. To count the pending events, the call reads the part of the spool that no sender has
/// taken over yet.
///
/// The client is closed whatever the status is, except with `MEDITOPIA_ERROR_INVALID_ARGUMENT`:
/// from now on other calls return `MEDITOPIA_ERROR_CLOSED`, and the log callback does not run any
/// more. Closing a client again returns `MEDITOPIA_OK`, after waiting for a thread that is closing it;
/// if that one is not ready in time, `MEDITOPIA_ERROR_TIMEOUT`. Callable from any thread. A process that
/// ends without this call loses nothing.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, and as for `meditopia_flush`
/// `MEDITOPIA_ERROR_TIMEOUT`, `MEDITOPIA_ERROR_PAUSED`, `MEDITOPIA_ERROR_CONFIG`,
/// `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_client_close(
    client: *mut meditopia_client,
    timeout_ms: u32,
    report: *mut meditopia_report,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client, and NULL or a report that says its size.
        unsafe {
            reported(client, report, |client| {
                let timeout = milliseconds(timeout_ms);
                if report.is_null() {
                    (Report::default(), client.close(timeout))
                } else {
                    client.close_with_report(timeout)
                }
            })
        }
    })
}

/// Frees a client, after the last call with it on any thread has returned; a close need not have
/// returned, it is waited for. An open client is closed first, with a timeout of 0. NULL does nothing.
///
/// Callable from any thread. A forked process may free its own copy of the handle. Cursors and
/// texts are freed on their own, before or after the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_client_free(client: *mut meditopia_client) {
    guard_or((), || {
        // SAFETY: the header demands NULL or a live client.
        if let Ok(open) = unsafe { shared("client", client) } {
            open.client.close_before_free();
        }
        // SAFETY: the header demands NULL or a client that no other call uses or has freed.
        unsafe { free(client) }
    });
}

/// Replaces the bearer token of this process, from its next request on. A pause for
/// `MEDITOPIA_PAUSE_AUTH` ends with the next step of this process's sender. If another process is
/// the sender and the API refused its token, that process hands over to this one within about a
/// second, provided that this process may send: with `role` "both", or during a `meditopia_flush`
/// that waits.
///
/// `bearer_token` is UTF-8, without "Bearer " before it, and borrowed for the call. The library
/// keeps it in memory only. Does not block. Callable from any thread.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            the token is empty or not valid in an HTTP header
///   MEDITOPIA_ERROR_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_set_bearer_token(
    client: *mut meditopia_client,
    bearer_token: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client, and a string that outlives the call.
        let (client, bearer_token) = unsafe {
            (
                shared("client", client)?,
                required("bearer_token", bearer_token)?,
            )
        };
        client.client.set_bearer_token(bearer_token)
    })
}

/// Stops sending from this spool, in every process, until `meditopia_resume`. The hold survives
/// restarts. Enqueue still works. Holding a spool that is held already returns `MEDITOPIA_OK`.
///
/// A request in flight is finished. The call waits until the spool's sender has carried the command
/// out, normally less than a second and at most five seconds. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the command may still
/// take effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_hold(
    client: *mut meditopia_client,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client.
        unsafe { shared("client", client) }?.client.hold()
    })
}

/// Ends a hold or any other pause except `MEDITOPIA_PAUSE_STORE_DAMAGED`, and the wait after a
/// failed request, even if the API asked for that wait: the sender tries again at once. Resuming a
/// spool that is not paused returns `MEDITOPIA_OK`.
///
/// Blocking, threads and errors as for `meditopia_hold`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_resume(
    client: *mut meditopia_client,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client.
        unsafe { shared("client", client) }?.client.resume()
    })
}

/// Runs `work` and writes its report, whatever the result is.
///
/// # Safety
/// `client` is NULL or live. `report` is NULL or starts with its size, and no other call uses it.
unsafe fn reported(
    client: *const meditopia_client,
    report: *mut meditopia_report,
    work: impl FnOnce(&Client) -> (Report, Result<()>),
) -> Result<()> {
    // SAFETY: passed on.
    let report = unsafe { GrowingOutput::optional("report", report) }?;
    // SAFETY: passed on.
    let client = unsafe { shared("client", client) }?;
    let (done, result) = work(&client.client);
    if let Some(mut report) = report {
        report.fill(&(&done).into());
    }
    result
}

fn milliseconds(timeout: u32) -> Duration {
    Duration::from_millis(timeout.into())
}
