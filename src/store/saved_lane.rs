//! What a database keeps of one lane beside its runs, as two values: the lane's state and the sums.
//!
//! Each is a version and then entries as in the ledger of a host, so that both stores have one codec and the
//! same rule for what a later version adds. The lane is 0 there: which one it is, its row says.

use super::codec::Decoder;
use super::entry::{Entry, Isolation, entries};
use super::fold::Fold;
use super::{LaneState, PauseState, Place, Rest, Totals};

/// An older program does not read a later version; an entry more does not need one.
const VERSION: u8 = 1;
const LANE: u8 = 0;

/// A lane, its pause and its sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedLane {
    /// What is known of the lane.
    pub state: LaneState,
    /// How it rests.
    pub rest: Rest,
    /// Why delivery is paused.
    pub pause: Option<PauseState>,
    /// The sums, without what is pending.
    pub totals: Totals,
}

impl SavedLane {
    /// Everything but the sums.
    pub fn encode_state(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut say = |entry: Entry<'_>| entry.encode(&mut out);
        let in_doubt = self.state.in_doubt;
        say(Entry::InDoubt {
            lane: LANE,
            in_doubt,
        });
        if let Some(status) = in_doubt.and_then(|batch| batch.status) {
            say(Entry::Answered { lane: LANE, status });
        }
        for (queue, state) in (0..).zip(&self.state.queues) {
            let isolation = Isolation {
                group: state.group,
                doubtful: state.doubtful,
                belief: state.belief.clone(),
            };
            if isolation != Isolation::default() {
                let place = Place { lane: LANE, queue };
                say(Entry::Isolation { place, isolation });
            }
        }
        if self.rest != Rest::default() {
            let rest = self.rest;
            say(Entry::Rest { lane: LANE, rest });
        }
        if self.pause.is_some() {
            say(Entry::Pause(self.pause.clone()));
        }
        out
    }

    /// The sums.
    pub fn encode_totals(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        Entry::Totals(Fold::default().changed_totals(&self.totals)).encode(&mut out);
        out
    }

    /// Reads both back; empty is what nothing is known of. `None`: they are damaged, or of a later version.
    pub fn decode(state: &[u8], totals: &[u8]) -> Option<Self> {
        let mut fold = Fold::default();
        for bytes in [state, totals] {
            let mut from = Decoder(bytes);
            if from.is_empty() {
                continue;
            }
            if from.byte()? != VERSION {
                return None;
            }
            for entry in entries(from.0) {
                fold.apply(&entry.ok()?).ok()?;
            }
        }
        Some(Self {
            state: fold.lane_state(LANE),
            rest: fold.rest(LANE),
            pause: fold.pause.clone(),
            totals: fold.totals(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PauseReason;
    use crate::store::{InDoubt, QueueState};

    #[test]
    fn what_a_database_keeps_of_a_lane_is_read_back_as_it_was_and_never_when_it_is_cut_short() {
        let mut totals = Totals::default();
        for (number, sum) in (1..).zip(totals.numbers()) {
            *sum = number;
        }
        let queue = QueueState {
            group: 25,
            doubtful: 7,
            belief: vec![0.5, 0.25],
        };
        let saved = SavedLane {
            state: LaneState {
                in_doubt: Some(InDoubt {
                    queue: 1,
                    events: 100,
                    attempts: 3,
                    first_ms: 5,
                    last_ms: 6,
                    status: Some(503),
                }),
                queues: [QueueState::default(), queue],
            },
            rest: Rest {
                drawn_ms: 7,
                until_ms: Some(8),
                ..Rest::default()
            },
            pause: Some(PauseState {
                reason: PauseReason::Ip,
                since_ms: 1,
                probe_ms: None,
                probe_wait_ms: 2,
                http_status: Some(401),
                api_code: None,
                message: "no".to_owned(),
                fingerprint: None,
            }),
            totals,
        };
        let (state, sums) = (saved.encode_state(), saved.encode_totals());
        assert_eq!(SavedLane::decode(&state, &sums), Some(saved));
        assert_eq!(SavedLane::decode(&[], &[]), Some(SavedLane::default()));
        let nothing = SavedLane::default();
        let both = (nothing.encode_state(), nothing.encode_totals());
        assert_eq!(SavedLane::decode(&both.0, &both.1), Some(nothing));
        assert_eq!(SavedLane::decode(&state[..state.len() - 1], &sums), None);
        assert_eq!(SavedLane::decode(&[VERSION + 1], &sums), None);
    }
}
