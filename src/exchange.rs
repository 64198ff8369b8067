//! One request to the API with its answer, as plain values.
//!
//! `transport` reports an [`Exchange`], and `delivery` judges it. Both import this module and neither
//! imports the other, so that delivery stays free of I/O.

/// The most events that the API takes in one request.
pub const BATCH_LIMIT: usize = 100;

/// How many bytes of an answer's body are read. The error bodies of the API are far shorter.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The API, or something in its place, answered.
    Answered(Answer),
    /// The request failed before its first byte was written: nothing can have arrived.
    NotSent {
        /// For the log.
        why: String,
    },
    /// The request was written, but no complete answer came back: it may have arrived.
    Unsettled {
        /// For the log.
        why: String,
    },
}

/// An answer as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body, [`BODY_LIMIT_BYTES`] bytes at most.
    pub body: Vec<u8>,
    /// Whether `body` is the whole body: it was neither cut off nor longer than the limit.
    pub whole: bool,
}
