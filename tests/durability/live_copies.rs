//! Copies of a spool whose sender works meanwhile: what is missing in them was told before they were adopted.

use std::collections::BTreeSet;
use std::process::Command;

use meditopia::internals::client::{Repair, compare_copy, recover};
use meditopia::internals::spool::{self, Destination};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

#[test]
fn what_a_copy_of_a_working_spool_lacks_is_told_before_it_is_adopted() {
    // The sender takes over more than it delivers, so that there is much to miss.
    let api = Sandbox::start();
    api.set_fault(json!({"fault": "delay", "ms": [0, 40], "when": "after"}));
    let program = CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
    let (mut told, mut lacking, mut untraced, mut damaged) = (0, 0, 0, 0);
    let trials = trial_count(6, 200);
    let mut sent = 0;
    for trial in 0..trials {
        let writer = Enqueuer::start(&program, "both");
        let before = sent;
        sent += 1_000;
        for number in before..sent {
            assert!(writer.enqueue("u-1", number));
        }
        let copy = program.dir().join(format!("copy-{trial}"));
        // A file that goes meanwhile makes it fail, and it copies the rest.
        let mut copying = Command::new("cp")
            .arg("-r")
            .args([program.spool(), copy.clone()])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut number = sent;
        while copying.try_wait().unwrap().is_none() {
            assert!(writer.enqueue("u-1", number));
            number += 1;
        }
        let upto = std::mem::replace(&mut sent, number);
        let delivered = arrived(&api);

        let compared = compare_copy(&copy).unwrap();
        let of_copy = Sandbox::start();
        let destination = Destination {
            endpoint: of_copy.endpoint(),
            account: "",
        };
        spool::adopt(&copy, destination).unwrap();
        if compared.salvage.damage.is_some() {
            damaged += 1;
            assert!(compared.needs_operator());
            recover(&copy, Repair::Replace).unwrap();
        }
        let client = TestSpool::for_sandbox(&of_copy)
            .with("spool", copy.to_str().unwrap())
            .client();
        // A store that was not called damaged is not found to be so now.
        client.flush_ok(secs(30));
        let of_copy = arrived(&of_copy);
        let is_lost = |number: &u64| !delivered.contains(number) && !of_copy.contains(number);
        let lost = (0..upto).filter(is_lost).count();
        let tells = compared.needs_operator() || compared.sender_ran_ms.is_some();
        lacking += u64::from(lost > 0);
        told += u64::from(compared.needs_operator());
        untraced += u64::from(lost > 0 && !compared.needs_operator());
        assert!(lost == 0 || tells, "{lost} lost, {compared:?}");
    }
    eprintln!(
        "{trials} copies: {damaged} damaged, {told} with mismatches, {lacking} lacked events, {untraced} without a trace"
    );
}

fn arrived(api: &Sandbox) -> BTreeSet<u64> {
    let arrivals = Arrivals::from_sandbox(api).first_appearances();
    arrivals.get("u-1").into_iter().flatten().copied().collect()
}
