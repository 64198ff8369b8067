//! One event of a list, and why it is listed.

/// Why an event is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowReason {
    /// The API refused it alone.
    Refused {
        /// An earlier request that held it was never answered: the API may have it.
        may_be_delivered: bool,
    },
    /// It waited longer than `event_ttl_s`.
    Expired {
        /// An earlier request that held it was never answered: the API may have it.
        may_be_delivered: bool,
    },
    /// A request that holds it was never answered; it will be repeated.
    InDoubt,
    /// It was in doubt, and an operator took it out of its batch: the API may have it.
    SetAside,
    /// It waits in the store.
    Pending,
    /// It waits in the journal: no sender has taken it over yet.
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
    /// For requeue, discard and the next page. Of a [`RowReason::Journalled`] event it is 2^62 or more,
    /// and only says where it stands in this list.
    pub id: i64,
    /// Why it is listed.
    pub reason: RowReason,
    /// The HTTP status of its refusal.
    pub http_status: Option<u16>,
    /// Wall time of its enqueue, in milliseconds; in the list of those in doubt, of the first such request.
    pub first_ms: i64,
    /// Wall time of its rejection, or of the last request in doubt; 0: none of them.
    pub last_ms: i64,
    /// Requests that held it, as far as the sender knows.
    pub attempts: u32,
    /// The event as it is on the wire.
    pub event_json: String,
    /// The API's code; empty: none.
    pub api_code: String,
    /// The API's message, or ours.
    pub message: String,
}
