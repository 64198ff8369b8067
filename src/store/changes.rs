//! What the changes of a commit say in its record.

use super::contract::Change;
use super::entry::{Entry, Isolation};
use super::log_store::LogStore;
use super::receipts::first_id_of;
use super::{LaneState, Place, Receipt};
use crate::error::Result;

impl LogStore {
    /// Writes runs and rejected events, and then a record that says all changes; a joint commit goes on with it.
    pub(super) fn commit_all(&mut self, changes: &[Change<'_>]) -> Result<()> {
        self.append_runs(changes)?;
        self.append_rejected(changes)?;
        for change in changes {
            self.apply(*change)?;
        }
        if self.is_joint {
            return Ok(());
        }
        self.write_record()
    }

    fn apply(&mut self, change: Change<'_>) -> Result<()> {
        match change {
            // Runs and rejected events are written before all else.
            Change::Append { .. } | Change::Reject(_) => Ok(()),
            Change::Settle { place, upto } => self.settle(place, upto),
            Change::Mark { place, run, marks } => self.say(&Entry::Marks { place, run, marks }),
            Change::Leave {
                place,
                events,
                bytes,
            } => self.move_queue(place, |position| {
                position.events = position.events.saturating_sub(events);
                position.bytes = position.bytes.saturating_sub(bytes);
            }),
            Change::Lane { lane, state } => self.say_lane(lane, state),
            Change::Rest { lane, rest } => self.say(&Entry::Rest { lane, rest: *rest }),
            Change::Receipt(receipt) => self.say_receipt(receipt),
            Change::Forget { rejected, event } => {
                let forgotten = self.fold.apply(&Entry::Forgotten(vec![rejected]));
                forgotten.map_err(|what| self.contradiction(what))?;
                self.forgotten.push(rejected);
                self.count_rejected(event, |events| events.saturating_sub(1))
            }
            Change::Taken { segment, upto } => {
                let number = match self.fold.segment_number(segment) {
                    Some(number) => number,
                    None => {
                        let number = self.fold.numbers.segment + 1;
                        self.say(&Entry::Segment {
                            number,
                            name: segment,
                        })?;
                        number
                    }
                };
                self.say(&Entry::Taken { number, upto })
            }
            Change::Gone { segment } => match self.fold.segment_number(segment) {
                Some(number) => self.say(&Entry::Gone { number }),
                None => Ok(()),
            },
            Change::Suspect(suspect) => self.say(&Entry::Suspect(suspect.clone())),
            Change::Cleared { user } => self.say(&Entry::Cleared { user }),
            Change::RefusedInARow { user } => self.say(&Entry::RefusedInARow { user }),
            Change::AcceptedSince => self.say(&Entry::AcceptedSince),
            Change::Pause(pause) => self.say(&Entry::Pause(pause.cloned())),
            Change::Lanes(lanes) => self.say(&Entry::Lanes(lanes)),
            Change::Totals(totals) => {
                let changed = self.fold.changed_totals(totals);
                match changed.is_empty() {
                    true => Ok(()),
                    false => self.say(&Entry::Totals(changed)),
                }
            }
        }
    }

    /// Says what of a lane has changed.
    fn say_lane(&mut self, lane: u8, state: &LaneState) -> Result<()> {
        if state.in_doubt != self.fold.in_doubt(lane) {
            let in_doubt = state.in_doubt;
            self.say(&Entry::InDoubt { lane, in_doubt })?;
            if let Some(status) = in_doubt.and_then(|batch| batch.status) {
                self.say(&Entry::Answered { lane, status })?;
            }
        }
        for (queue, state) in (0..).zip(&state.queues) {
            let place = Place { lane, queue };
            let isolation = Isolation {
                group: state.group,
                doubtful: state.doubtful,
                belief: state.belief.clone(),
            };
            if isolation != self.fold.queue(place).isolation {
                self.say(&Entry::Isolation { place, isolation })?;
            }
        }
        Ok(())
    }

    fn say_receipt(&mut self, receipt: &Receipt) -> Result<()> {
        if self.is_full_disk {
            return Ok(());
        }
        // Grows also where the clock was set back.
        let id = first_id_of(receipt.time_ms).max(self.fold.numbers.receipt + 1);
        let bytes = receipt.encode();
        self.say(&Entry::Receipt { id, bytes: &bytes })
    }
}
