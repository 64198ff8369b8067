//! The client's life: open, flush, close, free, and what an operator may change meanwhile.

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

/// A client of one spool. Any number of threads may call any of its functions at the same time,
/// and a process forked from its owner may go on with it. Clients of one process that name the same
/// spool share what is behind them.
pub struct meditopia_client {
    pub(super) client: Client,
}

impl Handle for meditopia_client {
    type Access = Shared;
}

/// Opens a client of the spool that `config` names; makes the spool if it is not there.
///
/// The configuration is copied and may be freed at once. `*out` gets the client for
/// `meditopia_client_free`; NULL after an error. `error` may be NULL.
///
/// Reads a few small files; no network I/O, and no thread: with `role` "both" one starts at the
/// first enqueue. Callable from any thread. A prefork master may open it, and its workers use what
/// they inherit.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL
///   MEDITOPIA_ERROR_CONFIG            no spool, or options that contradict each other
///   MEDITOPIA_ERROR_CONFLICT          this process has the spool open with another value for the
///                                     key that the message names
///   MEDITOPIA_ERROR_SPOOL_MISMATCH    the spool is another user's, endpoint's or account's, or
///                                     was copied or moved
///   MEDITOPIA_ERROR_SPOOL_FULL        no room to make it
///   MEDITOPIA_ERROR_IO
///   MEDITOPIA_ERROR_STORE             of a newer version than this library
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
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live config that no thread changes meanwhile.
        let config = unsafe { read_only("config", config) }?;
        *out = give(meditopia_client {
            client: Client::open(&config.config)?,
        });
        Ok(())
    })
}

/// Waits until everything that was enqueued on this spool before the call, by any process, is
/// delivered or rejected. Sends itself if nobody else does, even with `role` "enqueue".
///
/// `timeout_ms` is how long it waits at most, 0 to 4294967295 milliseconds, name look-up included.
/// `report` (may be NULL, else set its `struct_size`) is written whatever the status; with
/// `MEDITOPIA_OK` its `rejected` may well be above 0.
///
/// Callable from any thread.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL, or `struct_size` not set
///   MEDITOPIA_ERROR_TIMEOUT           events are still waiting; they are kept
///   MEDITOPIA_ERROR_PAUSED            `pause_reason` says why (a missing bearer token is one);
///                                     everything is kept
///   MEDITOPIA_ERROR_CONFIG            `ca_file` cannot be used
///   MEDITOPIA_ERROR_SPOOL_FULL, MEDITOPIA_ERROR_IO, MEDITOPIA_ERROR_STORE
///   MEDITOPIA_ERROR_FORKED            this process may not send, and nobody else did in time
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
        // SAFETY: the header asks for a live client and for NULL or a report that says its size.
        unsafe {
            reported(client, report, |client| {
                client.flush(milliseconds(timeout_ms))
            })
        }
    })
}

/// Ends the work of a client: with `role` "both", if anything was enqueued or flushed by this
/// process, it flushes and stops; with "enqueue" it only stops and never sends. What is not delivered by then waits in the spool for the next sender.
///
/// `timeout_ms` is how long it waits at most, 0 to 4294967295 milliseconds; 0 is legal and loses
/// nothing. `report` (may be NULL, else set its `struct_size`) is written whatever the status; to
/// count what waits it reads the part of the spool that no sender has taken over yet.
///
/// The client is closed whatever the status, `MEDITOPIA_ERROR_INVALID_ARGUMENT` apart: other calls
/// return `MEDITOPIA_ERROR_CLOSED` from now on, and the log callback runs no more. Closing again is
/// `MEDITOPIA_OK`. Callable from any thread. A process that ends without it loses nothing.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, and as for `meditopia_flush`
/// `MEDITOPIA_ERROR_TIMEOUT`, `MEDITOPIA_ERROR_PAUSED`, `MEDITOPIA_ERROR_CONFIG`,
/// `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_client_close(
    client: *mut meditopia_client,
    timeout_ms: u32,
    report: *mut meditopia_report,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live client and for NULL or a report that says its size.
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

/// Frees a client, after the last call by any thread; closes it with a timeout of 0 if it is open.
/// NULL does nothing.
///
/// Callable from any thread, and in a forked process for its own copy of the handle. Cursors and
/// texts are freed on their own, before or after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_client_free(client: *mut meditopia_client) {
    guard_or((), || {
        // SAFETY: NULL or a live client, says the header.
        if let Ok(open) = unsafe { shared("client", client) } {
            // What it could not do in no time waits in the spool, and nobody is left to tell.
            let _ = open.client.close(Duration::ZERO);
        }
        // SAFETY: NULL or a client of the library that nobody uses any more, says the header.
        unsafe { free(client) }
    });
}

/// Replaces the bearer token of this process, from the next request on; ends a pause for
/// `MEDITOPIA_PAUSE_AUTH` at once. If another process sends, and its token was refused, it gives way
/// within a second or so to this one, provided that this one may send: `role` = "both", or a
/// `meditopia_flush` that waits.
///
/// `bearer_token` is UTF-8, without "Bearer " before it, and borrowed for the call. It is kept in
/// memory only. Does not block. Callable from any thread.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8
///   MEDITOPIA_ERROR_CONFIG            empty, or not fit for an HTTP header
///   MEDITOPIA_ERROR_IO                the sender could not be told
///   MEDITOPIA_ERROR_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_set_bearer_token(
    client: *mut meditopia_client,
    bearer_token: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live client and for a string that outlives the call.
        let (client, bearer_token) = unsafe {
            (
                shared("client", client)?,
                required("bearer_token", bearer_token)?,
            )
        };
        client.client.set_bearer_token(bearer_token)
    })
}

/// Stops sending from this spool, in every process, until `meditopia_resume`; survives a restart.
/// Enqueue goes on. Holding twice is `MEDITOPIA_OK`.
///
/// A request that is on its way is finished. Waits until the spool's sender has taken the order,
/// normally less than a second and at most five. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (it may still take
/// effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_hold(
    client: *mut meditopia_client,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live client.
        unsafe { shared("client", client) }?.client.hold()
    })
}

/// Ends a hold, any other pause but `MEDITOPIA_PAUSE_STORE_DAMAGED`, and the wait after a failed
/// request, also one that the API asked for: the sender tries again at once. Resuming what is not paused is `MEDITOPIA_OK`.
///
/// Blocking, threads and errors as for `meditopia_hold`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_resume(
    client: *mut meditopia_client,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live client.
        unsafe { shared("client", client) }?.client.resume()
    })
}

/// Runs `work` and writes its report whatever comes of it.
///
/// # Safety
/// `client` is NULL or live; `report` is NULL or starts with its size and is the caller's.
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
