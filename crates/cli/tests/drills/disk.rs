//! The spool's disk has no room or no inodes left.

use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::drill::Drill;

#[test]
fn an_operator_is_told_of_a_disk_that_is_full() {
    let Some(disk) = SmallDisk::mount(24) else {
        return;
    };
    let mut drill = start_on("disk full", &disk);
    drill.api.set_fault(json!({ "fault": "reset" }));
    drill.strike();
    drill.enqueue(20);
    disk.fill();
    drill.status("free some space before events are refused");
    drill.check(2, "nearly full");
    drill.doctor(2, "disk");
    drill.alert("MeditopiaDiskNearlyFull", secs(15 * 60));
    disk.free();
    drill.api.clear_faults();
    drill.ended_by("room on the disk");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_disk_without_inodes() {
    let Some(disk) = SmallDisk::mount_with_inodes(24, 200) else {
        return;
    };
    let mut drill = start_on("inodes full", &disk);
    drill.strike();
    disk.fill_inodes();
    drill.enqueue(20);
    drill.status("inodes");
    drill.check(2, "inodes");
    drill.doctor(2, "inodes");
    drill.alert("MeditopiaDiskNearlyFull", secs(15 * 60));
    disk.free_inodes();
    drill.ended_by("inodes on the disk");
    drill.end(0, 0);
}

fn start_on(name: &'static str, disk: &SmallDisk) -> Drill {
    let api = Sandbox::start();
    let dir = disk.spool();
    let spool = ConfiguredSpool::new_in(dir.parent().unwrap(), api.endpoint(), api.token());
    Drill::start_on(name, "", api, spool, None)
}
