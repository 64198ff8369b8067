//! How the relays of a fleet share its lanes: which one this relay should take or give up next.
//!
//! Nobody assigns lanes. Each relay looks at the same table and decides for itself, one lane at a time; the
//! compare-and-set of the lease decides between two that want the same one. A fair share is the lanes divided by the
//! relays, rounded down or up. A relay takes a free lane while it has less than the smaller share, or less than the larger
//! one where nobody else needs the lane to get the smaller. It gives one up if it has more than the larger share, or if
//! another relay is short of the smaller one and no free lane is left for that. So a table that is even has no next move,
//! and lanes do not go back and forth.

use std::collections::BTreeMap;

/// Which relays there are, and which of them owns each lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The relays that are alive: by id, whether the API refuses their addresses.
    pub relays: BTreeMap<String, Standing>,
    /// The owner of each lane; `None`: anybody may take it.
    pub lanes: Vec<Option<String>>,
}

/// Whether a relay can deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes part.
    Able,
    /// The API refuses its address: it has no share.
    Blocked,
}

/// What a relay should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Take the lease of this lane.
    Take(i16),
    /// Give the lease of this lane up, once nothing of it is in flight.
    GiveUp(i16),
}

impl Table {
    /// The next move of the relay `me`, which counts as alive; `None`: it has its share. To be asked again, with a
    /// table that was read anew, after each move and at each look.
    ///
    /// If the outcome of a take was not known, the table may have a lane of `me` whose lease this process does not
    /// know. It cannot be given up, and is free when its lease ends.
    pub fn next_move(&self, me: &str) -> Option<Move> {
        let is_able = |id: &&String| self.relays.get(*id) == Some(&Standing::Able);
        let mine = self.lanes_of(me);
        if self.relays.get(me) == Some(&Standing::Blocked) {
            return mine.last().map(|lane| Move::GiveUp(*lane));
        }
        let others = self.relays.keys().filter(is_able);
        let others: Vec<(usize, &str)> = others
            .filter(|id| *id != me)
            .map(|id| (self.lanes_of(id).len(), id.as_str()))
            .collect();
        let relays = others.len() + 1;
        let smaller = self.lanes.len() / relays;
        let larger = self.lanes.len().div_ceil(relays);
        let free = self.lanes.iter().filter(|owner| owner.is_none()).count();
        let short: usize = others
            .iter()
            .map(|(count, _)| smaller.saturating_sub(*count))
            .sum();
        // So many relays have the larger share. Of those who may, the first by their ids: then as many take one more.
        let with_larger = self.lanes.len() % relays;
        let before_me = others
            .iter()
            .filter(|(count, id)| *count > smaller || (*count == smaller && *id < me))
            .count();
        let may_have_larger = mine.len() == smaller && free > short && before_me < with_larger;
        if mine.len() < smaller || may_have_larger {
            let rank = others.iter().filter(|(_, id)| *id < me).count();
            return self.free_lane(rank * self.lanes.len() / relays);
        }
        if mine.len() > larger {
            return mine.last().map(|lane| Move::GiveUp(*lane));
        }
        // Those who have more than the smaller share give, but not more of them than lanes are missing.
        let before = others
            .iter()
            .filter(|(count, id)| *count > smaller && (*count > larger || *id < me))
            .count();
        match mine.len() > smaller && free + before < short {
            true => mine.last().map(|lane| Move::GiveUp(*lane)),
            false => None,
        }
    }

    fn lanes_of(&self, relay: &str) -> Vec<i16> {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(_, owner)| owner.as_deref() == Some(relay))
            .map(|(lane, _)| lane as i16)
            .collect()
    }

    /// The first free lane from `start` on, so that relays that look at the same moment seldom want the same one.
    fn free_lane(&self, start: usize) -> Option<Move> {
        let lanes = self.lanes.len();
        let free = (0..lanes)
            .map(|step| (start + step) % lanes)
            .find(|lane| self.lanes[*lane].is_none());
        free.map(|lane| Move::Take(lane as i16))
    }
}

#[cfg(test)]
mod tests;
