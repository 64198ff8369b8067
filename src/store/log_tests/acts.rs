//! What the sender of a [`World`] does.

use super::promises::Since;
use super::world::{
    LANES, Mistake, Outcome, Trouble, World, leave, run_of, user_of, violation, waiting,
};
use crate::error::PauseReason;
use crate::store::contract::{Change, FileStore, HostStore, Store};
use crate::store::next_ledger::SpareLedger;
use crate::store::{
    InDoubt, LaneState, PauseState, Place, Receipt, Rejected, RejectedReason, Rest, Shares,
    StoredRun, Suspect,
};

/// An event, by the run and the place that it waits in.
type Found = (i64, usize, u64);

fn rejected(event: u64, reason: RejectedReason) -> Rejected {
    Rejected {
        user: format!("u{}", user_of(event)),
        event: run_of(&[event]).body,
        reason,
        may_be_delivered: false,
        api_code: "A_1".to_owned(),
        message: "bad".to_owned(),
        http_status: Some(400),
        attempts: 1,
        first_ms: event as i64,
        last_ms: 2,
    }
}

impl World {
    /// One step of whoever has a turn.
    pub(super) fn act(&mut self) -> Outcome {
        match self.rng.u8(..32) {
            0..=4 => {
                self.enqueue();
                Ok(())
            }
            5..=9 => self.take_over(),
            10..=17 => {
                let lane = self.rng.u8(..LANES);
                self.deliver(lane)
            }
            18..=19 => self.reject(),
            20 => self.expire(),
            21 => self.suspect(),
            22 => self.requeue(),
            23 => self.discard(),
            24 => self.say_something(),
            25 => self.joint(),
            26..=27 => self.sync_point(),
            28 => self.rotate(),
            29 => {
                let now = crate::clock::wall_ms();
                let before = now - self.rng.i64(0..5);
                self.store().forget_receipts(before, now)?;
                Ok(())
            }
            30 => {
                let seq = self.store().committed();
                self.sync_until(seq)
            }
            _ => {
                self.drop_store();
                self.open()
            }
        }?;
        if self.store().wants_next_ledger() {
            self.rotate()?;
        }
        Ok(())
    }

    fn place(&mut self) -> Place {
        Place {
            lane: self.rng.u8(..LANES),
            queue: u8::from(self.rng.u8(..4) == 0),
        }
    }

    /// A place whose lane has nothing in doubt.
    fn quiet_place(&mut self) -> Option<Place> {
        let place = self.place();
        self.store()
            .lane(place.lane)
            .in_doubt
            .is_none()
            .then_some(place)
    }

    /// The first events of a queue, and the runs that they stand in.
    pub(super) fn first_events(
        &mut self,
        place: Place,
        events: usize,
    ) -> Outcome<(Vec<StoredRun>, Vec<Found>)> {
        let runs = self.store().runs(place, 0, 32)?;
        let all = runs.iter().flat_map(|run| {
            waiting(run)
                .into_iter()
                .map(|(at, event)| (run.id, at, event))
        });
        let first = all.take(events).collect();
        Ok((runs, first))
    }

    /// Sends the batch in doubt, or the next one, and takes the answer.
    pub(super) fn deliver(&mut self, lane: u8) -> Outcome {
        let in_doubt = self.store().lane(lane).in_doubt;
        let queue = in_doubt.map_or_else(|| u8::from(self.rng.u8(..4) == 0), |batch| batch.queue);
        let place = Place { lane, queue };
        let wanted = match in_doubt {
            Some(batch) => batch.events as usize,
            None => self.rng.usize(1..=12),
        };
        let (runs, first) = self.first_events(place, wanted)?;
        if first.is_empty() {
            return match in_doubt {
                Some(_) => violation("a batch in doubt has no events"),
                None => Ok(()),
            };
        }
        let events: Vec<u64> = first.iter().map(|(_, _, event)| *event).collect();
        let bytes = run_of(&events).body;
        match in_doubt {
            Some(_) if first.len() < wanted => return violation("a batch in doubt lacks events"),
            Some(_) if !self.batches.contains(&bytes) => {
                return violation("a repeated batch is another one");
            }
            Some(_) => {}
            None => {
                self.batches.insert(bytes.clone());
                let mut state = self.store().lane(lane);
                state.in_doubt = Some(InDoubt {
                    queue,
                    events: first.len() as u32,
                    attempts: 1,
                    first_ms: 1,
                    last_ms: 1,
                    status: None,
                });
                self.commit(&[Change::Lane {
                    lane,
                    state: &state,
                }])?;
            }
        }
        if self.mistake != Mistake::SendsEarly {
            self.make_safe()?;
        }
        self.store().check_lock()?;
        match self.rng.u8(..6) {
            // It did not arrive.
            0 => return Ok(()),
            // It did, and the answer is lost.
            1 => {
                self.accepted.extend(&events);
                return Ok(());
            }
            _ => self.accepted.extend(&events),
        }
        let gone: Vec<(i64, usize)> = first.iter().map(|(run, at, _)| (*run, *at)).collect();
        let mut state = self.store().lane(lane);
        state.in_doubt = None;
        state.queues[usize::from(queue)].group = self.rng.u32(..3);
        let mut totals = self.store().totals();
        totals.delivered += events.len() as u64;
        let receipt = Receipt {
            time_ms: crate::clock::wall_ms(),
            http_status: 204,
            attempts: 1,
            events: events.len() as u32,
            shares: Shares::of([&bytes[..]].into_iter()),
        };
        let mut changes = leave(place, &runs, &gone);
        changes.extend([
            Change::Lane {
                lane,
                state: &state,
            },
            Change::Totals(&totals),
            Change::Receipt(&receipt),
        ]);
        self.commit(&changes)?;
        let seq = self.store().committed();
        self.settled_by
            .extend(events.into_iter().map(|event| (event, seq)));
        Ok(())
    }

