//! The one error type of the crate.
//!
//! A message is for the person who reads it at night: what happened, to which thing, and what to do
//! next. An [`ErrorKind`] is for programs; the C API gives each kind a stable number. No message
//! ever contains a bearer token, and none a character that cannot be seen.

use std::fmt;

use crate::spelling::escape_unprintable;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of error it is. Each kind has one stable number in the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An argument is NULL where it may not be, not UTF-8, or out of range.
    InvalidArgument,
    /// An event breaks a rule of the API; the message names the field. Nothing was queued.
    InvalidEvent,
    /// The configuration is incomplete or contradictory, or a key or value is not known.
    Config,
    /// Another client of this process has the same spool open with another value for a key.
    Conflict,
    /// The spool belongs to another user, endpoint, account or place.
    SpoolMismatch,
    /// The disk, or `max_spool_bytes`, is full. What was acknowledged stays safe.
    SpoolFull,
    /// The operating system refused a read or a write. The outcome of an enqueue that fails so is
    /// *unknown*: the event may still be delivered.
    Io,
    /// Delivery is paused; [`Error::pause_reason`] says why. Everything is kept.
    Paused,
    /// The deadline passed first. Everything is kept, and delivery goes on.
    Timeout,
    /// The client was closed before this call.
    Closed,
    /// The store is damaged, or a newer version of the library wrote it.
    Store,
    /// A defect of this library, caught before it reached the caller.
    Internal,
}

impl ErrorKind {
    pub(crate) const ALL: [Self; 12] = [
        Self::InvalidArgument,
        Self::InvalidEvent,
        Self::Config,
        Self::Conflict,
        Self::SpoolMismatch,
        Self::SpoolFull,
        Self::Io,
        Self::Paused,
        Self::Timeout,
        Self::Closed,
        Self::Store,
        Self::Internal,
    ];

    /// The name that one process tells another one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidEvent => "invalid_event",
            Self::Config => "config",
            Self::Conflict => "conflict",
            Self::SpoolMismatch => "spool_mismatch",
            Self::SpoolFull => "spool_full",
            Self::Io => "io",
            Self::Paused => "paused",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Store => "store",
            Self::Internal => "internal",
        }
    }

    /// The kind with this [`name`](Self::name).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why delivery is paused. A pause keeps every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// The API refused the bearer token.
    Auth,
    /// The API does not accept requests from the address of this host.
    Ip,
    /// The answers from the endpoint do not look like those of the API.
    Misrouted,
    /// Events of many different users in a row were refused alone: more likely a mistake here than
    /// there.
    MassRejection,
    /// The API answers the same request with server errors again and again.
    ServerError,
    /// The store cannot be trusted until an operator recovers it.
    StoreDamaged,
    /// An operator asked for the pause.
    Hold,
}

impl PauseReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Auth,
        Self::Ip,
        Self::Misrouted,
        Self::MassRejection,
        Self::ServerError,
        Self::StoreDamaged,
        Self::Hold,
    ];

    /// The name in messages, in statistics and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Ip => "ip",
            Self::Misrouted => "misrouted",
            Self::MassRejection => "mass_rejection",
            Self::ServerError => "server_error",
            Self::StoreDamaged => "store_damaged",
            Self::Hold => "hold",
        }
    }

    /// The reason with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened, to which thing, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    event_index: Option<usize>,
    pause_reason: Option<PauseReason>,
    http_status: Option<u16>,
    api_code: Option<String>,
}

impl Error {
    /// An error of `kind` with a message that says what happened, to what, and what to do next.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::of_message(kind, &message.into())
    }

    /// Compiled once for whatever the message is made of.
    #[cold]
    #[inline(never)]
    fn of_message(kind: ErrorKind, message: &str) -> Self {
        Self {
            kind,
            message: escape_unprintable(message),
            event_index: None,
            pause_reason: None,
            http_status: None,
            api_code: None,
        }
    }

    /// An error of the operating system about `what`. A full disk is an [`ErrorKind::SpoolFull`].
    pub fn io(what: impl fmt::Display, cause: impl Into<std::io::Error>) -> Self {
        Self::of_system(&what, cause.into())
    }

    /// Compiled once for whatever the error is about.
    #[cold]
    fn of_system(what: &dyn fmt::Display, cause: std::io::Error) -> Self {
        // Such a cause says by itself what it is about.
        if let Some(known) = cause
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>())
        {
            return known.clone();
        }
        let kind = if is_full(&cause) {
            ErrorKind::SpoolFull
        } else {
            ErrorKind::Io
        };
        let remedy = match cause.kind() {
            std::io::ErrorKind::FileTooLarge => {
                "; raise this process's file-size limit (ulimit -f, RLIMIT_FSIZE)"
            }
            _ => "",
        };
        Self::new(kind, format!("{what}: {cause}{remedy}"))
    }

    /// Appends to the message.
    #[cold]
    pub(crate) fn with_note(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// Adds which event of a batch the error is about, counted from 0.
    pub fn at_event(mut self, index: usize) -> Self {
        self.event_index = Some(index);
        self
    }

    /// Adds why delivery is paused.
    pub fn paused_for(mut self, reason: PauseReason) -> Self {
        self.pause_reason = Some(reason);
        self
    }

    /// Adds the answer of the API that led here.
    pub fn answered(mut self, http_status: Option<u16>, api_code: Option<String>) -> Self {
        self.http_status = http_status;
        self.api_code = api_code;
        self
    }

    /// The kind of the error, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The event of a batch that the error is about, counted from 0.
    pub fn event_index(&self) -> Option<usize> {
        self.event_index
    }

    /// Why delivery is paused, if that caused the error.
    pub fn pause_reason(&self) -> Option<PauseReason> {
        self.pause_reason
    }

    /// The HTTP status of the API's answer that led here.
    pub fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// The API's own error code, such as `A_1002`.
    pub fn api_code(&self) -> Option<&str> {
        self.api_code.as_deref()
    }

    /// Whether the same call may succeed later, without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::SpoolFull | ErrorKind::Io | ErrorKind::Paused | ErrorKind::Timeout
        )
    }
}

/// Whether an error says that the disk or a quota is full.
pub(crate) fn is_full(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether an error says that this file system or kernel does not know the operation: to allocate blocks,
/// to give them back, to rename without replacing. What is only an advantage is left out then.
pub(crate) fn is_unsupported(cause: &std::io::Error) -> bool {
    let unsupported = [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    cause
        .raw_os_error()
        .is_some_and(|errno| unsupported.contains(&errno))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
