//! One walk of serde over the text.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::value::{check_value, text_of};
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

/// What the walk stands before, to say what should have been there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Events,
    Listed,
}

/// One walk over the text. A fault is kept here because serde's errors carry only a message.
pub(super) struct Walk<'o> {
    rules: &'o Rules,
    now_wall_ms: i64,
    out: &'o mut Batch,
    index: usize,
    place: Place,
    fault: Option<Error>,
}

impl<'o> Walk<'o> {
    pub(super) fn new(
        place: Place,
        rules: &'o Rules,
        now_wall_ms: i64,
        out: &'o mut Batch,
    ) -> Self {
        Self {
            rules,
            now_wall_ms,
            out,
            index: 0,
            place,
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

    fn take<'de, A: MapAccess<'de>>(
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
        self.queue(members.map(|raw| raw.map(RawValue::get)))
            .map_err(|fault| self.fail(fault))
    }

    fn queue(&mut self, members: [Option<&str>; 5]) -> Result<(), Error> {
        let [token, user, event, value, received_at] = members;
        let value = value.unwrap_or("null");
        check_value(value)?;
        let received_at = match received_at {
            None | Some("null") => None,
            given => Some(text_of("received_at", given)?),
        };
        let fields = Fields {
            token: &text_of("token", token)?,
            partner_user_id: &text_of("partner_user_id", user)?,
            event: &text_of("event", event)?,
            event_value: None,
            received_at: received_at.as_deref(),
        };
        let value = Value::Json(value);
        self.out
            .push_with(&(&fields).into(), value, self.rules, self.now_wall_ms)
    }

    pub(super) fn explain(self, cause: &serde_json::Error, text: &str) -> Error {
        let fault = match (self.fault, self.place) {
            // Of the whole text, not of the event that was counted last.
            (Some(fault), _) if fault.kind() == ErrorKind::InvalidArgument => return fault,
            (Some(fault), _) => fault,
            (None, _) if !cause.is_data() => return not_json(cause),
            (None, Place::Top) => {
                return not_json(r#"neither an event, nor an array, nor {"events": [...]}"#);
            }
            (None, Place::Events) => return not_json(r#""events" is not an array"#),
            (None, Place::Listed) => invalid("is not a JSON object"),
        };
        let index = self.index;
        if self.place != Place::Listed {
            return fault.at_event(index);
        }
        let of_all = match count(text) {
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

/// The name of a member, without allocating for the known ones.
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

pub(super) struct Top<'w, 'o>(pub(super) &'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        List(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.0;
        let first = map.next_key_seed(KeySeed)?;
        if !matches!(&first, Some(Key::Other(name)) if name == "events") {
            return walk.take(first, map);
        }
        walk.place = Place::Events;
        map.next_value_seed(List(walk))?;
        walk.place = Place::Top;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(walk.fail(not_json(r#"a member beside "events""#))),
        }
    }
}

struct List<'w, 'o>(&'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.place = Place::Listed;
        while seq.next_element_seed(Listed(self.0))?.is_some() {
            self.0.index += 1;
        }
        Ok(())
    }
}

pub(super) struct Listed<'w, 'o>(pub(super) &'w mut Walk<'o>);

impl<'de> DeserializeSeed<'de> for Listed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Listed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let first = map.next_key_seed(KeySeed)?;
        self.0.take(first, map)
    }
}

/// How many events a list holds, counted only once one of them is wrong.
fn count(text: &str) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        events: Vec<IgnoredAny>,
    }
    let list: Result<Vec<IgnoredAny>, _> = serde_json::from_str(text);
    let list = list.or_else(|_| serde_json::from_str(text).map(|all: Wrapped| all.events));
    list.ok().map(|events| events.len())
}
