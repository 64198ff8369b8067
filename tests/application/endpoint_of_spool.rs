//! A process whose configuration names no endpoint sends where the spool says that it finds, unless another user
//! could have written that.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use meditopia::{Client, Config, ErrorKind};
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// What a process sets that names no endpoint.
fn without_endpoint(spool: &Path, token: &str) -> Config {
    let mut config = Config::new();
    config.set("spool", spool.to_str().unwrap()).unwrap();
    config.set("bearer_token", token).unwrap();
    config.set("role", "enqueue").unwrap();
    // Otherwise a client of this process that is open already would be the same.
    config.set("batch_max", "50").unwrap();
    config
}

#[test]
fn a_process_without_an_endpoint_takes_that_of_its_spool() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let named = spool.client();
    named.enqueue_users(0..2);
    drop(named);
    let config = without_endpoint(&spool.path(), api.token());
    let client = Client::open(&config).unwrap();
    client.enqueue_users(2..3);
    // Another client of the process, and one that names the same endpoint, are no conflict.
    let another = Client::open(&config).unwrap();
    another.enqueue_users(3..4);
    assert_eq!(client.flush_ok(secs(10)).delivered, 4);
    assert_eq!(api.ledger().accepted_events, 4);

    // Where the configuration names one, that counts, also if it is the default.
    let mut config = config;
    config
        .set("endpoint", &Config::new().get("endpoint").unwrap())
        .unwrap();
    drop((client, another));
    let Err(refused) = Client::open(&config) else {
        panic!("opened");
    };
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}");
}

#[test]
fn a_process_without_an_endpoint_sends_its_token_to_none_that_another_user_may_have_written() {
    if !is_root() {
        return report_skip("a spool of another user");
    }
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    spool.client().enqueue_users(0..1);
    let everything = std::process::Command::new("chown")
        .args(["-R", "65534:0"])
        .arg(spool.path())
        .status();
    assert!(everything.unwrap().success());
    let mut config = without_endpoint(&spool.path(), api.token());
    let refused = |config: &Config| match Client::open(config) {
        Ok(_) => panic!("opened"),
        Err(refused) => assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}"),
    };
    refused(&config);
    // A group that is trusted may have written it, too.
    let shared = std::fs::Permissions::from_mode(0o2770);
    std::fs::set_permissions(spool.path(), shared).unwrap();
    config.set("trust_group", "true").unwrap();
    refused(&config);
    // It is the endpoint alone that keeps this process from it.
    config.set("endpoint", api.endpoint()).unwrap();
    assert_eq!(
        Client::open(&config).unwrap().flush_ok(secs(10)).delivered,
        1
    );
    chown(spool.path(), Some(0), Some(0)).unwrap();
}
