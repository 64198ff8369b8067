//! The brake: lone refusals of many different users in a row are more likely our mistake than theirs.
//!
//! A wrong column in an import looks to the API like a thousand bad events. So after `limit` users
//! nothing more is rejected. But an import that is sorted by user may hold that many bad users side by
//! side, and those behind them are not to wait for an operator. So before all pauses, the brake looks
//! ahead: as many users again are asked for, and each who is refused goes unjudged to the suspects.
//! One acceptance shows that the API can still be pleased; the count starts again, and the
//! suspects are judged. Their refusals do not count: they are expected.

use super::verdict::Refusal;
use std::collections::BTreeSet;

/// Counts users refused alone since the last acceptance.
#[derive(Debug)]
pub(super) struct Brake {
    /// After how many different users nothing is rejected; 0 is never.
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

    /// Whether no event may be rejected now.
    pub fn is_on(&self) -> bool {
        self.limit > 0 && self.users.len() >= self.limit
    }

    /// Whether it has looked ahead far enough.
    pub fn has_seen_enough(&self) -> bool {
        self.is_on() && self.users.len() - self.limit >= self.limit
    }

    /// Why all pauses; `last` is the refusal that came last.
    pub fn why(&self, last: &Refusal) -> String {
        let Refusal { code, message, .. } = last;
        let users = self.users.len();
        format!(
            "events of {users} different users were refused in a row; the last: {code} {message}"
        )
    }
}
