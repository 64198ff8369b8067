//! The power cuts find it when something is left out that the orders of writing need: without each
//! kind of sync, and with what is removed removed too early, an event is lost or the store is damaged.

use std::sync::OnceLock;

use super::expectations::{Expectations, removed_segments};
use super::recording::{Change, Inode, Recording, Role, Step};
use super::workload::{self, Durability, Workload};
use super::{cut_at_moments, cut_each, kill_at_every_moment};
use meditopia_testkit::fault_table::trial_count;

const CUTS: u64 = 6_000;
/// By how many syncs of ledgers something is removed too early.
const SYNCS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A workload whose own cuts lose nothing.
struct Sound {
    workload: Workload,
    expectations: Expectations,
}

impl Sound {
    fn of(workload: Workload) -> Self {
        let mut expectations = Expectations::new(&workload);
        kill_at_every_moment(&workload, &mut expectations);
        Self {
            workload,
            expectations,
        }
    }

    fn of_power() -> &'static Self {
        static SOUND: OnceLock<Sound> = OnceLock::new();
        SOUND.get_or_init(|| Self::of(workload::service(Durability::Power)))
    }

    fn of_process() -> &'static Self {
        static SOUND: OnceLock<Sound> = OnceLock::new();
        SOUND.get_or_init(|| {
            // Events may all be rejected behind the last sync point of a quick sender.
            let recorded = (0..10).map(|_| workload::writers(Durability::Process));
            let mut complete =
                recorded.filter(|workload| workload.recording.has_syncs_of(Role::RejectedFile));
            Self::of(complete.next().expect("a rejected event is synced"))
        })
    }

    /// What is found first after cuts while more was removed than in the workload.
    fn assert_loses_to_removals(
        &self,
        what: &str,
        removes: impl Fn(&Recording, &Step) -> Option<Inode>,
    ) {
        let found = SYNCS.into_iter().find_map(|syncs| {
            let recording = &self.workload.recording;
            let (ablated, windows) = recording.with_removals_before_syncs(syncs, &removes);
            let wrong = windows.into_iter().find_map(|window| {
                let moments = (0..trial_count(40, 1_000))
                    .flat_map(|trial| [window.start, window.start + 1].map(|step| (trial, step)));
                cut_each(&self.workload, &ablated, &self.expectations, moments).err()
            });
            wrong.map(|wrong| (syncs, wrong))
        });
        match found {
            None => panic!("{what}: the cuts find nothing wrong"),
            Some((syncs, e)) => println!("{what}, by {syncs} syncs: {e}"),
        }
    }

    /// What is found first without the syncs of each of the roles.
    fn assert_loses_without_syncs_of(&self, roles: &[Role]) {
        for role in roles {
            let ablated = self.workload.recording.without_syncs_of(*role);
            self.assert_loses(&format!("no sync of a {role:?}"), &ablated);
        }
    }

    /// What is found first after cuts of `ablated`.
    fn assert_loses(&self, what: &str, ablated: &Recording) {
        let cuts = trial_count(CUTS, 20 * CUTS);
        let found = cut_at_moments(&self.workload, ablated, &self.expectations, 0..cuts, cuts);
        match found {
            Ok(_) => panic!("{what}: {cuts} cuts find nothing wrong"),
            Err(e) => println!("{what}: {e}"),
        }
    }
}

#[test]
fn power_cuts_find_each_kind_of_sync_that_is_left_out() {
    Sound::of_power().assert_loses_without_syncs_of(&[
        Role::Segment,
        Role::Journal,
        Role::Ledger,
        Role::LedgerFolder,
        Role::Queue,
        Role::QueueFolder,
        Role::RejectedFile,
        Role::RejectedFolder,
    ]);
}

#[test]
fn power_cuts_without_power_durability_find_each_kind_of_sync_of_the_store_that_is_left_out() {
    Sound::of_process().assert_loses_without_syncs_of(&[
        Role::Ledger,
        Role::LedgerFolder,
        Role::Queue,
        Role::QueueFolder,
        Role::RejectedFile,
        Role::RejectedFolder,
    ]);
}

#[test]
fn power_cuts_find_a_segment_that_is_removed_before_what_it_held_is_durable() {
    Sound::of(workload::writers(Durability::Power)).assert_loses_to_removals(
        "segments are removed too early",
        |recording, step| match step {
            Step::Entries(entries) => removed_segments(recording, entries).first().copied(),
            _ => None,
        },
    );
}

#[test]
fn power_cuts_find_blocks_of_a_segment_that_are_given_back_before_what_they_held_is_durable() {
    let sound = Sound::of(workload::living_writer(Durability::Power));
    sound.assert_loses_to_removals(
        "blocks of a segment are given back too early",
        |recording, step| match step {
            Step::Data {
                file,
                change: Change::Zero { at, length },
                size,
            } => {
                let is_punch = recording.role(*file) == Role::Segment && at + length <= *size;
                is_punch.then_some(*file)
            }
            _ => None,
        },
    );
}
