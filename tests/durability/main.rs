//! Promise 1, acknowledged is safe: through kills, power cuts, full and failing disks, and damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod changed_segments;
mod closed_descriptors;
mod damage;
mod deletion;
mod deletion_model;
mod descriptors;
mod disk;
mod faulty_disk;
mod foreign_files;
mod identities;
mod kill_processes;
mod kill_service;
mod live_copies;
mod load;
mod main_job;
mod moved_spools;
mod old_files;
mod planted_files;
mod planted_for_commands;
mod power_cut;
mod sealing;
mod strangers;
mod syscalls;
