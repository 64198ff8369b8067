//! Which field a column of CSV or a member of JSON stands for: by its own name, or by `--map`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::FIELDS;

/// How the names in an input are read.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// A name in the input, and the field that it stands for.
    map: Vec<(String, &'static str)>,
    ignore_extra: bool,
}

/// What a name in the input stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The field with this index in [`FIELDS`].
    Field(usize),
    /// Nothing; it is left out.
    Extra,
    Unknown,
}

impl Names {
    pub fn new(map: &[(String, &'static str)], ignore_extra: bool) -> Self {
        Self {
            map: map.to_vec(),
            ignore_extra,
        }
    }

    /// Reads the value of `--map`.
    pub fn parse_map(text: &str) -> Result<(String, &'static str), String> {
        let known = FIELDS.join(", ");
        let (name, field) = text
            .rsplit_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("give NAME=FIELD, where FIELD is one of {known}"))?;
        match FIELDS.iter().find(|one| **one == field) {
            Some(field) => Ok((name.to_owned(), field)),
            None => Err(format!("{field:?} is no field; the fields are {known}")),
        }
    }

    pub fn meaning(&self, name: &str) -> Meaning {
        let field = match self.map.iter().find(|(from, _)| from == name) {
            Some((_, field)) => field,
            None => name,
        };
        match FIELDS.iter().position(|one| *one == field) {
            Some(index) => Meaning::Field(index),
            None if self.ignore_extra => Meaning::Extra,
            None => Meaning::Unknown,
        }
    }

    /// The first name of `--map` that is not among `names`.
    pub fn missing<'a>(&'a self, names: &[String]) -> Option<&'a str> {
        let mut mapped = self.map.iter().map(|(from, _)| from.as_str());
        mapped.find(|from| !names.iter().any(|name| name == from))
    }

    /// These options, for the comparison with those of an earlier run.
    pub fn described(&self) -> String {
        let map = self
            .map
            .iter()
            .map(|(from, field)| format!("{from}={field}"));
        let extra = self.ignore_extra.then(|| "*".to_owned());
        map.chain(extra).collect::<Vec<_>>().join(",")
    }

    /// A JSON object with the members' names replaced and extra members left out. What is not an object
    /// comes back as it is: the check of the event says what is wrong with it.
    pub fn apply<'a>(&self, record: &'a [u8]) -> Cow<'a, [u8]> {
        if self.map.is_empty() && !self.ignore_extra {
            return Cow::Borrowed(record);
        }
        let mut reader = serde_json::Deserializer::from_slice(record);
        let renamed = Renaming(self).deserialize(&mut reader);
        match renamed.and_then(|text| reader.end().map(|()| text)) {
            Ok(text) => Cow::Owned(text),
            Err(_) => Cow::Borrowed(record),
        }
    }
}

/// Reads an object and writes it with other names. A name that is there twice stays there twice.
struct Renaming<'a>(&'a Names);

impl<'de> DeserializeSeed<'de> for Renaming<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Vec<u8>, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Renaming<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<u8>, A::Error> {
        let mut text = vec![b'{'];
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            let value: &RawValue = members.next_value()?;
            let name = match self.0.meaning(&name) {
                Meaning::Field(index) => FIELDS[index],
                Meaning::Unknown => &name,
                Meaning::Extra => continue,
            };
            if text.len() > 1 {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, name).map_err(A::Error::custom)?;
            text.push(b':');
            text.extend_from_slice(value.get().as_bytes());
        }
        text.push(b'}');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(map: &[&str], ignore_extra: bool) -> Names {
        let map: Vec<_> = map
            .iter()
            .map(|one| Names::parse_map(one).unwrap())
            .collect();
        Names::new(&map, ignore_extra)
    }

    #[test]
    fn members_are_renamed_and_extra_ones_left_out_and_nothing_else_changes() {
        let names = names(&["user=partner_user_id", "a=b=token"], true);
        for (record, expected) in [
            (
                r#"{"user":"u\n","a=b":"t", "x":{"user":[1,"}"]}, "event" : "video"}"#,
                r#"{"partner_user_id":"u\n","token":"t","event":"video"}"#,
            ),
            (
                r#"{"user":1,"user":2}"#,
                r#"{"partner_user_id":1,"partner_user_id":2}"#,
            ),
            (r#"{"\u0075ser":1}"#, r#"{"partner_user_id":1}"#),
            ("[1]", "[1]"),
            (r#"{"user":1} {"user":2}"#, r#"{"user":1} {"user":2}"#),
            (r#"{"user":"#, r#"{"user":"#),
        ] {
            let renamed = names.apply(record.as_bytes());
            assert_eq!(String::from_utf8_lossy(&renamed), expected);
        }
    }

    #[test]
    fn a_map_names_a_field_that_there_is() {
        for wrong in ["user_id", "=token", "a=tokens", "a="] {
            assert!(Names::parse_map(wrong).is_err(), "{wrong}");
        }
    }
}
