//! A series of incidents on one spool: the commands alone are enough to find and end each of them,
//! and no event is lost.

use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::wait_until;
use serde_json::{Value, json};

use crate::cli::{output, run, run_json, user_of, wait_for_status};
use crate::live_spool::LiveSpool;

#[test]
fn an_operator_finds_and_ends_an_outage_a_revoked_token_unknown_users_and_a_full_disk() {
    let Some(disk) = SmallDisk::mount(24) else {
        return;
    };
    let mut api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, api.token()).unwrap();
    let spool = disk.spool();
    let configured = TestSpool::for_endpoint(api.endpoint())
        .with("spool", spool.to_str().unwrap())
        .with("bearer_token_file", token.to_str().unwrap());
    let mut live = LiveSpool::start_on(configured);
    let grade = || {
        output(&["status", "--check", "--warn-rejected=1"], &spool)
            .status
            .code()
    };
    let all_is_well =
        |status: &Value| status["paused"] == Value::Null && status["delivered"].as_u64() > Some(0);
    wait_for_status(&spool, all_is_well);
    assert_eq!(grade(), Some(0));

    // An outage: the page of a firewall answers instead of the API.
    api.set_fault(json!({ "fault": "login_page" }));
    wait_for_status(&spool, |status| status["paused"] == "misrouted");
    assert_eq!(grade(), Some(2));
    let table = run(&["status"], &spool);
    assert!(
        table.contains("check the endpoint") && table.contains("meditopia resume"),
        "{table}"
    );
    api.clear_faults();
    run(&["resume"], &spool);
    wait_for_status(&spool, all_is_well);

    // The token is revoked; an operator writes the new one to the token file.
    api.revoke_token();
    let paused = wait_for_status(&spool, |status| status["paused"] == "auth");
    assert!(
        paused["pause_message"].as_str().unwrap().contains("A_100"),
        "{paused:#}"
    );
    assert_eq!(grade(), Some(2));
    assert!(run(&["status"], &spool).contains("bearer token"));
    api.set_token("another-token");
    std::fs::write(&token, "another-token").unwrap();
    run(&["resume"], &spool);
    wait_for_status(&spool, all_is_well);

    // Users that the API does not know yet.
    api.set_unknown_users(["new-1", "new-2"]);
    for number in 0..4 {
        live.client.enqueue_for("new-1", number);
        live.client.enqueue_for("new-2", number);
    }
    let status = wait_for_status(&spool, |status| status["rejected"] == 8);
    assert_eq!(status["rejected_kept"][0]["api_code"], "A_1104");
    assert_eq!(grade(), Some(1));
    let found = run_json(&["find", "--user=new-1", "--json"], &spool);
    assert_eq!(found.len(), 4);
    assert!(
        found
            .iter()
            .all(|row| user_of(row) == "new-1" && row["reason"] == "refused")
    );
    api.set_unknown_users(Vec::<String>::new());
    run(&["rejected", "requeue", "--code=A_1104"], &spool);
    wait_for_status(&spool, |status| status["pending"].as_u64() < Some(50));
    assert_eq!(grade(), Some(0));

    // Another program fills the disk.
    let check_free = |limit: &str| output(&["status", "--check", limit], &spool).status.code();
    assert_eq!(check_free("--crit-free=1"), Some(0));
    let enqueued = live.stop_enqueueing();
    wait_until("the disk is full", || {
        // The sender gives its reserve back when the disk is full, so the disk is filled again.
        disk.fill();
        let table = run(&["status"], &spool);
        table.contains("disk      0 bytes and ") || table.contains("KiB and ")
    });
    assert_eq!(check_free("--crit-free=1"), Some(2));
    run(&["hold"], &spool);
    run(&["resume"], &spool);
    disk.free();
    assert_eq!(check_free("--crit-free=1"), Some(0));
    live.client
        .enqueue_for("live-0", usize::try_from(enqueued).unwrap());

    live.end_with_more_delivered(&api, 1);
    let delivered = api.events().into_iter();
    let of_new_users = delivered.filter(|event| event.fields.partner_user_id.starts_with("new-"));
    assert_eq!(of_new_users.count(), 8);
}
