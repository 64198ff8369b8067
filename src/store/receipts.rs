//! Receipts: when whose events were delivered, for who is asked later where they are.
//!
//! One row for each delivered request, written in the commit that settles it and so exactly as durable. It
//! names each user once, with a count for each kind of event. Rows are numbered by their time: a search
//! from a time on begins at its row, and forgetting the old ones takes them off the front, both without an
//! index that every request would have to pay for.

use super::codec::{Decoder, put, put_signed};
use crate::event::{self, EventKind};

/// Numbers of rows for each millisecond.
const IDS_PER_MS: i64 = 4_096;

/// Slots for users, twice as many as a request has events and more.
const PLACES: usize = 256;
/// What the shares of most requests fit in.
const ROOM_BYTES: usize = 8 * 1024;

/// One delivered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// When its answer came: wall time in milliseconds.
    pub time_ms: i64,
    /// The HTTP status of the answer.
    pub http_status: u16,
    /// Requests that carried this batch; more than 1 where no answer had settled an earlier one.
    pub attempts: u32,
    /// How many events it held.
    pub events: u32,
    /// Whose, and of which kinds.
    pub shares: Shares,
}

impl Receipt {
    /// The bytes of its entry in the ledger.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.shares.0.len());
        put_signed(&mut out, self.time_ms);
        put(&mut out, u64::from(self.http_status));
        put(&mut out, u64::from(self.attempts));
        put(&mut out, u64::from(self.events));
        out.extend_from_slice(&self.shares.0);
        out
    }

    /// Whether an event of the escaped user is in it.
    pub(super) fn names(&self, user: &[u8]) -> bool {
        self.shares.iter().any(|share| share.user == user)
    }

    /// Leaves out the events of the escaped user.
    #[cold]
    pub(super) fn leave_out(&mut self, user: &[u8]) {
        let mut rest = &self.shares.0[..];
        let mut kept = Vec::with_capacity(rest.len());
        let mut was_in = false;
        while let Some((share, behind)) = share_at(rest) {
            if share.user == user {
                was_in = true;
                let events = share.kinds.iter().map(|events| u32::from(*events)).sum();
                self.events = self.events.saturating_sub(events);
            } else {
                kept.extend_from_slice(&rest[..rest.len() - behind.len()]);
            }
            rest = behind;
        }
        // He was alone in it.
        if was_in && kept.is_empty() {
            self.events = 0;
        }
        self.shares = Shares(kept);
    }

    /// Reads the bytes of an entry back.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Decoder(bytes);
        Some(Self {
            time_ms: from.signed()?,
            http_status: from.small()?,
            attempts: from.small()?,
            events: from.small()?,
            shares: Shares(from.0.to_vec()),
        })
    }
}

/// The events of a request by user and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(Vec<u8>);

/// One user's events in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share<'a> {
    /// The JSON-escaped `partner_user_id`.
    pub user: &'a [u8],
    /// How many of each kind, in the order of [`EventKind::ALL`].
    pub kinds: [u8; EventKind::ALL.len()],
}

impl Shares {
    /// Of these events.
    pub fn of<'a>(fragments: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::with_capacity(ROOM_BYTES);
        let mut known = Known::default();
        for fragment in fragments {
            let Some((user, kind)) = event::user_and_kind(fragment) else {
                continue;
            };
            let at = known.place_of(user, &mut bytes);
            let count = &mut bytes[at + kind as usize];
            *count = count.saturating_add(1);
        }
        bytes.shrink_to_fit();
        Self(bytes)
    }

    /// Of the bytes that [`as_bytes`](Self::as_bytes) has said.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// As a store keeps them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Each user's share, in the order of their first events.
    pub fn iter(&self) -> impl Iterator<Item = Share<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (share, behind) = share_at(rest)?;
            rest = behind;
            Some(share)
        })
    }
}

/// Where the users stand that were seen already. A request has a hundred events and each of them asks, so
/// this is no `HashMap`: that took three times as long.
struct Known {
    /// One more than where a user's counts begin, by hash; 0: free.
    places: [u32; PLACES],
    users: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            places: [0; PLACES],
            users: 0,
        }
    }
}

impl Known {
    /// Where the counts of `user` begin in `bytes`; they are added if they are not there.
    fn place_of(&mut self, user: &[u8], bytes: &mut Vec<u8>) -> usize {
        let mut slot = crc32c::crc32c(user) as usize % PLACES;
        // Some slots stay free, so this ends; users beyond them are named twice.
        while self.places[slot] > 0 {
            let at = self.places[slot] as usize - 1;
            if share_at(&bytes[at..]).is_some_and(|(share, _)| share.user == user) {
                return at;
            }
            slot = (slot + 1) % PLACES;
        }
        let at = bytes.len();
        bytes.extend_from_slice(&[0; EventKind::ALL.len()]);
        bytes.extend_from_slice(&(user.len() as u32).to_le_bytes());
        bytes.extend_from_slice(user);
        if self.users < PLACES / 2 {
            self.places[slot] = at as u32 + 1;
            self.users += 1;
        }
        at
    }
}

/// The share that stands first in `bytes`, and what follows it.
fn share_at(bytes: &[u8]) -> Option<(Share<'_>, &[u8])> {
    let (kinds, behind) = bytes.split_first_chunk()?;
    let (length, behind) = behind.split_first_chunk()?;
    let (user, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let share = Share {
        user,
        kinds: *kinds,
    };
    Some((share, behind))
}

/// The first number that a receipt of this time can have.
pub(super) fn first_id_of(time_ms: i64) -> i64 {
    time_ms.saturating_mul(IDS_PER_MS)
}

/// Which receipts are asked for; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptFilter {
    /// With an event of this `partner_user_id`.
    pub user: Option<String>,
    /// Of this wall time or later, in milliseconds.
    pub from_ms: Option<i64>,
    /// Before this wall time.
    pub until_ms: Option<i64>,
    /// Behind this row.
    pub after_id: i64,
}
