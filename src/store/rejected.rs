//! Rejected events as the store keeps them, and which of them are asked for.

use serde::{Deserialize, Serialize};

/// Why an event is in the rejected store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedReason {
    /// The API refused it alone.
    Refused,
    /// It waited longer than `event_ttl_s`.
    Expired,
    /// An operator took it out of a batch in doubt.
    SetAside,
}

impl RejectedReason {
    /// The reason that is stored as this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Refused, Self::Expired, Self::SetAside]
            .into_iter()
            .find(|reason| *reason as u8 == number)
    }
}

/// An event that will not be sent again unless it is requeued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its `partner_user_id`.
    pub user: String,
    /// The fragment.
    pub event: Vec<u8>,
    /// Why it is here.
    pub reason: RejectedReason,
    /// An earlier request that held it was never settled: the API may have it.
    pub may_be_delivered: bool,
    /// The API's code; empty for an expired event.
    pub api_code: String,
    /// The API's message, or ours.
    pub message: String,
    /// The HTTP status of the refusal.
    pub http_status: Option<u16>,
    /// Requests that held it, as far as this sender knows.
    pub attempts: u32,
    /// Wall time of its enqueue, in milliseconds.
    pub first_ms: i64,
    /// Wall time of its rejection.
    pub last_ms: i64,
}

impl Rejected {
    /// Whether `filter` takes it, whatever its id.
    pub fn is_taken_by(&self, filter: &RejectedFilter) -> bool {
        filter.takes(self)
    }
}

/// Which rejected events are asked for; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedFilter {
    /// Of this `partner_user_id`.
    pub user: Option<String>,
    /// With this code.
    pub api_code: Option<String>,
    /// For this reason.
    pub reason: Option<RejectedReason>,
    /// Whether an earlier request may have delivered them.
    pub may_be_delivered: Option<bool>,
    /// Rejected at this wall time or later, in milliseconds.
    pub from_ms: Option<i64>,
    /// Rejected before this wall time.
    pub until_ms: Option<i64>,
    /// Behind this row.
    pub after_id: i64,
}

impl RejectedFilter {
    /// Whether it takes an event, whatever the event's id.
    pub(super) fn takes(&self, event: &Rejected) -> bool {
        self.user.as_ref().is_none_or(|user| *user == event.user)
            && self
                .api_code
                .as_ref()
                .is_none_or(|code| *code == event.api_code)
            && self.reason.is_none_or(|reason| reason == event.reason)
            && self
                .may_be_delivered
                .is_none_or(|may| may == event.may_be_delivered)
            && self.from_ms.is_none_or(|from| event.last_ms >= from)
            && self.until_ms.is_none_or(|until| event.last_ms < until)
    }
}
