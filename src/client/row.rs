//! One event of a list, and why it is listed.

use crate::store::{InDoubt, Rejected, RejectedReason};

/// Why an event is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowReason {
    /// The API refused the event alone.
    Refused {
        /// An earlier request with the event was never answered, so the API may have it.
        may_be_delivered: bool,
    },
    /// The event waited longer than `event_ttl_s`.
    Expired {
        /// An earlier request with the event was never answered, so the API may have it.
        may_be_delivered: bool,
    },
    /// A request with the event was never answered; the request will be repeated.
    InDoubt,
    /// The event was in doubt, and an operator took it out of its batch. The API may have it.
    SetAside,
    /// The event waits in the store.
    Pending,
    /// The event waits in the journal: no sender has taken it over yet.
    Journalled,
}

impl RowReason {
    /// Whether the API may have the event already.
    pub fn may_be_delivered(self) -> bool {
        match self {
            Self::Refused { may_be_delivered } | Self::Expired { may_be_delivered } => {
                may_be_delivered
            }
            Self::SetAside | Self::InDoubt => true,
            Self::Pending | Self::Journalled => false,
        }
    }
}

/// One listed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Identifies the event for requeue, discard and the next page. The ID of a
    /// [`RowReason::Journalled`] event is 2^62 or more, and is valid in this list only.
    pub id: i64,
    /// Why the event is listed.
    pub reason: RowReason,
    /// The HTTP status of the refusal; of an event in doubt, of the last answer, if there was one.
    pub http_status: Option<u16>,
    /// Wall time of the enqueue, in milliseconds; in the list of events in doubt, of the first
    /// request with the event.
    pub first_ms: i64,
    /// Wall time of the rejection, or of the last request in doubt; 0: there was neither.
    pub last_ms: i64,
    /// Requests with the event, as far as the sender knows.
    pub attempts: u32,
    /// The event as it is on the wire.
    pub event_json: String,
    /// The API's code; empty: none.
    pub api_code: String,
    /// The message of the API, or of this library.
    pub message: String,
}

/// A rejected event in a list.
pub fn rejected_row(id: i64, rejected: Rejected) -> Row {
    let may_be_delivered = rejected.may_be_delivered;
    Row {
        id,
        reason: match rejected.reason {
            RejectedReason::Refused => RowReason::Refused { may_be_delivered },
            RejectedReason::Expired => RowReason::Expired { may_be_delivered },
            RejectedReason::SetAside => RowReason::SetAside,
        },
        http_status: rejected.http_status,
        first_ms: rejected.first_ms,
        last_ms: rejected.last_ms,
        attempts: rejected.attempts,
        event_json: String::from_utf8_lossy(&rejected.event).into_owned(),
        api_code: rejected.api_code,
        message: rejected.message,
    }
}

/// A pending event in a list; `doubt`: what the list of events in doubt has of it.
pub fn pending_row(id: i64, fragment: &[u8], enqueued_ms: i64, doubt: Option<&Row>) -> Row {
    Row {
        id,
        reason: doubt.map_or(RowReason::Pending, |doubt| doubt.reason),
        http_status: None,
        first_ms: enqueued_ms,
        last_ms: doubt.map_or(0, |doubt| doubt.last_ms),
        attempts: doubt.map_or(0, |doubt| doubt.attempts),
        event_json: String::from_utf8_lossy(fragment).into_owned(),
        api_code: String::new(),
        message: doubt.map_or_else(String::new, |doubt| doubt.message.clone()),
    }
}

/// An event of a batch in doubt in the list of those.
pub fn in_doubt_row(id: i64, fragment: &[u8], batch: &InDoubt) -> Row {
    let answer = match batch.status {
        Some(status) => {
            format!("the API answered HTTP {status} to the last request with this event")
        }
        None => "no answer came to a request with this event".to_owned(),
    };
    Row {
        id,
        reason: RowReason::InDoubt,
        http_status: batch.status,
        first_ms: batch.first_ms,
        last_ms: batch.last_ms,
        attempts: batch.attempts,
        event_json: String::from_utf8_lossy(fragment).into_owned(),
        api_code: String::new(),
        message: answer + "; it is repeated until an answer settles it",
    }
}
