//! The simulated API: what it refuses, what it has processed, and what goes wrong on the way.

use super::plan::Plan;
use meditopia::internals::exchange::{Answer, Exchange};
use std::collections::{BTreeMap, BTreeSet};

/// An event of the simulation.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub id: usize,
    pub user: usize,
    pub bytes: u32,
    pub bad: bool,
    pub enqueued_ms: i64,
}

/// The API and its ledger.
#[derive(Default)]
pub struct Api {
    pub requests: usize,
    /// Each processed event once, in the order of first arrival.
    pub processed: Vec<usize>,
    /// For each processed event, the members of the batch in which it arrived last.
    pub batch_of: BTreeMap<usize, Vec<usize>>,
    pub refused_alone: BTreeSet<usize>,
    /// How often an event arrived that had been processed before.
    pub repeated: usize,
    body_limit: Option<u64>,
    deleted: Option<(usize, usize)>,
}

impl Api {
    pub fn new(plan: &Plan) -> Self {
        Self {
            body_limit: plan.api.body_limit,
            deleted: plan.api.deleted,
            ..Self::default()
        }
    }

    pub fn is_bad(&self, event: &Event) -> bool {
        let is_deleted = |(user, after)| event.user == user && self.requests > after;
        event.bad || self.deleted.is_some_and(is_deleted)
    }

    pub fn fits(&self, batch: &[Event]) -> bool {
        let bytes: u64 = batch.iter().map(|event| u64::from(event.bytes)).sum();
        self.body_limit.is_none_or(|limit| bytes <= limit)
    }

    pub fn accepts(&self, batch: &[Event]) -> bool {
        !batch.iter().any(|event| self.is_bad(event)) && self.fits(batch)
    }

    /// Deletes the user who is to be deleted; from now on nothing changes any more.
    pub fn delete_user(&mut self) {
        if let Some((_, after)) = &mut self.deleted {
            *after = 0;
        }
    }

    pub fn has(&self, event: &Event) -> bool {
        self.batch_of.contains_key(&event.id)
    }

    /// Processes a batch, unless the API refuses it. An event may arrive again only in the same
    /// batch, and only if that batch was recorded as in doubt with more than one attempt.
    pub fn process(&mut self, batch: &[Event], attempts: u32) {
        if !self.accepts(batch) {
            return;
        }
        let members: Vec<usize> = batch.iter().map(|event| event.id).collect();
        for id in &members {
            let Some(earlier) = self.batch_of.insert(*id, members.clone()) else {
                self.processed.push(*id);
                continue;
            };
            self.repeated += 1;
            // A batch in doubt that is refused later must be split, so its parts may arrive again.
            if self.deleted.is_none() {
                assert_eq!(
                    earlier, members,
                    "event {id} arrived again in another batch"
                );
                assert!(
                    attempts > 1,
                    "event {id} arrived again without having been in doubt"
                );
            }
        }
    }

    /// An exchange in which nothing goes wrong.
    pub fn answer(&mut self, batch: &[Event], attempts: u32) -> Exchange {
        if self.accepts(batch) {
            self.process(batch, attempts);
            return answered(204, "");
        }
        if let [event] = batch {
            self.refused_alone.insert(event.id);
        }
        if self.fits(batch) {
            answered(404, &error("U_404"))
        } else {
            answered(413, &error("L_1"))
        }
    }

    /// An exchange that goes wrong, in one of the ways that exchanges do.
    pub fn fail(&mut self, batch: &[Event], attempts: u32, rng: &mut fastrand::Rng) -> Exchange {
        let kind = rng.u32(..12);
        // From 5 on the request may arrive; only the answer goes wrong.
        if kind >= 5 && rng.bool() {
            self.process(batch, attempts);
        }
        match kind {
            0 => Exchange::NotSent {
                why: "refused".into(),
            },
            1 => answered(429, ""),
            2 => answered(401, &error("A_1002")),
            3 => answered(403, &error("A_1004")),
            4 => answered(302, "<html>"),
            5 => answered(200, "<html>"),
            6 | 7 => answered(503, ""),
            8 => answered(408, ""),
            9 => cut(422),
            _ => Exchange::Unsettled {
                why: "reset".into(),
            },
        }
    }

    /// How many requests it takes to halve each refused batch until the bad events are found: the
    /// method that people write by hand.
    pub fn requests_of_halving(&self, events: &[Event], batch_max: usize) -> usize {
        let batches = events.chunks(batch_max);
        batches
            .map(|batch| self.requests_of_halving_batch(batch))
            .sum()
    }

    fn requests_of_halving_batch(&self, batch: &[Event]) -> usize {
        if batch.len() == 1 || self.accepts(batch) {
            return 1;
        }
        let (left, right) = batch.split_at(batch.len() / 2);
        1 + self.requests_of_halving_batch(left) + self.requests_of_halving_batch(right)
    }
}

fn answered(status: u16, body: &str) -> Exchange {
    Exchange::Answered(Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        whole: true,
    })
}

fn cut(status: u16) -> Exchange {
    Exchange::Answered(Answer {
        status,
        retry_after: None,
        body: b"{\"succ".to_vec(),
        whole: false,
    })
}

fn error(code: &str) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":"{code}","message":"as simulated"}}]}}"#)
}
