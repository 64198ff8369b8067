//! The simplest possible store: what is committed survives a crash, and nothing else does.

use super::api::{Api, Event};
use meditopia::internals::delivery::{Effect, Engine, LaneState, Pause, Restored};
use std::collections::{BTreeSet, VecDeque};

/// Everything that is committed.
pub struct Store {
    pub queues: Vec<[VecDeque<Event>; 2]>,
    pub lanes: Vec<LaneState>,
    pub rejected: Vec<Event>,
    pub delivered: BTreeSet<usize>,
    suspects: BTreeSet<usize>,
    pause: Option<Pause>,
    refused_in_a_row: Vec<String>,
}

impl Store {
    pub fn new(lanes: usize) -> Self {
        Self {
            queues: vec![Default::default(); lanes],
            lanes: vec![LaneState::default(); lanes],
            rejected: Vec::new(),
            delivered: BTreeSet::new(),
            suspects: BTreeSet::new(),
            pause: None,
            refused_in_a_row: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queues.iter().flatten().all(VecDeque::is_empty)
    }

    pub fn lane_of(&self, event: &Event) -> usize {
        event.user % self.queues.len()
    }

    pub fn enqueue(&mut self, event: Event) {
        let lane = self.lane_of(&event);
        let queue = usize::from(self.suspects.contains(&event.user));
        self.queues[lane][queue].push_back(event);
    }

    /// The state that a new process restores.
    pub fn restored(&self) -> Restored {
        Restored {
            lanes: self.lanes.clone(),
            pause: self.pause.clone(),
            refused_in_a_row: self.refused_in_a_row.clone(),
            ..Restored::default()
        }
    }

    pub fn commit_pause(&mut self, engine: &Engine) {
        self.pause = engine.pause_state().cloned();
        self.refused_in_a_row = engine.refused_in_a_row().map(str::to_owned).collect();
    }

    pub fn commit_lane(&mut self, lane: usize, engine: &Engine) {
        self.lanes[lane] = *engine.lane_state(lane).expect("a lane");
    }

    /// Applies the effect of an answer to the events of its batch.
    pub fn commit_effect(&mut self, lane: usize, batch: &[Event], effect: &Effect, api: &Api) {
        match effect {
            Effect::Delivered { queue, events } => {
                let left: Vec<Event> = self.queues[lane][queue.index()].drain(..*events).collect();
                for event in left {
                    assert!(api.has(&event), "{event:?} was never delivered");
                    self.delivered.insert(event.id);
                }
                self.clear_suspects(lane, batch);
            }
            Effect::Rejected {
                queue,
                may_be_delivered,
                suspect,
                ..
            } => {
                let event = self.queues[lane][queue.index()]
                    .pop_front()
                    .expect("an event to reject");
                assert!(
                    api.refused_alone.contains(&event.id),
                    "{event:?} was not refused alone"
                );
                assert!(
                    api.is_bad(&event) || !api.fits(&[event]),
                    "{event:?} is not bad"
                );
                assert!(
                    *may_be_delivered || !api.has(&event),
                    "{event:?} was delivered, and its rejection does not say so"
                );
                self.rejected.push(event);
                if *suspect {
                    self.suspect(lane, event.user);
                }
            }
            Effect::Unjudged => {
                assert_eq!(
                    batch.len(),
                    1,
                    "only an event that was refused alone is set apart"
                );
                assert!(
                    !self.rejected.iter().any(|event| event.id == batch[0].id),
                    "an event was rejected and then left unjudged"
                );
                self.suspect(lane, batch[0].user);
            }
            Effect::Kept => {}
        }
    }

    /// Clears the users of an accepted batch that have no more events in the suspects' queue.
    fn clear_suspects(&mut self, lane: usize, accepted: &[Event]) {
        let [_, suspects] = &self.queues[lane];
        for event in accepted {
            if suspects.iter().all(|other| other.user != event.user) {
                self.suspects.remove(&event.user);
            }
        }
    }

    fn suspect(&mut self, lane: usize, user: usize) {
        self.suspects.insert(user);
        let [regular, suspects] = &mut self.queues[lane];
        let (theirs, others) = regular.drain(..).partition(|event| event.user == user);
        *regular = others;
        suspects.extend::<VecDeque<Event>>(theirs);
    }
}
