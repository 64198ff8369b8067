//! What one request can come to: the three outcomes that decide whether its events may stand twice.

/// What became of one posted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The server answered, in full or up to the read limit; any status.
    Answered(Answer),
    /// The server cannot have the request: it was never handed to a connection. Safe to send again.
    NotSent {
        /// What went wrong, for people.
        why: String,
    },
    /// The request was handed to a connection and no answer settled it: the server may have acted on it.
    Unsettled {
        /// What went wrong, for people.
        why: String,
    },
}

/// One final HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, as it came; a redirect is an answer like any other.
    pub status: u16,
    /// The `Retry-After` header as it came: seconds, a date, or nonsense.
    pub retry_after: Option<String>,
    /// The body, up to 64 KiB, byte for byte.
    pub body: Vec<u8>,
    /// False when the body went on beyond the limit.
    pub whole: bool,
}
