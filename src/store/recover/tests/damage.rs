//! One damage at a time: what can be read is kept, and what cannot be read is said.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{EVENTS, LANES, OTHER, REGULAR, Repair, Salvage, Spooled, contents};
use crate::store::contract::{Change, Store};
use crate::store::log_store::LogStore;
use crate::store::recover::tests::{append, run_of};

/// Damages bytes of a file.
type Harm = (&'static str, fn(&mut Vec<u8>, usize));

const HARMS: [Harm; 4] = [
    ("a flipped bit", |bytes, at| bytes[at] ^= 1 << (at % 8)),
    ("zeros", |bytes, at| {
        let upto = (at + 200).min(bytes.len());
        bytes[at..upto].fill(0);
    }),
    ("noise", |bytes, at| {
        let upto = (at + 100).min(bytes.len());
        bytes[at..upto].fill_with(|| fastrand::u8(..));
    }),
    ("a cut", |bytes, at| bytes.truncate(at)),
];

impl Spooled {
    /// Damages a file, recovers the store if it is found damaged, and returns what was said of it.
    fn recover_from(&self, path: &Path, harm: Harm, at: usize) -> Option<Salvage> {
        let what = format!("{}: {} at {at}", path.display(), harm.0);
        self.restore();
        let mut bytes = self.files[path].clone();
        harm.1(&mut bytes, at);
        fs::write(path, &bytes).unwrap();
        self.look_and_replace(&what)
    }

    fn look_and_replace(&self, what: &str) -> Option<Salvage> {
        let before = self.read_files();
        let looked = self.recover(Repair::Look);
        assert!(
            self.read_files() == before,
            "{what}: looking has changed it"
        );
        let done = self.recover(Repair::Replace);
        let Some(kept) = &done.kept else {
            assert_eq!((&looked, looked.damage.is_none()), (&done, true), "{what}");
            return None;
        };
        assert!(kept.is_dir(), "{what}");
        let unkept = Salvage {
            kept: None,
            ..done.clone()
        };
        assert_eq!(looked, unkept, "{what}");
        assert_eq!(self.recover(Repair::Look).damage, None, "{what}");
        let found = self.read();
        assert_eq!(found.count(), done.pending, "{what}");
        assert_eq!(found.rejected.len() as u64, done.rejected, "{what}");
        Some(done)
    }

    /// Nothing is there that has not been, nothing twice, and no more is missing than was said.
    fn check_what_is_left(&self, done: &Salvage, what: &str) {
        let found = self.read();
        let events = found.events();
        assert_eq!(
            events.len() as u64,
            found.count(),
            "{what}: an event is there twice"
        );
        let missing = self.contents.events().difference(&events).count() as u64;
        assert!(
            done.lost_pending.is_none_or(|lost| missing <= lost),
            "{what}: {missing} are missing, {done:?}"
        );
        let lost =
            self.contents.rejected.len() - found.rejected.len().min(self.contents.rejected.len());
        assert!(
            lost as u64 <= done.lost_rejected,
            "{what}: {lost} are missing, {done:?}"
        );
        for (id, event) in &self.contents.rejected {
            let is_as_it_was = found.rejected.get(id).is_none_or(|found| found == event);
            assert!(is_as_it_was, "{what}: {id}");
        }
    }
}

fn places(length: usize, step: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(step)
}

#[test]
fn a_sound_store_is_counted_and_left_alone() {
    let spooled = Spooled::new();
    for repair in [Repair::Look, Repair::Replace] {
        let found = spooled.recover(repair);
        let expected = Salvage {
            runs: 4 + 6 + 1,
            pending: spooled.contents.count(),
            rejected: 5,
            receipts: 2,
            lost_pending: Some(0),
            ..Salvage::default()
        };
        assert_eq!(found, expected);
        assert!(spooled.read_files() == spooled.files);
    }
}

#[test]
fn a_spool_without_a_store_is_sound() {
    let spooled = Spooled::new();
    for path in spooled.files.keys() {
        fs::remove_file(path).unwrap();
    }
    let found = spooled.recover(Repair::Replace);
    assert_eq!((found.damage, found.lost_pending), (None, Some(0)));
    assert!(spooled.read_files().is_empty());
}

#[test]
fn damage_to_a_queue_costs_the_runs_that_it_touches() {
    let spooled = Spooled::new();
    let mut recovered = 0;
    for path in spooled.names("queues") {
        for harm in HARMS {
            for at in places(spooled.files[&path].len(), 151) {
                let what = format!("{}: {} at {at}", path.display(), harm.0);
                let Some(done) = spooled.recover_from(&path, harm, at) else {
                    // It has hit what was settled, or what is no part of any run.
                    assert_eq!(spooled.read(), spooled.contents, "{what}");
                    continue;
                };
                recovered += 1;
                let missing = spooled.contents.count() - spooled.read().count();
                assert_eq!(done.lost_pending, Some(missing), "{what}");
                if harm.0 == "a flipped bit" {
                    assert!(missing <= EVENTS as u64, "{what}: {missing}");
                }
                spooled.check_what_is_left(&done, &what);
            }
        }
    }
    assert!(recovered > 100, "{recovered}");
}

#[test]
fn a_queue_whose_header_is_damaged_is_read_without_it() {
    let spooled = Spooled::new();
    for path in spooled.names("queues") {
        for harm in &HARMS[..2] {
            let done = spooled.recover_from(&path, (harm.0, |bytes, _| bytes[..64].fill(7)), 0);
            assert_eq!(done.unwrap().lost_pending, Some(0));
            assert_eq!(spooled.read(), spooled.contents, "{}", path.display());
        }
    }
}

#[test]
fn a_file_that_is_gone_costs_what_was_in_it() {
    let spooled = Spooled::new();
    for path in spooled.files.keys().filter(|path| !path.ends_with("spare")) {
        spooled.restore();
        fs::remove_file(path).unwrap();
        let what = format!("{} is gone", path.display());
        if let Some(done) = spooled.look_and_replace(&what) {
            spooled.check_what_is_left(&done, &what);
        }
    }
}

#[test]
fn damage_to_the_ledger_costs_no_event() {
    let spooled = Spooled::new();
    let path = spooled.ledger();
    let mut recovered = 0;
    for harm in HARMS {
        for at in places(spooled.files[&path].len(), 53) {
            let what = format!("{} at {at}", harm.0);
            let Some(done) = spooled.recover_from(&path, harm, at) else {
                // It looks as if a crash had cut its end: what is settled there is sent again.
                let missing = spooled.contents.events();
                assert!(missing.is_subset(&spooled.read().events()), "{what}");
                continue;
            };
            recovered += 1;
            spooled.check_what_is_left(&done, &what);
            assert!(done.damage.unwrap().contains("ledger/"), "{what}");
            let events = spooled.read().events();
            assert!(spooled.contents.events().is_subset(&events), "{what}");
            assert_eq!(spooled.read().rejected, spooled.contents.rejected, "{what}");
        }
    }
    assert!(recovered > 30, "{recovered}");
}

#[test]
fn damage_to_the_rejected_events_costs_those_that_it_touches() {
    let spooled = Spooled::new();
    let mut recovered = 0;
    for path in spooled.names("rejected") {
        for harm in HARMS {
            for at in places(spooled.files[&path].len(), 61) {
                let what = format!("{} at {at}", harm.0);
                let Some(done) = spooled.recover_from(&path, harm, at) else {
                    assert_eq!(spooled.read(), spooled.contents, "{what}");
                    continue;
                };
                recovered += 1;
                let lost = spooled.contents.rejected.len() - spooled.read().rejected.len();
                assert_eq!(done.lost_rejected, lost as u64, "{what}");
                assert_eq!(done.lost_pending, Some(0), "{what}");
                spooled.check_what_is_left(&done, &what);
            }
        }
    }
    assert!(recovered > 30, "{recovered}");
}

#[test]
fn a_recovered_store_goes_on_with_numbers_that_were_never_given() {
    let spooled = Spooled::new();
    let (before, rejected_before) = {
        let mut store = LogStore::open(&spooled.spool).unwrap();
        (store.last_run(), contents(&mut store).rejected)
    };
    let path = spooled.ledger();
    let cut_middle: Harm = ("zeros", |bytes, at| bytes[at..at + 64].fill(0));
    for at in [0, 64, spooled.files[&path].len() / 2] {
        spooled.recover_from(&path, cut_middle, at).unwrap();
        let mut store = LogStore::open(&spooled.spool).unwrap();
        assert!(store.last_run() > before);
        assert_eq!(store.lanes(), LANES);
        let event = super::rejected(70);
        let run = run_of("odd", 700);
        store
            .commit(&[append(OTHER, &run), Change::Reject(&event)])
            .unwrap();
        let now = contents(&mut store);
        let ids: BTreeSet<i64> = now.rejected.keys().copied().collect();
        let last = *ids.last().unwrap();
        assert!(
            rejected_before
                .keys()
                .all(|id| *id < last && ids.contains(id))
        );
        assert!(now.waiting[&OTHER].last().unwrap().contains("odd-704"));
        let runs = store.runs(OTHER, 0, 100).unwrap();
        let last = runs.last().unwrap();
        store
            .commit(&[Change::Settle {
                place: OTHER,
                upto: last.id,
            }])
            .unwrap();
        assert!(store.runs(OTHER, 0, 1).unwrap().is_empty());
        drop(store);
        LogStore::open(&spooled.spool).unwrap();
    }
}

#[test]
fn what_was_known_of_a_queue_is_kept_while_its_events_are_there() {
    let spooled = Spooled::new();
    let before = LogStore::open(&spooled.spool).unwrap().lane(0);
    let queues = spooled.names("queues");
    // A later file of the same queue: its beginning has what the lane's state speaks of.
    let header: Harm = ("a header of noise", |bytes, _| bytes[..64].fill(9));
    let done = spooled.recover_from(&queues[0], header, 0).unwrap();
    assert_eq!(done.forgotten, Vec::<String>::new());
    let store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(store.lane(0), before);
    assert_eq!(store.totals().delivered, 9);
    assert!(store.pause().is_some());
    drop(store);

    // The first event that waits.
    let head: Harm = ("a flipped bit", |bytes, _| {
        let text = br#"even-10""#;
        let found = bytes.windows(text.len()).position(|window| window == text);
        bytes[found.unwrap()] ^= 1;
    });
    let path = queues.iter().find(|path| {
        let text = br#"even-10""#;
        spooled.files[*path]
            .windows(text.len())
            .any(|window| window == text)
    });
    let done = spooled.recover_from(path.unwrap(), head, 0).unwrap();
    assert_eq!(done.forgotten.len(), 1, "{done:?}");
    let mut store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(store.lane(0).in_doubt, None);
    assert_eq!(store.lane(0).queues[0].group, 0);
    assert_eq!(store.lane(0).queues[0].belief, before.queues[0].belief);
    assert_eq!(store.totals().lost, done.lost_pending.unwrap());
    assert_eq!(store.runs(REGULAR, 0, 100).unwrap().len(), 3);
}
