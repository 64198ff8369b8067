//! The brake: lone refusals of many different users in a row are more likely a mistake of the
//! application than of its users.
//!
//! A wrong column in an import looks to the API like a thousand bad events. So after `limit` users
//! nothing more is rejected. But an import that is sorted by user may have that many bad users side
//! by side, and the users behind them must not wait for an operator. So before delivery pauses, the
//! engine sends events of as many users again, and moves each one that is refused to the suspects'
//! queue without rejecting it.
//!
//! One accepted event shows that the API does not refuse everything. The count starts again, and the
//! suspects' events are judged. Refusals of suspects do not count, because they are expected.
//!
//! An operator who knows that the users are unknown indeed allows the next rejections by their number.

use super::verdict::Refusal;
use std::collections::BTreeSet;

/// Counts users whose events were refused alone since the last accepted event.
#[derive(Debug)]
pub(super) struct Brake {
    /// After how many different users nothing is rejected; 0 turns the brake off.
    limit: usize,
    users: BTreeSet<String>,
    /// So many events may be rejected without being counted: an operator has allowed it.
    allowed: u64,
}

impl Brake {
    pub fn new(limit: u32, users: Vec<String>, allowed: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            users: users.into_iter().collect(),
            allowed,
        }
    }

    /// An operator allows the next `rejections`, whatever was refused so far.
    pub fn allow(&mut self, rejections: u64) {
        self.users.clear();
        self.allowed = rejections;
    }

    /// How many rejections are still allowed.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Others count as well: these are the users that were refused.
    pub fn recount(&mut self, users: Vec<String>) {
        self.users = users.into_iter().collect();
    }

    /// An event was accepted, or an operator resumed: the count starts again.
    pub fn release(&mut self) {
        self.users.clear();
    }

    /// An event of `user` is rejected. `None`: that does not count, but uses up what is allowed.
    pub fn count_rejected(&mut self, user: Option<&str>) {
        match (self.allowed, user) {
            (0, Some(user)) => self.count_refused(user),
            (allowed, _) => self.allowed = allowed.saturating_sub(1),
        }
    }

    pub fn count_refused(&mut self, user: &str) {
        if self.limit > 0 {
            self.users.insert(user.to_owned());
        }
    }

    /// A user is not counted any more: an operator has erased what is known of the user.
    pub fn forget(&mut self, user: &str) {
        self.users.remove(user);
    }

    pub fn users(&self) -> impl ExactSizeIterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    /// Whether no event may be rejected now.
    pub fn is_on(&self) -> bool {
        self.limit > 0 && self.users.len() >= self.limit
    }

    /// Whether enough users were refused while the brake is on that delivery has to pause.
    pub fn must_pause(&self) -> bool {
        self.is_on() && self.users.len() - self.limit >= self.limit
    }

    /// The message of the pause; `last` is the latest refusal.
    pub fn pause_message(&self, last: &Refusal) -> String {
        let Refusal { code, message, .. } = last;
        let users = self.users.len();
        format!(
            "events of {users} different users were refused in a row; the last refusal: {code} {message}"
        )
    }
}
