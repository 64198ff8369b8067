//! The brake: lone refusals of many different users in a row are more likely our mistake than theirs.
//!
//! A wrong column in an import looks to the API like a thousand bad events. One acceptance between
//! the refusals shows that the API can still be pleased, and the count starts again. Refusals of
//! suspects do not count: they are expected.

use super::verdict::Refusal;
use std::collections::BTreeSet;

/// Counts users refused alone since the last acceptance.
#[derive(Debug)]
pub(super) struct Brake {
    /// How many different users trip it; 0 is never.
    limit: usize,
    users: BTreeSet<String>,
}

impl Brake {
    pub fn new(limit: u32, users: Vec<String>) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            users: users.into_iter().collect(),
        }
    }

    /// Any acceptance, or an operator, shows that not everything is refused.
    pub fn release(&mut self) {
        self.users.clear();
    }

    pub fn refused_alone(&mut self, user: &str) {
        if self.limit > 0 {
            self.users.insert(user.to_owned());
        }
    }

    pub fn users(&self) -> impl ExactSizeIterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    /// Why to stop, if it is time to; `last` is the refusal that came last.
    pub fn tripped(&self, last: &Refusal) -> Option<String> {
        let users = self.users.len();
        let Refusal { code, message, .. } = last;
        (self.limit > 0 && users >= self.limit)
            .then(|| format!("events of {users} different users were refused in a row; the last: {code} {message}"))
    }
}