    /// One event of a queue goes to the rejected events.
    pub(super) fn reject(&mut self) -> Outcome {
        let Some(place) = self.quiet_place() else {
            return Ok(());
        };
        let (runs, first) = self.first_events(place, 20)?;
        let Some((run, at, event)) = self.rng.choice(first) else {
            return Ok(());
        };
        let event = rejected(event, RejectedReason::Refused);
        let mut totals = self.store().totals();
        totals.rejected += 1;
        let suspect = Suspect {
            user: event.user.clone().into_bytes(),
            lane: place.lane,
            waiting: 0,
            accepted: false,
        };
        let mut changes = leave(place, &runs, &[(run, at)]);
        changes.extend([
            Change::Reject(&event),
            Change::Totals(&totals),
            Change::Suspect(&suspect),
            Change::RefusedInARow { user: &event.user },
        ]);
        self.commit(&changes)?;
        self.answer()
    }

    /// The first events of a queue are too old.
    pub(super) fn expire(&mut self) -> Outcome {
        let Some(place) = self.quiet_place() else {
            return Ok(());
        };
        let count = self.rng.usize(1..6);
        let (runs, first) = self.first_events(place, count)?;
        if first.is_empty() {
            return Ok(());
        }
        let events: Vec<Rejected> = first
            .iter()
            .map(|(_, _, event)| rejected(*event, RejectedReason::Expired))
            .collect();
        let gone: Vec<(i64, usize)> = first.iter().map(|(run, at, _)| (*run, *at)).collect();
        let mut totals = self.store().totals();
        totals.rejected += events.len() as u64;
        let mut changes = leave(place, &runs, &gone);
        changes.extend(events.iter().map(Change::Reject));
        changes.push(Change::Totals(&totals));
        self.commit(&changes)?;
        self.answer()
    }

    /// The events of one user go to the suspects.
    pub(super) fn suspect(&mut self) -> Outcome {
        let lane = self.rng.u8(..LANES);
        if self.store().lane(lane).in_doubt.is_some() {
            return Ok(());
        }
        let place = Place { lane, queue: 0 };
        let (runs, first) = self.first_events(place, usize::MAX)?;
        let Some((_, _, one)) = self.rng.choice(first.clone()) else {
            return Ok(());
        };
        let user = user_of(one);
        let of_user: Vec<(i64, usize, u64)> = first
            .into_iter()
            .filter(|(_, _, event)| user_of(*event) == user)
            .collect();
        let events: Vec<u64> = of_user.iter().map(|(_, _, event)| *event).collect();
        let origin = of_user.last().and_then(|(run, _, _)| {
            runs.iter()
                .find(|known| known.id == *run)
                .map(|run| run.origin)
        });
        let gone: Vec<(i64, usize)> = of_user.iter().map(|(run, at, _)| (*run, *at)).collect();
        let run = run_of(&events);
        let suspect = Suspect {
            user: format!("u{user}").into_bytes(),
            lane,
            waiting: events.len() as u64,
            accepted: false,
        };
        let mut changes = leave(place, &runs, &gone);
        changes.push(Change::Append {
            place: Place { lane, queue: 1 },
            origin,
            run: &run,
        });
        changes.push(Change::Suspect(&suspect));
        self.commit(&changes)
    }

