//! The log: a callback gets each record, or the application polls for them.

use std::ffi::{c_char, c_void};

use crate::log::{Level, Record};

use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::{Step, guard};
use super::handle::shared;
use super::output::truncated;
use super::status::meditopia_status;

/// The values of `meditopia_log_record.level`. A lower number is more urgent.
#[repr(C)]
pub enum meditopia_log_level {
    /// Events are at risk or are not being delivered: delivery is paused, or the disk is full.
    MEDITOPIA_LOG_ERROR = 1,
    /// Something that an operator should check: an event was rejected, or no process sends.
    MEDITOPIA_LOG_WARN = 2,
    /// What the library does, a few records per hour: a pause is over, or goes on after a probe; the
    /// disk has room again; another process may send.
    MEDITOPIA_LOG_INFO = 3,
    /// Every request.
    MEDITOPIA_LOG_DEBUG = 4,
}

/// One record of the log. Never contains a bearer token.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_log_record {
    /// For `meditopia_log_next`, set it to sizeof(meditopia_log_record) before the call. For a
    /// callback the library has set it; fields beyond that size are not there.
    pub struct_size: u32,
    /// One of `meditopia_log_level`.
    pub level: i32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// What happened. NUL-terminated UTF-8; a longer text is cut between two characters.
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
            message: truncated(&record.message),
        }
    }
}

/// The function that an application passes to `meditopia_set_log_callback`. `record` is valid
/// during the call only.
///
/// The function runs on a thread of the library, or on a thread that is inside a call of it, and
/// possibly on several threads at once. So it has to be quick and thread-safe, and must not throw,
/// call longjmp or call this library.
pub type meditopia_log_fn =
    Option<unsafe extern "C" fn(record: *const meditopia_log_record, user_data: *mut c_void)>;

/// The pointer that the application gets back in each call. The library never reads what it points
/// to.
pub(super) struct UserData(pub(super) *mut c_void);

// SAFETY: the pointer is only passed to the callback, and the header demands a callback that
// several threads may run with it at the same time.
unsafe impl Send for UserData {}
// SAFETY: as for `Send`.
unsafe impl Sync for UserData {}

impl UserData {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

/// Sets the function that is called with every record of `log_level` or more urgent. It replaces
/// the previous callback; NULL only removes that one. Before this function returns, the callback
/// also gets the records that were logged while none was set, at most 256, such as what the opening
/// of the client has to say.
///
/// `user_data` is passed to the callback. It may be NULL, and has to stay valid until the callback
/// is replaced or removed, or the client is closed. When this function or `meditopia_client_close`
/// returns, the previous callback is not running and will not run again. In a forked process the
/// parent's callback does not run; if a callback forks, the child must not return from it. Waits
/// for a callback that is running. Callable from any thread, but not from the callback.
///
/// The library writes its log nowhere else: not to stdout, stderr or syslog. Languages whose code
/// may not run on a foreign thread (PHP) poll `meditopia_log_next` instead.
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
        // SAFETY: the header demands a live client.
        let client = unsafe { shared("client", client) }?;
        let Some(callback) = callback else {
            return client.client.set_log_callback(None);
        };
        client
            .client
            .set_log_callback(Some(forward_to(callback, UserData(user_data))))
    })
}

/// The callback of the application, as the client calls it.
pub(super) fn forward_to(
    callback: unsafe extern "C" fn(*const meditopia_log_record, *mut c_void),
    user_data: UserData,
) -> Box<dyn Fn(&Record) + Send + Sync> {
    Box::new(move |record| {
        let record = meditopia_log_record::from(record);
        // SAFETY: the header demands a function that any thread may call until it is removed, and
        // the client does not call it after that.
        unsafe { callback(&raw const record, user_data.get()) };
    })
}

/// Takes the oldest log record that no call of this function has taken yet, for applications that
/// cannot use a callback. A callback takes no records away from this function.
///
/// `record` is the caller's; set its `struct_size`. A few hundred records are kept; beyond that,
/// the oldest are dropped. Returns `MEDITOPIA_OK` with a record, or `MEDITOPIA_DONE` if there is
/// none. Does not block. Callable from any thread; each record goes to one caller.
///
/// After `meditopia_client_close` it still returns the records that are left, among them those that
/// the close wrote.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
/// `MEDITOPIA_ERROR_CLOSED` (the client is closed, and no record is left).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_log_next(
    client: *mut meditopia_client,
    record: *mut meditopia_log_record,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a record that says its size, and a live client.
        let (mut record, client) = unsafe {
            (
                GrowingOutput::<meditopia_log_record>::new("record", record)?,
                shared("client", client)?,
            )
        };
        match client.client.log_next()? {
            Some(next) => {
                record.fill(&(&next).into());
                Ok(Step::Entry)
            }
            None => Ok(Step::Done),
        }
    })
}
