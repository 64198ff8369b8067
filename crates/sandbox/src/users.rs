//! The users that the sandbox does not know, and how it refuses each of them.
//!
//! A test names single users, or a prefix for a whole group of them (`bad-`). An entry may have a
//! status, a code and a message of its own, for refusals that the API's text does not list. A full
//! name takes precedence over a prefix, and the first matching prefix over later ones.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::api::Refusal;

/// The users that are unknown. All others are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnknownUsers {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    prefixes: Vec<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    Detailed(Detailed),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detailed {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default = "default_status")]
    status: u16,
    #[serde(default = "default_code")]
    code: String,
    #[serde(default = "default_message")]
    message: String,
}

/// The users that an entry is for.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    User(&'a str),
    Prefix(&'a str),
}

impl Entry {
    fn key(&self) -> Key<'_> {
        match self {
            Self::Name(name) => Key::User(name),
            Self::Detailed(Detailed {
                user: Some(name), ..
            }) => Key::User(name),
            Self::Detailed(Detailed { prefix, .. }) => {
                Key::Prefix(prefix.as_deref().unwrap_or_default())
            }
        }
    }
}

fn default_status() -> u16 {
    404
}

fn default_code() -> String {
    "A_1104".into()
}

fn default_message() -> String {
    "User not found.".into()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    unknown: Vec<serde_json::Value>,
}

impl UnknownUsers {
    /// Users that are refused as not found, by name and by prefix.
    pub(crate) fn not_found(names: Vec<String>, prefixes: Vec<String>) -> Self {
        let mut users = Self::default();
        for name in names {
            users.add(Entry::Name(name));
        }
        for prefix in prefixes {
            users.add(Entry::Detailed(Detailed {
                user: None,
                prefix: Some(prefix),
                status: default_status(),
                code: default_code(),
                message: default_message(),
            }));
        }
        users
    }

    /// Reads `{"unknown": [...]}`, as the control API takes it.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(text).map_err(|cause| format!("users: {cause}"))?;
        let mut users = Self::default();
        for entry in parse_entries("entry", document.unknown)? {
            users.add(entry);
        }
        Ok(users)
    }

    /// The document that [`from_json`](Self::from_json) reads.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "unknown": self.entries })
    }

    /// The same document with only the `limit` newest entries, and the number of all entries.
    pub(crate) fn latest_as_json(&self, limit: usize) -> serde_json::Value {
        let skipped = self.entries.len().saturating_sub(limit);
        serde_json::json!({ "unknown": &self.entries[skipped..], "count": self.entries.len() })
    }

    /// A copy with entries added and removed as `{"unknown": [...], "known": [...]}` says.
    pub(crate) fn changed(&self, text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Change {
            #[serde(default)]
            unknown: Vec<serde_json::Value>,
            #[serde(default)]
            known: Vec<serde_json::Value>,
        }
        let change: Change =
            serde_json::from_slice(text).map_err(|cause| format!("users: {cause}"))?;
        let added = parse_entries("unknown", change.unknown)?;
        let removed = parse_entries("known", change.known)?;
        // A new entry replaces an older one for the same users.
        let replaced: HashSet<Key> = added.iter().chain(&removed).map(Entry::key).collect();
        let kept = self.entries.iter().filter(|e| !replaced.contains(&e.key()));
        let mut users = Self::default();
        for entry in kept.cloned().chain(added.iter().cloned()) {
            users.add(entry);
        }
        for entry in &removed {
            if let Key::User(name) = entry.key()
                && let Some(prefix) = users.prefix_of(name)
            {
                return Err(format!(
                    "users: {name:?} is unknown because of the prefix {prefix:?}; to remove the \
                     prefix, send {{\"known\":[{{\"prefix\":{prefix:?}}}]}}"
                ));
            }
        }
        Ok(users)
    }

    /// How this user is refused, or `None` if the user is known.
    pub(crate) fn refusal_of(&self, user: &str) -> Option<Refusal> {
        let by_name = self.by_name.get(user).copied();
        let index = by_name.or_else(|| Some(self.first_prefix_of(user)?.0))?;
        Some(match &self.entries[index] {
            Entry::Name(_) => Refusal {
                status: default_status(),
                code: Cow::Owned(default_code()),
                message: Cow::Owned(default_message()),
            },
            Entry::Detailed(entry) => Refusal {
                status: entry.status,
                code: Cow::Owned(entry.code.clone()),
                message: Cow::Owned(entry.message.clone()),
            },
        })
    }

    fn prefix_of(&self, user: &str) -> Option<&str> {
        Some(self.first_prefix_of(user)?.1)
    }

    fn first_prefix_of(&self, user: &str) -> Option<(usize, &str)> {
        self.prefixes.iter().find_map(|&index| {
            let Key::Prefix(prefix) = self.entries[index].key() else {
                return None;
            };
            user.starts_with(prefix).then_some((index, prefix))
        })
    }

    fn add(&mut self, entry: Entry) {
        let index = self.entries.len();
        match entry.key() {
            Key::User(name) => {
                self.by_name.insert(name.to_owned(), index);
            }
            Key::Prefix(_) => self.prefixes.push(index),
        }
        self.entries.push(entry);
    }
}

