//! What the page shows of one event: four of its five fields, cut to a length.
//!
//! The token is left out, because it is a user's secret. An event of any shape is shown: the page
//! is where a developer looks at one that the API refused.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An event with its texts cut short.
#[derive(Debug, Serialize)]
pub(crate) struct EventExcerpt {
    /// Its index in the request, from 0.
    pub at: usize,
    user: String,
    kind: String,
    value: String,
    received_at: String,
}

impl EventExcerpt {
    /// Accepts members of any type, because an event with a wrong one is shown too.
    pub(crate) fn new(index: usize, text: &RawValue, characters: usize) -> Self {
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
                value: match text.get().starts_with('{') {
                    // It may have its token in it.
                    true => "an object that has a member twice".to_owned(),
                    false => cut_short(text.get(), characters),
                },
                received_at: String::new(),
            };
        };
        Self {
            at: index,
            user: content(members.partner_user_id, characters),
            kind: content(members.event, characters),
            value: cut_short(members.event_value.map_or("", RawValue::get), characters),
            received_at: content(members.received_at, characters),
        }
    }
}

/// The content of a JSON string, or the JSON text of any other value.
fn content(member: Option<&RawValue>, characters: usize) -> String {
    let text = member.map_or("", RawValue::get);
    match serde_json::from_str::<String>(text) {
        Ok(content) => cut_short(&content, characters),
        Err(_) => cut_short(text, characters),
    }
}

/// The first `characters` of a text; an ellipsis replaces the rest.
pub(crate) fn cut_short(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARACTERS: usize = 160;

    fn excerpt(event: &str) -> EventExcerpt {
        let raw: &RawValue = serde_json::from_str(event).expect("JSON");
        EventExcerpt::new(0, raw, CHARACTERS)
    }

    #[test]
    fn an_event_with_a_member_twice_is_shown_without_its_token() {
        let shown = excerpt(r#"{"token":"secret","event":"video","event":"audio"}"#);
        assert_eq!(shown.value, "an object that has a member twice");
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
        assert_eq!(excerpt(&long).value.chars().count(), CHARACTERS + 1);
        let exact = format!(r#"{{"partner_user_id":"{}"}}"#, "é".repeat(CHARACTERS));
        assert!(!excerpt(&exact).user.ends_with('…'));
    }
}
