//! The truth about every event: where it came from, and what has become of it. No process of the fleet knows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use meditopia::internals::store::Run;

/// How an event was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Into the journal of this host.
    Journal(usize),
    /// By SQL, in a transaction of an application.
    Outbox,
}

/// What its author knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its transaction is open.
    Open,
    /// Its author was told that it is kept.
    Acknowledged,
    /// Its author does not know whether it was committed, or it went with a database that was set back.
    Unknown,
    /// Its transaction was rolled back: there never was an event.
    RolledBack,
}

/// A batch from the step that has put it in doubt to the one that has settled it.
#[derive(Debug, Default)]
pub struct Doubt {
    /// Its bytes, once a request has carried them.
    pub bytes: OnceLock<Vec<u8>>,
    /// When that step was made, as a place in the order of everything.
    pub made: AtomicU64,
    /// The database has been set back to before that step.
    pub is_lost: AtomicBool,
}

impl Doubt {
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone)]
pub struct Event {
    pub user: u32,
    pub origin: Origin,
    pub fate: Fate,
    /// The draw of its parcel's id, and the commit, as places in the order of everything that has happened.
    pub handed_in: Option<(u64, u64)>,
    /// It was forwarded, or committed, at this time last.
    pub handed_in_ms: u64,
    /// An operator has put it at the end.
    pub was_requeued: bool,
    /// The batches in doubt by which it was delivered, in order.
    pub deliveries: Vec<Arc<Doubt>>,
    /// Which delivery of all was its first.
    pub first: Option<u64>,
    /// Its first delivery was by a request in flight while the database was set back to before it.
    pub came_late: bool,
    /// A restore has taken it for good, as documented.
    pub is_written_off: bool,
}

/// All events, by their numbers.
#[derive(Debug, Default)]
pub struct Events {
    pub all: Vec<Event>,
    pub doubts: Vec<Arc<Doubt>>,
    pub delivered: u64,
    pub repeated: u64,
    /// Requests that carried only what was delivered before, by the same batch in doubt.
    pub repeated_requests: u64,
}

impl Events {
    /// A new one; its number.
    pub fn add(&mut self, user: u32, origin: Origin, fate: Fate) -> u32 {
        self.all.push(Event {
            user,
            origin,
            fate,
            handed_in: None,
            handed_in_ms: 0,
            was_requeued: false,
            deliveries: Vec::new(),
            first: None,
            came_late: false,
            is_written_off: false,
        });
        self.all.len() as u32 - 1
    }

    pub fn get(&mut self, number: u32) -> &mut Event {
        &mut self.all[number as usize]
    }

    /// A step is committed that puts this batch in doubt.
    pub fn put_in_doubt(&mut self, doubt: &Arc<Doubt>, place: u64) {
        doubt.made.store(place, Ordering::Relaxed);
        self.doubts.push(doubt.clone());
    }

    /// The database is as it was at `place`.
    pub fn set_back(&mut self, place: u64) {
        for doubt in &self.doubts {
            if doubt.made.load(Ordering::Relaxed) > place {
                doubt.is_lost.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The API has accepted a request that carried `numbers`, the batch `doubt`.
    pub fn deliver(&mut self, numbers: &[u32], doubt: &Arc<Doubt>) -> Result<(), String> {
        let mut is_repetition = false;
        for number in numbers {
            let place = self.delivered;
            let event = self.get(*number);
            match event.fate {
                Fate::Open | Fate::RolledBack => {
                    return Err(format!(
                        "event {number} was delivered, and its transaction is {:?}",
                        event.fate
                    ));
                }
                Fate::Acknowledged | Fate::Unknown => {}
            }
            if event.first.is_none() {
                event.first = Some(place);
                event.came_late = doubt.is_lost();
                self.delivered += 1;
            } else {
                let is_same = |known: &&Arc<Doubt>| Arc::ptr_eq(known, doubt);
                let is_listed = event.deliveries.iter().any(|known| is_same(&known));
                let mut others = event.deliveries.iter().filter(|known| !is_same(known));
                if !doubt.is_lost() && others.any(|other| !other.is_lost()) {
                    return Err(format!(
                        "event {number} was delivered again, in another batch than the one in doubt"
                    ));
                }
                is_repetition |= is_listed;
                self.repeated += 1;
            }
            let event = self.get(*number);
            event.deliveries.push(doubt.clone());
        }
        self.repeated_requests += u64::from(is_repetition);
        Ok(())
    }

    /// First deliveries are in order, for each user of a spool and for each pair of which one was committed
    /// before the other was begun.
    pub fn check_order(&self) -> Result<(), String> {
        let mut by_user: BTreeMap<u32, Vec<(usize, &Event)>> = BTreeMap::new();
        for (number, event) in self.all.iter().enumerate() {
            if event.first.is_some() && !event.was_requeued {
                by_user.entry(event.user).or_default().push((number, event));
            }
        }
        for events in by_user.values() {
            for (number, event) in events {
                for (later, other) in events {
                    let same_spool = matches!(event.origin, Origin::Journal(_))
                        && event.origin == other.origin
                        && number < later;
                    let before = match (event.handed_in, other.handed_in) {
                        // A request that is in flight while the database is set back arrives when it arrives.
                        _ if event.came_late || other.came_late => false,
                        (Some((_, committed)), Some((drawn, _))) => committed < drawn,
                        _ => false,
                    };
                    if (same_spool || before) && event.first > other.first {
                        return Err(format!(
                            "user {}: event {later} was delivered before event {number}, which was handed in before it",
                            event.user
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The bytes of an event.
pub fn fragment(user: u32, number: u32) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"u{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
}

/// The number of the event with these bytes.
pub fn number_of(fragment: &[u8]) -> u32 {
    const FIELD: &[u8] = br#""event_value":""#;
    let at = fragment
        .windows(FIELD.len())
        .position(|bytes| bytes == FIELD);
    let digits = at.map_or(&[][..], |at| &fragment[at + FIELD.len()..]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// The numbers of a run's events.
pub fn numbers_of(run: &Run) -> Vec<u32> {
    run.events()
        .map(|(fragment, _)| number_of(fragment))
        .collect()
}