/// Reads every entry of a list. An error names the list and the place in it.
fn parse_entries(list: &str, values: Vec<serde_json::Value>) -> Result<Vec<Entry>, String> {
    let parse = |(index, value)| {
        parse_entry(value).map_err(|cause| format!("users: {list} {index}: {cause}"))
    };
    values.into_iter().enumerate().map(parse).collect()
}

fn parse_entry(value: serde_json::Value) -> Result<Entry, String> {
    if let serde_json::Value::String(name) = value {
        return Ok(Entry::Name(name));
    }
    let entry: Detailed = serde_json::from_value(value).map_err(|cause| cause.to_string())?;
    if entry.user.is_some() == entry.prefix.is_some() {
        return Err("needs either \"user\" or \"prefix\"".into());
    }
    if !(400..=599).contains(&entry.status) {
        return Err(format!(
            "status {} is not a refusal (400 to 599)",
            entry.status
        ));
    }
    Ok(Entry::Detailed(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(users: &UnknownUsers, user: &str) -> Option<(u16, String)> {
        users
            .refusal_of(user)
            .map(|refusal| (refusal.status, refusal.code.into_owned()))
    }

    #[test]
    fn a_name_takes_precedence_over_a_prefix_and_the_first_prefix_over_the_second() {
        let text = br#"{"unknown":["bad-7",{"prefix":"bad-","status":422,"code":"X_1"},{"prefix":"b","code":"X_2"}]}"#;
        let users = UnknownUsers::from_json(text).expect("a good document");
        assert_eq!(code_of(&users, "bad-7"), Some((404, "A_1104".into())));
        assert_eq!(code_of(&users, "bad-8"), Some((422, "X_1".into())));
        assert_eq!(code_of(&users, "b"), Some((404, "X_2".into())));
        assert_eq!(code_of(&users, "a"), None);
        let again = UnknownUsers::from_json(users.to_json().to_string().as_bytes())
            .expect("what was written");
        assert_eq!(code_of(&again, "bad-8"), Some((422, "X_1".into())));
    }

    #[test]
    fn an_entry_that_would_match_no_user_is_refused() {
        for (text, part) in [
            (r#"{"unknown":[{"usr":"a"}]}"#, "unknown field `usr`"),
            (
                r#"{"unknown":["a",{"status":404}]}"#,
                "entry 1: needs either",
            ),
            (
                r#"{"unknown":[{"user":"a","prefix":"b"}]}"#,
                "entry 0: needs either",
            ),
            (
                r#"{"unknown":[{"user":"a","status":204}]}"#,
                "status 204 is not a refusal",
            ),
            (r#"{"users":["a"]}"#, "unknown field `users`"),
        ] {
            let message = UnknownUsers::from_json(text.as_bytes()).expect_err(text);
            assert!(message.contains(part), "{message}");
        }
    }
}
