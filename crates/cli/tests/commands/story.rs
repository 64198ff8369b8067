//! A bad week of one spool: each trouble is found and mended with the commands alone, and nothing is lost.

use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::wait_until;
use serde_json::{Value, json};

use crate::live::{Live, objects, output, said, status_when, user_of};

#[test]
fn an_operator_finds_and_mends_an_outage_a_revoked_token_bad_users_and_a_full_disk() {
    let Some(disk) = SmallDisk::mount(24) else {
        return;
    };
    let mut api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, api.token()).unwrap();
    let spool = disk.spool();
    let host = TestSpool::for_endpoint(api.endpoint())
        .with("spool", spool.to_str().unwrap())
        .with("bearer_token_file", token.to_str().unwrap());
    let mut live = Live::on(host);
    let grade = || {
        output(&["status", "--check", "--warn-rejected=1"], &spool)
            .status
            .code()
    };
    let all_is_well =
        |status: &Value| status["paused"] == Value::Null && status["delivered"].as_u64() > Some(0);
    status_when(&spool, all_is_well);
    assert_eq!(grade(), Some(0));

    // An outage: a firewall's page answers for the API.
    api.set_fault(json!({ "fault": "login_page" }));
    status_when(&spool, |status| status["paused"] == "misrouted");
    assert_eq!(grade(), Some(2));
    let table = said(&["status"], &spool);
    assert!(
        table.contains("check the endpoint") && table.contains("meditopia resume"),
        "{table}"
    );
    api.clear_faults();
    said(&["resume"], &spool);
    status_when(&spool, all_is_well);

    // The token is revoked; the new one is put where the sender reads it.
    api.revoke_token();
    let paused = status_when(&spool, |status| status["paused"] == "auth");
    assert!(
        paused["pause_message"].as_str().unwrap().contains("A_100"),
        "{paused:#}"
    );
    assert_eq!(grade(), Some(2));
    assert!(said(&["status"], &spool).contains("bearer token"));
    api.set_token("another-token");
    std::fs::write(&token, "another-token").unwrap();
    said(&["resume"], &spool);
    status_when(&spool, all_is_well);

    // Users that the API does not know yet.
    api.set_unknown_users(["new-1", "new-2"]);
    for number in 0..4 {
        live.client.enqueue_for("new-1", number);
        live.client.enqueue_for("new-2", number);
    }
    let status = status_when(&spool, |status| status["rejected"] == 8);
    assert_eq!(status["rejected_kept"][0]["api_code"], "A_1104");
    assert_eq!(grade(), Some(1));
    let found = objects(&["find", "--user=new-1", "--json"], &spool);
    assert_eq!(found.len(), 4);
    assert!(
        found
            .iter()
            .all(|row| user_of(row) == "new-1" && row["reason"] == "refused")
    );
    api.set_unknown_users(Vec::<String>::new());
    said(&["rejected", "requeue", "--code=A_1104"], &spool);
    status_when(&spool, |status| status["pending"].as_u64() < Some(50));
    assert_eq!(grade(), Some(0));

    // Somebody fills the disk; status says so, and what to do.
    let free = |limit: &str| output(&["status", "--check", limit], &spool).status.code();
    assert_eq!(free("--crit-free=1"), Some(0));
    let enqueued = live.stop_enqueueing();
    wait_until("nothing is free", || {
        // What the sender gives back of the disk when it is full is taken, too.
        disk.fill();
        let table = said(&["status"], &spool);
        table.contains("0 bytes free") || table.contains("KiB free")
    });
    assert_eq!(free("--crit-free=1"), Some(2));
    said(&["hold"], &spool);
    said(&["resume"], &spool);
    disk.free();
    assert_eq!(free("--crit-free=1"), Some(0));
    live.client
        .enqueue_for("live-0", usize::try_from(enqueued).unwrap());

    live.end_with_these_too(&api, 1);
    let new = api.events().into_iter();
    let new = new.filter(|event| event.fields.partner_user_id.starts_with("new-"));
    assert_eq!(new.count(), 8);
}
