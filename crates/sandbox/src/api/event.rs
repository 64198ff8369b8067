//! One event of a request, held to the API's rules for its five fields.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    pub partner_user_id: Cow<'a, str>,
    event: Kind,
    #[serde(borrow)]
    event_value: &'a RawValue,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
}

#[derive(Deserialize, Hash)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Register,
    Signin,
    Audio,
    Video,
    Content,
}

impl<'a> Event<'a> {
    /// Returns `None` if the text is not a valid event.
    pub(super) fn parse(text: &'a RawValue) -> Option<Self> {
        let event: Self = serde_json::from_str(text.get()).ok()?;
        let filled = !event.token.is_empty() && !event.partner_user_id.is_empty();
        (filled && is_date_and_time(&event.received_at)).then_some(event)
    }

    /// A hash of the values of the five fields.
    pub(super) fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (
            &self.token,
            &self.partner_user_id,
            &self.event,
            self.event_value.get(),
            &self.received_at,
        )
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether `text` has exactly the shape `YYYY-MM-DD HH:MM:SS` and is a time on the calendar.
pub(super) fn is_date_and_time(text: &str) -> bool {
    let shaped = text.len() == 19
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            10 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    // jiff accepts a leap second (and makes it :59), which PHP's own check would refuse.
    shaped && !text.ends_with("60") && text.parse::<jiff::civil::DateTime>().is_ok()
}
