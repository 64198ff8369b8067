//! The latest requests with what the page tells of them, more than the ledger lists: the reason in
//! words, the first events, and which event a refusal is for.
//!
//! It is a ring: what nobody has looked at in time is overwritten, so that it costs the same few
//! kilobytes under any load. The ledger stays the one place that knows everything.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::api::Refused;
use super::ledger::Request;

/// The most requests that are kept.
const KEPT: usize = 64;

/// The most events of one request that are shown, besides the refused one.
const EVENTS_SHOWN: usize = 5;

/// The most characters of one text that are shown; the rest is replaced by an ellipsis.
const CHARACTERS_SHOWN: usize = 160;

/// What is told of a request besides its line in the ledger.
#[derive(Debug, Default, Serialize)]
pub struct Told {
    reason: Option<String>,
    refused_event: Option<usize>,
    shown: Vec<Shown>,
}

/// An event, shortened. Its token is a user's secret and not shown.
#[derive(Debug, Serialize)]
struct Shown {
    /// Its place in the request, counted from 0.
    at: usize,
    user: String,
    kind: String,
    value: String,
    received_at: String,
}

impl Told {
    /// The first events of a request and the refused one, and why it was refused.
    pub fn of(events: &[&RawValue], refused: Option<&Refused>) -> Self {
        let refused_event = refused.and_then(|refused| refused.event);
        let first = 0..events.len().min(EVENTS_SHOWN);
        let further = refused_event.filter(|at| !first.contains(at));
        let shown = first.chain(further);
        Self {
            reason: refused.map(|refused| shortened(&refused.refusal.message)),
            refused_event,
            shown: shown.map(|at| Shown::of(at, events[at])).collect(),
        }
    }

    /// A request without events.
    pub fn because(reason: &str) -> Self {
        Self {
            reason: Some(shortened(reason)),
            ..Self::default()
        }
    }
}

impl Shown {
    /// Whatever stands at the five places: the event may be the one that is refused for it.
    fn of(at: usize, text: &RawValue) -> Self {
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
                at,
                user: String::new(),
                kind: String::new(),
                value: shortened(text.get()),
                received_at: String::new(),
            };
        };
        Self {
            at,
            user: content(members.partner_user_id),
            kind: content(members.event),
            value: shortened(members.event_value.map_or("", RawValue::get)),
            received_at: content(members.received_at),
        }
    }
}

/// A JSON string's content, and anything else as it is written.
fn content(member: Option<&RawValue>) -> String {
    let text = member.map_or("", RawValue::get);
    match serde_json::from_str::<String>(text) {
        Ok(content) => shortened(&content),
        Err(_) => shortened(text),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// One request as the page gets it.
#[derive(Debug, Serialize)]
pub struct Seen {
    #[serde(flatten)]
    request: Request,
    #[serde(flatten)]
    told: Told,
}

/// The latest requests that have ended, in the order in which they did.
#[derive(Default)]
pub struct Recent {
    latest: VecDeque<Seen>,
    ever: u64,
    clearings: u64,
}

impl Recent {
    /// Adds one, in the place of the oldest.
    pub fn add(&mut self, request: Request, told: Told) {
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(Seen { request, told });
        self.ever += 1;
    }

    /// Forgets all; the number of those that ever were goes on.
    pub fn clear(&mut self) {
        self.latest.clear();
        self.clearings += 1;
    }

    /// How many there ever were.
    pub fn ever(&self) -> u64 {
        self.ever
    }

    /// How often all were forgotten.
    pub fn clearings(&self) -> u64 {
        self.clearings
    }

    /// Those after the first `position` that there ever were, as far as they are kept.
    pub fn after(&self, position: u64) -> Vec<&Seen> {
        let new = self.ever.saturating_sub(position);
        let skipped = (self.latest.len() as u64).saturating_sub(new);
        self.latest.iter().skip(skipped as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: &str) -> Shown {
        let raw: &RawValue = serde_json::from_str(event).expect("JSON");
        Shown::of(0, raw)
    }

    #[test]
    fn an_event_is_shown_without_its_token_whatever_it_is() {
        let secret = r#"{"token":"secret","partner_user_id":"\u0075-1","event":"video","event_value":"x","received_at":7}"#;
        let shown = told(secret);
        assert_eq!(
            (shown.user.as_str(), shown.value.as_str()),
            ("u-1", "\"x\"")
        );
        assert_eq!(shown.received_at, "7");
        let text = serde_json::to_string(&shown).expect("JSON");
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(told("12").value, "12");
        assert_eq!(told(r#""<b>""#).value, "\"<b>\"");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = format!(r#"{{"event_value":"{}"}}"#, "é".repeat(1_000));
        assert_eq!(told(&long).value.chars().count(), CHARACTERS_SHOWN + 1);
        let exact = format!(
            r#"{{"partner_user_id":"{}"}}"#,
            "é".repeat(CHARACTERS_SHOWN)
        );
        assert!(!told(&exact).user.ends_with('…'));
    }

    #[test]
    fn a_refused_event_far_behind_is_shown_too() {
        let raw: &RawValue = serde_json::from_str("{}").expect("JSON");
        let refused = super::super::api::Refused {
            refusal: super::super::api::Refusal {
                status: 404,
                code: "A_1104".into(),
                message: "User not found.".into(),
            },
            event: Some(70),
        };
        let told = Told::of(&[raw; 100], Some(&refused));
        let places: Vec<usize> = told.shown.iter().map(|shown| shown.at).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 70]);
        assert_eq!(told.refused_event, Some(70));
    }
}
