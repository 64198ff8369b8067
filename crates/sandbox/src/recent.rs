//! The latest requests, with details that only the page shows: the reason in words, the first
//! events, and which event caused a refusal.
//!
//! Only a fixed number of requests is kept, so this costs the same few kilobytes under any load.
//! The ledger has all requests.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::api::Refused;
use super::ledger::Request;

/// The most requests that are kept.
const KEPT: usize = 64;

/// How many events of a request are shown, besides the one that caused a refusal.
const EVENTS_SHOWN: usize = 5;

/// How many characters of a text are shown; an ellipsis replaces the rest.
const CHARACTERS_SHOWN: usize = 160;

/// What the page shows of a request besides its record in the ledger.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Details {
    reason: Option<String>,
    refused_event: Option<usize>,
    shown: Vec<EventExcerpt>,
}

/// An event with its texts cut short. The token is left out, because it is a user's secret.
#[derive(Debug, Serialize)]
struct EventExcerpt {
    /// Its index in the request, from 0.
    at: usize,
    user: String,
    kind: String,
    value: String,
    received_at: String,
}

impl Details {
    /// The first events of a request, and the reason of its refusal with the event that caused it.
    pub(crate) fn of_events(events: &[&RawValue], refused: Option<&Refused>) -> Self {
        let refused_event = refused.and_then(|refused| refused.event);
        let first = 0..events.len().min(EVENTS_SHOWN);
        let further = refused_event.filter(|index| !first.contains(index));
        let shown = first.chain(further);
        Self {
            reason: refused.map(|refused| cut_short(&refused.refusal.message)),
            refused_event,
            shown: shown
                .map(|index| EventExcerpt::new(index, events[index]))
                .collect(),
        }
    }

    /// Details of a request whose events were not read.
    pub(crate) fn with_reason(reason: &str) -> Self {
        Self {
            reason: Some(cut_short(reason)),
            ..Self::default()
        }
    }
}

impl EventExcerpt {
    /// Accepts members of any type, because an event with a wrong one is shown too.
    fn new(index: usize, text: &RawValue) -> Self {
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Members<'a> {
            #[serde(borrow)]
            partner_user_id: Option<&'a RawValue>,
            #[serde(borrow)]
            event: Option<&'a RawValue>,
            #[serde(borrow)]
            event_value: Option<&'a RawValue>,
            #[serde(borrow)]
            received_at: Option<&'a RawValue>,
        }
        let Ok(members) = serde_json::from_str::<Members<'_>>(text.get()) else {
            return Self {
                at: index,
                user: String::new(),
                kind: String::new(),
                value: cut_short(text.get()),
                received_at: String::new(),
            };
        };
        Self {
            at: index,
            user: content(members.partner_user_id),
            kind: content(members.event),
            value: cut_short(members.event_value.map_or("", RawValue::get)),
            received_at: content(members.received_at),
        }
    }
}

/// The content of a JSON string, or the JSON text of any other value.
fn content(member: Option<&RawValue>) -> String {
    let text = member.map_or("", RawValue::get);
    match serde_json::from_str::<String>(text) {
        Ok(content) => cut_short(&content),
        Err(_) => cut_short(text),
    }
}

fn cut_short(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// One request as the page receives it.
#[derive(Debug, Serialize)]
pub(crate) struct RecentRequest {
    #[serde(flatten)]
    request: Request,
    #[serde(flatten)]
    details: Details,
}

/// The latest requests that have ended, in the order in which they ended.
#[derive(Default)]
pub(crate) struct Recent {
    latest: VecDeque<RecentRequest>,
    total: u64,
    clearings: u64,
}

impl Recent {
    /// Adds a request, and drops the oldest one if there are too many.
    pub(crate) fn add(&mut self, request: Request, details: Details) {
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(RecentRequest { request, details });
        self.total += 1;
    }

    /// Drops all requests. The total is kept.
    pub(crate) fn clear(&mut self) {
        self.latest.clear();
        self.clearings += 1;
    }

    /// How many requests have been added since the sandbox started.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How often the requests were cleared.
    pub(crate) fn clearings(&self) -> u64 {
        self.clearings
    }

    /// The requests that were added after the first `position`, as far as they are kept.
    pub(crate) fn after(&self, position: u64) -> Vec<&RecentRequest> {
        let new = self.total.saturating_sub(position);
        let skipped = (self.latest.len() as u64).saturating_sub(new);
        self.latest.iter().skip(skipped as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(event: &str) -> EventExcerpt {
        let raw: &RawValue = serde_json::from_str(event).expect("JSON");
        EventExcerpt::new(0, raw)
    }

    #[test]
    fn an_event_of_any_shape_is_shown_without_its_token() {
        let secret = r#"{"token":"secret","partner_user_id":"\u0075-1","event":"video","event_value":"x","received_at":7}"#;
        let shown = excerpt(secret);
        assert_eq!(
            (shown.user.as_str(), shown.value.as_str()),
            ("u-1", "\"x\"")
        );
        assert_eq!(shown.received_at, "7");
        let text = serde_json::to_string(&shown).expect("JSON");
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(excerpt("12").value, "12");
        assert_eq!(excerpt(r#""<b>""#).value, "\"<b>\"");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = format!(r#"{{"event_value":"{}"}}"#, "é".repeat(1_000));
        assert_eq!(excerpt(&long).value.chars().count(), CHARACTERS_SHOWN + 1);
        let exact = format!(
            r#"{{"partner_user_id":"{}"}}"#,
            "é".repeat(CHARACTERS_SHOWN)
        );
        assert!(!excerpt(&exact).user.ends_with('…'));
    }

    #[test]
    fn the_event_that_caused_a_refusal_is_shown_wherever_it_is_in_the_request() {
        let raw: &RawValue = serde_json::from_str("{}").expect("JSON");
        let refused = super::super::api::Refused {
            refusal: super::super::api::Refusal {
                status: 404,
                code: "A_1104".into(),
                message: "User not found.".into(),
            },
            event: Some(70),
        };
        let details = Details::of_events(&[raw; 100], Some(&refused));
        let indexes: Vec<usize> = details.shown.iter().map(|shown| shown.at).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 70]);
        assert_eq!(details.refused_event, Some(70));
    }
}