    /// Somebody is told that it has happened, so it has to last.
    pub(super) fn answer(&mut self) -> Outcome {
        match self.is_joint {
            true => Ok(()),
            false => self.make_safe(),
        }
    }

    fn say_something(&mut self) -> Outcome {
        let lane = self.rng.u8(..LANES);
        let rest = Rest {
            wait_ms: self.rng.i64(..100),
            ..Rest::default()
        };
        let pause = PauseState {
            reason: PauseReason::Auth,
            since_ms: 5,
            probe_ms: None,
            probe_wait_ms: 6,
            http_status: Some(401),
            api_code: None,
            message: "no".to_owned(),
            fingerprint: Some(vec![1, 2]),
        };
        let mut state: LaneState = self.store().lane(lane);
        state.queues[0].belief = vec![self.rng.f64()];
        let user = format!("u{}", self.rng.u8(..6));
        let changes = [
            Change::Rest { lane, rest: &rest },
            Change::Pause(self.rng.bool().then_some(&pause)),
            Change::AcceptedSince,
            Change::Cleared {
                user: user.as_bytes(),
            },
            Change::Lane {
                lane,
                state: &state,
            },
            Change::Lanes(LANES),
        ];
        self.commit(&changes)
    }

    /// Two commits that are one.
    fn joint(&mut self) -> Outcome {
        self.store().begin_joint_commit();
        self.is_joint = true;
        let acts = [
            Self::reject,
            Self::expire,
            Self::suspect,
            Self::requeue,
            Self::discard,
        ];
        let mut outcome = Ok(());
        for _ in 0..self.rng.u8(1..4) {
            let act = acts[self.rng.usize(..acts.len())];
            outcome = act(self);
            if outcome.is_err() {
                break;
            }
        }
        self.is_joint = false;
        // Also after an error: then nothing may have happened.
        let ended = self.store().end_joint_commit();
        outcome?;
        ended?;
        self.answer()
    }

    /// The ledger goes on in its next file.
    pub(super) fn rotate(&mut self) -> Outcome {
        let disk = self.own_disk();
        if self.rng.u8(..3) == 0 {
            let named = self.store().named_files();
            let copied = named.into_iter().filter(|_| self.rng.bool());
            let copied = copied.collect();
            self.store().rewrite(copied);
        }
        let spare = SpareLedger::take(&disk)?;
        let next = self.store().begin_next_ledger(spare)?;
        if self.mistake == Mistake::CommitsMeanwhile {
            self.deliver(0)?;
            self.take_over()?;
        }
        next.publish()?;
        self.store().use_next_ledger(next);
        self.durable = self.durable.max(self.store().committed());
        Ok(())
    }

    /// Disk space is given back.
    pub(super) fn sync_point(&mut self) -> Outcome {
        let point = self.store().note_sync_point();
        let may_go: Vec<usize> = (0..self.journal.len().saturating_sub(1))
            .filter(|at| !self.journal[*at].is_removed && self.is_taken(*at))
            .collect();
        if self.mistake == Mistake::RemovesEarly {
            self.remove_segments(&may_go);
            self.cut();
            return self.open_and_check(Since::Cut);
        }
        self.sync_until(point.seq())?;
        let seq = self.store().commit_sync_point()?;
        self.sync_until(seq)?;
        self.remove_segments(&may_go);
        point.remove(&self.own_disk())?;
        let names: Vec<String> = may_go
            .iter()
            .map(|at| self.journal[*at].name.clone())
            .collect();
        let gone: Vec<Change<'_>> = names
            .iter()
            .map(|segment| Change::Gone { segment })
            .collect();
        self.commit(&gone)?;
        self.store().forget_removed(&point)?;
        Ok(())
    }

    fn remove_segments(&mut self, which: &[usize]) {
        for at in which {
            self.journal[*at].is_removed = true;
        }
    }

    /// Takes an error for what it is after a failed sync: the way out is the next file.
    pub(super) fn recover_from(&mut self, trouble: Trouble) -> Outcome {
        match trouble {
            Trouble::Violation(what) => violation(what),
            Trouble::Failed(_) => {
                let wants = self
                    .store
                    .as_ref()
                    .is_some_and(|store| store.wants_next_ledger());
                if wants && self.rotate().is_ok() {
                    return Ok(());
                }
                self.drop_store();
                Ok(())
            }
        }
    }
}
