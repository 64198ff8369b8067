//! The walk of serde over the text.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::value::{check_event_value, string_member};
use crate::error::{Error, ErrorKind};
use crate::event::batch::Batch;
use crate::event::encode::Value;
use crate::event::fields::{Fields, Rules};
use crate::event::fragment::MEMBERS;
use crate::event::invalid::invalid;
use crate::spelling::{hint, quoted};

pub(super) fn not_json(what: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("json: {what} (none was queued)"),
    )
}

/// What the walk expects next, to say what is missing if there is something else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// An event, a list, or `{"events": [...]}`.
    Input,
    /// The list in `{"events": [...]}`.
    List,
    /// One event of a list, or the only one.
    Event,
}

/// A walk over the text. It keeps the fault that ended it, because an error of serde has only a
/// message.
pub(super) struct Walk<'o> {
    rules: &'o Rules,
    now_wall_ms: i64,
    out: &'o mut Batch,
    /// The number of the current event, from 0.
    index: usize,
    expected: Expected,
    fault: Option<Error>,
}

impl<'o> Walk<'o> {
    pub(super) fn new(
        expected: Expected,
        rules: &'o Rules,
        now_wall_ms: i64,
        out: &'o mut Batch,
    ) -> Self {
        Self {
            rules,
            now_wall_ms,
            out,
            index: 0,
            expected,
            fault: None,
        }
    }

    pub(super) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    fn fail<E: de::Error>(&mut self, fault: Error) -> E {
        self.fault = Some(fault);
        E::custom("see Walk::fault")
    }

    /// Reads the members of one event, of which `first` is the first key, and appends its fragment.
    fn read_event<'de, A: MapAccess<'de>>(
        &mut self,
        first: Option<Key>,
        mut map: A,
    ) -> Result<(), A::Error> {
        let mut members: [Option<&'de RawValue>; 5] = [None; 5];
        let mut next = first;
        while let Some(key) = next {
            let member = match key {
                Key::Member(member) => member,
                Key::Other(name) => return Err(self.fail(unknown_member(&name))),
            };
            if members[member].is_some() {
                let name = MEMBERS[member];
                return Err(self.fail(invalid(format!("{name}: is given twice"))));
            }
            members[member] = Some(map.next_value()?);
            next = map.next_key_seed(KeySeed)?;
        }
        self.push_event(members.map(|raw| raw.map(RawValue::get)))
            .map_err(|fault| self.fail(fault))
    }

    fn push_event(&mut self, members: [Option<&str>; 5]) -> Result<(), Error> {
        let [token, user, event, value, received_at] = members;
        let value = value.unwrap_or("null");
        check_event_value(value)?;
        let received_at = match received_at {
            None | Some("null") => None,
            given => Some(string_member("received_at", given)?),
        };
        let fields = Fields {
            token: &string_member("token", token)?,
            partner_user_id: &string_member("partner_user_id", user)?,
            event: &string_member("event", event)?,
            event_value: None,
            received_at: received_at.as_deref(),
        };
        let value = Value::Json(value);
        self.out
            .push_with(&(&fields).into(), value, self.rules, self.now_wall_ms)
    }

    /// The error of a walk that ended with `cause`.
    pub(super) fn explain(self, cause: &serde_json::Error, text: &str) -> Error {
        let fault = match (self.fault, self.expected) {
            // This fault is about the whole text, not about the current event.
            (Some(fault), _) if fault.kind() == ErrorKind::InvalidArgument => return fault,
            (Some(fault), _) => fault,
            (None, _) if !cause.is_data() => return not_json(cause),
            (None, Expected::Input) => {
                return not_json(r#"is neither an event, nor an array, nor {"events": [...]}"#);
            }
            (None, Expected::List) => return not_json(r#""events" is not an array"#),
            (None, Expected::Event) => invalid("is not a JSON object"),
        };
        let index = self.index;
        if self.expected != Expected::Event {
            return fault.at_event(index);
        }
        let of_all = match count_events(text) {
            Some(all) => format!(" of {all}"),
            None => String::new(),
        };
        let message = format!(
            "{} (event {index}{of_all}; none was queued)",
            fault.message()
        );
        Error::new(fault.kind(), message).at_event(index)
    }
}

fn unknown_member(name: &str) -> Error {
    invalid(format!(
        "unknown member {}{}",
        quoted(name),
        hint(name, MEMBERS)
    ))
}

/// The key of a member. Known keys are not allocated.
enum Key {
    Member(usize),
    Other(String),
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Key, E> {
        let member = MEMBERS.iter().position(|member| *member == name);
        Ok(member.map_or_else(|| Key::Other(name.to_owned()), Key::Member))
    }
}

pub(super) struct Input<'w, 'o>(pub(super) &'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for Input<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Input<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        EventList(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.0;
        let first = map.next_key_seed(KeySeed)?;
        if !matches!(&first, Some(Key::Other(name)) if name == "events") {
            return walk.read_event(first, map);
        }
        walk.expected = Expected::List;
        map.next_value_seed(EventList(walk))?;
        walk.expected = Expected::Input;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(walk.fail(not_json(r#"has a member beside "events""#))),
        }
    }
}

struct EventList<'w, 'o>(&'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for EventList<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventList<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.expected = Expected::Event;
        while seq.next_element_seed(ListedEvent(self.0))?.is_some() {
            self.0.index += 1;
        }
        Ok(())
    }
}

pub(super) struct ListedEvent<'w, 'o>(pub(super) &'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for ListedEvent<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListedEvent<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let first = map.next_key_seed(KeySeed)?;
        self.0.read_event(first, map)
    }
}

/// The number of events in a list. It is counted only after one of them was invalid.
fn count_events(text: &str) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        events: Vec<IgnoredAny>,
    }
    let list: Result<Vec<IgnoredAny>, _> = serde_json::from_str(text);
    let list = list.or_else(|_| serde_json::from_str(text).map(|all: Wrapped| all.events));
    list.ok().map(|events| events.len())
}
