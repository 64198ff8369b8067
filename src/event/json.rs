//! Events that arrive as JSON: an object, an array of objects, or the API's own `{"events":[...]}`.
//!
//! serde_json walks the text once and hands every member over as raw text, so that nothing is
//! built and `event_value` stays byte for byte what it was. Its own complaints about *values* are
//! never shown, because they quote what they found, and that may be a `token`; its complaints about
//! *syntax* quote nothing. All events of a call are taken, or none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Batch, Fields, Rules, Value, invalid};
use crate::error::{Error, ErrorKind};
use crate::spelling::{hint, quoted};

/// How deep arrays and objects of an `event_value` may nest; common JSON parsers stop at 128.
const MAX_DEPTH: usize = 100;

pub(super) const MEMBERS: [&str; 5] = [
    "token",
    "partner_user_id",
    "event",
    "event_value",
    "received_at",
];

/// Checks every event in `json` and appends their fragments to `out`: all of them, or none.
///
/// `json` is one event, an array of events, or `{"events": [...]}`. `event_value` may be any JSON
/// value and is kept byte for byte; it may be absent (`null`). `received_at` may be absent or
/// `null` (now). Returns how many events there were.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] names the field, what is wrong with it and which event it was,
/// counted from 0; [`ErrorKind::InvalidArgument`] if `json` is not JSON. `out` is then as before.
pub fn encode_json(
    json: &[u8],
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Batch,
) -> Result<usize, Error> {
    let text = std::str::from_utf8(json).map_err(|cause| {
        let at = cause.valid_up_to();
        not_json(format!("not UTF-8 at byte {at}"))
    })?;
    let before = out.len();
    let mut walk = Walk {
        rules,
        now_wall_ms,
        out,
        index: 0,
        place: Place::Top,
        fault: None,
    };
    let mut parser = serde_json::Deserializer::from_str(text);
    let walked = Top(&mut walk).deserialize(&mut parser);
    match walked.and_then(|()| parser.end()) {
        Ok(()) => Ok(out.len() - before),
        Err(cause) => {
            let error = walk.explain(&cause, text);
            out.truncate(before);
            Err(error)
        }
    }
}

/// Checks the one event that `json` is, an object, and appends its fragment to `out`. The rest is as
/// for [`encode_json`].
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] names the field and what is wrong with it;
/// [`ErrorKind::InvalidArgument`] if `json` is not one JSON object. `out` is then as before.
pub fn encode_json_event(
    json: &[u8],
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Batch,
) -> Result<(), Error> {
    let refused = |what: String| Error::new(ErrorKind::InvalidArgument, what);
    let text = std::str::from_utf8(json)
        .map_err(|cause| refused(format!("is not UTF-8 (at byte {})", cause.valid_up_to())))?;
    let before = out.len();
    let mut walk = Walk {
        rules,
        now_wall_ms,
        out,
        index: 0,
        place: Place::Listed,
        fault: None,
    };
    let mut parser = serde_json::Deserializer::from_str(text);
    let walked = Listed(&mut walk).deserialize(&mut parser);
    let fault = walk.fault.take();
    walked.and_then(|()| parser.end()).map_err(|cause| {
        out.truncate(before);
        match fault {
            Some(fault) => fault,
            None if cause.is_data() => refused("is not a JSON object".to_owned()),
            None => refused(format!("is not JSON: {cause}")),
        }
    })
}

fn not_json(what: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("json: {what} (none was queued)"),
    )
}

/// What the walk stands before, to say what should have been there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Events,
    Listed,
}

/// One walk over the text. A fault is kept here because serde's errors carry only a message.
struct Walk<'o> {
    rules: &'o Rules,
    now_wall_ms: i64,
    out: &'o mut Batch,
    index: usize,
    place: Place,
    fault: Option<Error>,
}

impl Walk<'_> {
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

    fn explain(self, cause: &serde_json::Error, text: &str) -> Error {
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

/// The text of a string member given as raw JSON.
fn text_of<'a>(member: &str, raw: Option<&'a str>) -> Result<Cow<'a, str>, Error> {
    let raw = raw.ok_or_else(|| invalid(format!("{member}: is missing")))?;
    let inside = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.as_bytes().contains(&b'\\') => Ok(Cow::Borrowed(inside)),
        Some(_) => match serde_json::from_str(raw) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(invalid(format!("{member}: {LONE_SURROGATE}"))),
        },
        None if member == "token" => Err(invalid("token: is not a string")),
        None => Err(invalid(format!("{member}: {} is not a string", shown(raw)))),
    }
}

/// Raw JSON in a message, cut as [`quoted`] cuts but without more quotes.
fn shown(raw: &str) -> Cow<'_, str> {
    match raw.char_indices().nth(40) {
        Some((cut, _)) => Cow::Owned(format!("{}...", &raw[..cut])),
        None => Cow::Borrowed(raw),
    }
}

const LONE_SURROGATE: &str = r"holds half a character (a lone \uD800 to \uDFFF)";

/// Refuses what is JSON by its grammar alone but what many parsers cannot read: it would take a
/// whole request down.
fn check_value(raw: &str) -> Result<(), Error> {
    let nests = raw.starts_with(['[', '{']);
    if !nests && !raw.as_bytes().contains(&b'\\') {
        return Ok(());
    }
    let mut rest = raw.as_bytes();
    let mut depth = 0_usize;
    let mut in_string = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => {
                rest = check_escape(rest)
                    .ok_or_else(|| invalid(format!("event_value: {LONE_SURROGATE}")))?;
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(invalid(format!(
                "event_value: nests deeper than {MAX_DEPTH} levels"
            )));
        }
    }
    Ok(())
}

/// What follows an escape whose backslash has been read; nothing if it is half a character.
fn check_escape(escape: &[u8]) -> Option<&[u8]> {
    let Some(unit) = utf16_unit(escape) else {
        return escape.get(1..);
    };
    match unit {
        0xD800..=0xDBFF => {
            let second = escape.get(5..)?.strip_prefix(b"\\")?;
            matches!(utf16_unit(second), Some(0xDC00..=0xDFFF)).then(|| &second[5..])
        }
        0xDC00..=0xDFFF => None,
        _ => escape.get(5..),
    }
}

/// The number in `uXXXX`.
fn utf16_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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

struct Top<'w, 'o>(&'w mut Walk<'o>);

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

struct Listed<'w, 'o>(&'w mut Walk<'o>);

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

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
