//! What every store has to do: each sentence of the contract as a test, run against each store.
//!
//! A sentence knows a store only as something that can be opened ([`Kept`]) and as `dyn Store`. The
//! [`model`] carries the contract out in memory, so a sentence that is wrong fails there too. Beside the
//! sentences, [`in_step`] lives random lives with the model and another store and compares all that can
//! be read after each step.
//!
//! Another store is held to all of this by a module like those at the end of this file, in which this one is called
//! `suite`. What a store has not ([`Has`]), its sentences leave out or its module does not hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "these are tests"
)]

pub mod commits;
mod draft;
pub mod host;
#[cfg(test)]
mod in_directory;
pub mod in_step;
mod kept;
pub mod lanes;
mod look;
mod model;
pub mod origins;
pub mod queues;
pub mod rejected;
mod samples;

pub use self::kept::{Has, InMemory, Kept, Opened};

/// Makes a test of each sentence, for one store.
#[macro_export]
#[doc(hidden)]
macro_rules! hold {
    ($kept:expr; $($file:ident: $($sentence:ident)+;)+) => {
        $($(
            #[test]
            fn $sentence() {
                suite::$file::$sentence(&$kept);
            }
        )+)+
    };
}

/// The sentences about `Store`.
#[macro_export]
#[doc(hidden)]
macro_rules! hold_store {
    ($kept:expr) => {
        $crate::hold! { $kept;
            queues:
                a_run_is_read_as_it_was_appended
                runs_stand_in_the_order_of_their_changes_behind_those_of_earlier_commits
                each_queue_of_each_lane_has_its_own_runs
                runs_are_read_behind_the_one_that_is_named_and_no_more_than_the_limit
                a_queue_of_long_runs_is_read_to_its_end_by_asking_behind_the_last_one
                settled_runs_are_gone_and_the_one_behind_them_is_the_first
                runs_are_settled_as_far_as_they_were_read_whatever_was_read_again
                events_that_were_marked_have_left_their_run_and_the_others_wait
                what_waits_is_counted_by_what_is_appended_and_what_leaves
                what_a_caller_says_of_what_waits_is_not_taken_for_it
                an_id_of_a_run_is_never_given_twice
            ;
            origins:
                a_run_is_its_own_origin_unless_it_is_said_to_come_from_another
                nothing_is_the_first_origin_where_nothing_waits
                the_first_origin_is_that_of_the_earliest_run_in_any_queue
                the_first_origin_is_found_behind_runs_that_come_from_later_ones
                the_first_origin_is_the_next_one_once_a_run_is_settled
            ;
            lanes:
                a_lane_is_as_it_was_committed_last
                a_lane_rests_as_it_was_committed_last
                a_suspect_is_known_until_it_is_cleared
                users_refused_in_a_row_are_counted_until_something_is_accepted
                a_pause_is_kept_with_all_that_it_says_until_it_ends
                each_sum_is_kept_in_its_own_place
                of_two_changes_of_the_same_thing_the_later_one_counts
            ;
            rejected:
                a_rejected_event_is_found_with_all_that_is_known_of_it
                rejected_events_are_found_by_their_ids_each_once_and_in_order
                each_field_of_a_filter_takes_what_it_names
                all_fields_of_a_filter_have_to_agree
                rejected_events_are_listed_page_by_page
                a_forgotten_event_is_not_found_any_more_and_the_others_are
                an_id_of_a_rejected_event_is_never_given_twice
            ;
            commits:
                a_new_store_knows_nothing
                everything_is_as_it_was_when_the_store_is_opened_again
                a_refused_commit_has_changed_nothing
                after_a_refused_commit_the_store_takes_no_other_before_it_is_opened_again
                what_a_joint_commit_has_changed_is_read_before_it_ends
                a_joint_commit_is_there_as_a_whole
                a_joint_commit_that_never_ended_has_not_happened
                a_joint_commit_of_which_one_part_is_refused_has_not_happened
                a_commit_without_changes_is_none
                the_number_of_the_last_commit_grows_and_never_falls
                every_commit_can_be_waited_for
                an_open_store_may_be_written_to_and_says_what_is_damaged
            ;
        }
    };
}

/// The sentences about the lanes of a `Store` that has several.
#[cfg(test)]
macro_rules! hold_several_lanes {
    ($kept:expr) => {
        hold! { $kept;
            origins: the_first_origin_is_that_of_the_earliest_run_in_any_lane;
            lanes: the_number_of_lanes_is_kept;
        }
    };
}

/// The sentences about `HostStore`.
#[cfg(test)]
macro_rules! hold_host_store {
    ($kept:expr) => {
        hold! { $kept;
            host:
                a_segment_is_taken_over_as_far_as_was_said_last
                a_segment_that_is_gone_has_no_offset_and_its_name_may_come_again
                runs_and_the_offset_that_they_reach_are_there_together_or_not_at_all
                receipts_are_kept_in_the_order_of_their_requests
                a_full_disk_keeps_no_receipts_and_everything_else
                receipts_that_are_too_old_are_forgotten_and_the_others_are_not
            ;
        }
    };
}

#[cfg(test)]
mod model_of_a_store {
    use super as suite;
    hold_store!(super::kept::InMemory::of_lanes());
    hold_several_lanes!(super::kept::InMemory::of_lanes());
}

#[cfg(test)]
mod model_of_a_host_store {
    use super as suite;
    hold_host_store!(super::kept::InMemory::of_a_host());
}

#[cfg(test)]
mod log_store {
    use super as suite;
    use super::in_directory::InDirectory;
    hold_store!(InDirectory::new());
    hold_several_lanes!(InDirectory::new());
    hold_host_store!(InDirectory::new());
    hold! { InDirectory::new(); in_step: does_in_step_what_the_model_does; }
}

#[cfg(test)]
mod log_store_with_small_files {
    use super as suite;
    use super::in_directory::InDirectory;
    hold_store!(InDirectory::with_small_files());
    hold_several_lanes!(InDirectory::with_small_files());
    hold_host_store!(InDirectory::with_small_files());
    hold! { InDirectory::with_small_files(); in_step: does_in_step_what_the_model_does; }
}
