//! The log, pushed to a callback or polled.

use std::ffi::{c_char, c_void};

use crate::log::{Level, Record};

use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::{Step, guard};
use super::handle::shared;
use super::output::fitted;
use super::status::meditopia_status;

/// The values of `meditopia_log_record.level`. Less is more urgent.
#[repr(C)]
pub enum meditopia_log_level {
    /// Somebody has to act: delivery is paused, the disk is full.
    MEDITOPIA_LOG_ERROR = 1,
    /// Somebody should look: an event was rejected, nobody sends.
    MEDITOPIA_LOG_WARN = 2,
    /// What has changed and needs nobody: a pause is over, or goes on after a probe; the disk has room
    /// again; another process may send.
    MEDITOPIA_LOG_INFO = 3,
    /// Every request.
    MEDITOPIA_LOG_DEBUG = 4,
}

/// One line of the log. Never contains a bearer token.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_log_record {
    /// For `meditopia_log_next` set it to sizeof(meditopia_log_record) before the call. For a
    /// callback the library has set it: fields beyond it are not there.
    pub struct_size: u32,
    /// One of `meditopia_log_level`.
    pub level: i32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// What happened. NUL-terminated UTF-8, cut between two characters where it is too long.
    pub message: [c_char; 512],
}

// SAFETY: repr(C), starts with `struct_size`, and 4 + 4 + 8 + 512 leaves no padding.
unsafe impl Growing for meditopia_log_record {
    const NAME: &'static str = "meditopia_log_record";
    const FIRST_SIZE: usize = 528;
    const BLANK: Self = Self {
        struct_size: 0,
        level: 0,
        time_ms: 0,
        message: [0; 512],
    };
}

impl From<&Record> for meditopia_log_record {
    fn from(record: &Record) -> Self {
        let level = match record.level {
            Level::Error => meditopia_log_level::MEDITOPIA_LOG_ERROR,
            Level::Warn => meditopia_log_level::MEDITOPIA_LOG_WARN,
            Level::Info => meditopia_log_level::MEDITOPIA_LOG_INFO,
            Level::Debug => meditopia_log_level::MEDITOPIA_LOG_DEBUG,
        };
        Self {
            struct_size: size_of::<Self>() as u32,
            level: level as i32,
            time_ms: record.time_ms,
            message: fitted(&record.message),
        }
    }
}

/// What a host gives to `meditopia_set_log_callback`. `record` lives for the call only.
///
/// It runs on a thread of the library or on one that is inside a call to it, possibly on several
/// at once, so it has to be quick and thread-safe. It must not throw, not longjmp, and not call
/// this library.
pub type meditopia_log_fn =
    Option<unsafe extern "C" fn(record: *const meditopia_log_record, user_data: *mut c_void)>;

/// The pointer that the host wants to see again; never looked at here.
pub(super) struct UserData(pub(super) *mut c_void);

// SAFETY: the pointer is only handed back, and the header asks for a callback that any thread may
// run with it, on several threads at once.
unsafe impl Send for UserData {}
// SAFETY: as for Send.
unsafe impl Sync for UserData {}

impl UserData {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

/// Has `callback` called with every record of `log_level` and above, instead of the one before it.
/// NULL unsets it.
///
/// `user_data` is handed to the callback; it may be NULL, and must live until the callback is
/// replaced or unset, or the client is closed. When this function or `meditopia_client_close`
/// returns, the callback before it runs no more; it does not run in a forked process either. Waits
/// for a callback that is running. Callable from any thread, but not from the callback.
///
/// The library writes its log nowhere else: not to stdout, stderr or syslog. Languages whose code may not run on
/// a foreign thread (PHP) poll `meditopia_log_next` instead.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_CLOSED`.
///
/// Example:
///
///   static void to_stderr(const meditopia_log_record *record, void *user_data) {
///       (void)user_data;
///       fprintf(stderr, "meditopia: %s\n", record->message);
///   }
///   status = meditopia_set_log_callback(client, to_stderr, NULL, &error);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_set_log_callback(
    client: *mut meditopia_client,
    callback: meditopia_log_fn,
    user_data: *mut c_void,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a live client.
        let client = unsafe { shared("client", client) }?;
        let Some(callback) = callback else {
            return client.client.set_log_callback(None);
        };
        client
            .client
            .set_log_callback(Some(telling(callback, UserData(user_data))))
    })
}

/// The host's callback as the client calls it.
pub(super) fn telling(
    callback: unsafe extern "C" fn(*const meditopia_log_record, *mut c_void),
    user_data: UserData,
) -> Box<dyn Fn(&Record) + Send + Sync> {
    Box::new(move |record| {
        let record = meditopia_log_record::from(record);
        // SAFETY: the header asks for a function that any thread may call until it is unset, and
        // the client calls it no longer.
        unsafe { callback(&raw const record, user_data.get()) };
    })
}

/// Takes the oldest record that no call of this function has taken yet, for hosts that cannot be called
/// back. A callback takes none.
///
/// `record` is the caller's; set its `struct_size`. A few hundred records wait; beyond that the
/// oldest are dropped. Returns `MEDITOPIA_OK` with a record, or `MEDITOPIA_DONE` when none waits.
/// Does not block. Callable from any thread; each record goes to one caller.
///
/// After `meditopia_client_close` it gives what is left, what the close has said among it.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
/// `MEDITOPIA_ERROR_CLOSED` (the client is closed, and nothing is left).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_log_next(
    client: *mut meditopia_client,
    record: *mut meditopia_log_record,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a record that says its size, and for a live client.
        let (mut record, client) = unsafe {
            (
                GrowingOutput::<meditopia_log_record>::new("record", record)?,
                shared("client", client)?,
            )
        };
        match client.client.log_next()? {
            Some(next) => {
                record.fill(&(&next).into());
                Ok(Step::Given)
            }
            None => Ok(Step::Done),
        }
    })
}
