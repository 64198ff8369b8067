//! The spool is copied, moved, replaced or damaged.

use std::fs;

use meditopia_testkit::spool::copy_spool;
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::secs;

use crate::drill::Drill;

/// The alert MeditopiaDamaged is this gauge above 0.
const UNACKNOWLEDGED: &str = "meditopia_damage_unacknowledged";

#[test]
fn an_operator_is_told_of_a_spool_that_is_a_copy_and_may_send_all_again() {
    let mut drill = Drill::start("spool copied");
    drill.service.take().unwrap().terminate();
    drill.enqueue(20);
    let (spool, original) = (drill.spool.spool(), drill.spool.path("original"));
    fs::rename(&spool, &original).unwrap();
    copy_spool(&original, &spool);
    drill.strike();
    let mut service = drill.another_service();
    assert_ne!(service.wait_for_end().code(), Some(0));
    drill.service = Some(service);
    drill.log("is a copy of another spool");
    drill.service = None;
    drill.status("copied or moved");
    drill.check(2, "copied or moved");
    drill.doctor(2, "is a copy of another spool");
    // The original is the one that goes on.
    fs::remove_dir_all(&spool).unwrap();
    fs::rename(&original, &spool).unwrap();
    drill.start_service();
    drill.ended_by("the copy's removal");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_spool_that_was_moved_to_another_disk() {
    let mut drill = Drill::start("spool moved");
    drill.service.take().unwrap().terminate();
    drill.enqueue(20);
    let (spool, old) = (drill.spool.spool(), drill.spool.path("old"));
    fs::rename(&spool, &old).unwrap();
    copy_spool(&old, &spool);
    fs::remove_dir_all(&old).unwrap();
    drill.strike();
    drill.status("copied or moved");
    drill.check(2, "copied or moved");
    drill.doctor(2, "is a copy of another spool");
    drill.type_next("meditopia adopt");
    drill.client = drill.spool.client();
    drill.start_service();
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_spool_that_was_replaced_under_its_sender() {
    let mut drill = Drill::start_on_clocks("spool replaced");
    drill.strike();
    fs::rename(drill.spool.spool(), drill.spool.path("old")).unwrap();
    drill.client = drill.spool.client();
    drill.enqueue(20);
    drill.service.as_mut().unwrap().wait_for_end();
    drill.log("another directory is in its place; this service ends");
    drill.service = None;
    drill.status("no sender was ever seen");
    drill.wait(6);
    drill.check(1, "no sender was ever seen");
    drill.doctor(2, "warn  sender: no sender was ever seen");
    drill.set_wall(0);
    drill.start_service();
    drill.ended_by("its start, which its supervisor does");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_journal_that_is_damaged() {
    let mut drill = Drill::start("journal damaged");
    drill.service.take().unwrap().terminate();
    drill.enqueue(20);
    let journal = drill.spool.spool().join("journal");
    let segment = fs::read_dir(journal).unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(segment.path()).unwrap();
    let middle = bytes.len() - bytes.len() / 4;
    bytes[middle] ^= 0x40;
    fs::write(segment.path(), bytes).unwrap();
    drill.strike();
    drill.start_service();
    drill.log("are no record; set aside under damaged/");
    drill.status("damaged");
    drill.check(1, "damaged");
    drill.doctor(1, "damaged");
    drill.alert("MeditopiaDamaged", secs(600));
    drill.metric(UNACKNOWLEDGED, 1.0);
    drill.type_next("meditopia damaged list");
    drill.type_next("meditopia damaged acknowledge");
    drill.check(0, "0 events pending");
    drill.metric(UNACKNOWLEDGED, 0.0);
    drill.metric("meditopia_journal_damaged_records_total", 1.0);
    drill.end(0, 1);
}

#[test]
fn an_operator_is_told_of_a_store_that_is_damaged() {
    let mut drill = Drill::start("store damaged");
    drill.service.take().unwrap().terminate();
    damage_ledger(&drill.spool.spool());
    drill.enqueue(20);
    drill.strike();
    drill.start_service();
    drill.status("damaged");
    drill.paused("store_damaged", "damaged");
    drill.alert("MeditopiaPaused", secs(600));
    drill.log("damaged");
    drill.service.take().unwrap().terminate();
    drill.type_next("meditopia recover");
    drill.start_service();
    drill.end(0, 0);
}
