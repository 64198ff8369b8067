//! The whole state, as the entries that a ledger begins with.

use super::{Fold, Queue};
use crate::store::entry::Entry;

impl Fold {
    /// Entries that make this state of an empty one.
    pub(in crate::store) fn snapshot(&self) -> Vec<Entry<'_>> {
        let mut entries = vec![Entry::Numbers(self.numbers), Entry::Lanes(self.lanes)];
        for (number, (name, upto)) in &self.segments {
            entries.push(Entry::Segment {
                number: *number,
                name,
            });
            entries.push(Entry::Taken {
                number: *number,
                upto: *upto,
            });
        }
        for (place, queue) in self
            .places()
            .filter(|(_, queue)| **queue != Queue::default())
        {
            entries.push(Entry::QueueFiles {
                place,
                files: queue.files.clone(),
            });
            entries.push(Entry::Queue {
                place,
                position: queue.position,
            });
            entries.extend(queue.marks.iter().map(|(&run, &marks)| Entry::Marks {
                place,
                run,
                marks,
            }));
            entries.push(Entry::Isolation {
                place,
                isolation: queue.isolation.clone(),
            });
        }
        for (lane, state) in (0..=u8::MAX).zip(&self.by_lane) {
            entries.push(Entry::InDoubt {
                lane,
                in_doubt: state.in_doubt,
            });
            if let Some(status) = state.in_doubt.and_then(|batch| batch.status) {
                entries.push(Entry::Answered { lane, status });
            }
            entries.push(Entry::Rest {
                lane,
                rest: state.rest,
            });
        }
        entries.extend(self.suspects.values().cloned().map(Entry::Suspect));
        let refused = self.refused_in_a_row.iter();
        entries.extend(refused.map(|user| Entry::RefusedInARow { user }));
        entries.push(Entry::Pause(self.pause.clone()));
        let sums = Self::default().changed_totals(&self.totals);
        entries.push(Entry::Totals(sums));
        entries.extend(self.rejected.iter().cloned().map(Entry::RejectedFile));
        let counts = self.rejected_counts.iter();
        entries.extend(
            counts.map(|((reason, api_code), events)| Entry::RejectedCount {
                reason: *reason,
                api_code,
                events: *events,
            }),
        );
        entries
    }
}
